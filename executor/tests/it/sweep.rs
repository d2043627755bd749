//! Crash-point sweep: the driver is killed at every append and at every effect in turn, and restarted from the store's
//! files.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cluster::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::{InjectedReply, World};
use store::{
    AppendError, ListPage, PageRequest, Record, Row, Salts, Sqlite, Store, StoreError, Table,
};
use workflow::Draft;
use workflow::run::{Control, Event, RunInput, RunStatus, StepStatus};

use crate::harness::{
    ExecutorHarness, WORKLOADS, deployment, never, plan, ready, run_id, scale, target, with, world,
};

/// One of the five scenarios.
struct CrashScenario {
    name: &'static str,
    steps: Vec<Value>,
    injected_replies: Vec<InjectedReply>,
    expected: RunStatus,
}

fn scenarios() -> Vec<CrashScenario> {
    let needs = |step: Value, needs: &[&str]| with(step, json!({"needs": needs}));
    let image = |id: &str, name: &str| json!({"id": id, "action": "set-image", "arguments": {"target": target(name), "container": "web", "image": "reg/app:v2"}, "timeout": "4m"});
    let restart = |id: &str, name: &str| json!({"id": id, "action": "rollout-restart", "arguments": {"target": target(name)}, "timeout": "4m"});
    vec![
        CrashScenario {
            name: "plain",
            steps: vec![
                with(
                    scale("one", "a", 3),
                    json!({"preconditions": [ready("a", 2, "0s")], "postconditions": [ready("a", 3, "4m")]}),
                ),
                needs(restart("two", "b"), &["one"]),
                needs(
                    with(image("three", "c"), json!({"when": "steps.one.output.changed"})),
                    &["two"],
                ),
            ],
            injected_replies: vec![],
            expected: RunStatus::Succeeded,
        },
        CrashScenario {
            name: "retry",
            steps: vec![scale("one", "a", 3), needs(scale("two", "b", 3), &["one"])],
            injected_replies: vec![
                InjectedReply::Throttled { retry_after_seconds: 5 },
                InjectedReply::Conflict,
                InjectedReply::Pass,
                InjectedReply::Throttled { retry_after_seconds: 1 },
            ],
            expected: RunStatus::Succeeded,
        },
        CrashScenario {
            name: "compensation",
            steps: vec![
                scale("one", "a", 3),
                needs(image("two", "b"), &["one"]),
                needs(
                    with(scale("three", "c", 4), json!({"postconditions": [never("c", "5s")]})),
                    &["two"],
                ),
            ],
            injected_replies: vec![],
            expected: RunStatus::RolledBack,
        },
        CrashScenario {
            name: "approval and pause",
            steps: vec![
                scale("one", "a", 3),
                needs(
                    with(
                        scale("two", "b", 3),
                        json!({"approval": {"reason": "requires an operator"}}),
                    ),
                    &["one"],
                ),
                needs(
                    json!({"id": "three", "action": "wait", "arguments": {"duration": "20s"}}),
                    &["two"],
                ),
            ],
            injected_replies: vec![],
            expected: RunStatus::Succeeded,
        },
        CrashScenario {
            name: "fan-out",
            steps: vec![
                scale("one", "a", 3),
                needs(scale("two", "b", 3), &["one"]),
                needs(scale("three", "c", 3), &["one"]),
                needs(scale("four", "d", 3), &["one"]),
                needs(
                    with(scale("five", "a", 4), json!({"postconditions": [ready("a", 4, "4m")]})),
                    &["two", "three", "four"],
                ),
            ],
            injected_replies: vec![],
            expected: RunStatus::Succeeded,
        },
    ]
}

/// Point at which the driver is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum CrashPoint {
    Never,
    /// The process is killed before the n-th append.
    BeforeAppend(usize),
    /// The process is killed when the n-th append is durable, before the append returns.
    AfterAppend(usize),
    /// The process is killed before the n-th effect is performed.
    BeforeEffect(usize),
    /// The process is killed after the n-th effect is performed, and its result is lost.
    AfterEffect(usize),
    /// The result of the n-th effect is lost; the process continues.
    LoseReply(usize),
}

/// A store that simulates a process killed at an append.
struct CrashingStore {
    inner: Sqlite,
    crash_point: CrashPoint,
    appends: AtomicUsize,
}

#[async_trait]
impl Store for CrashingStore {
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError> {
        self.inner.claim(at, program).await
    }
    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendError> {
        let index = self.appends.fetch_add(1, Ordering::SeqCst);
        let killed = || {
            AppendError::Failed(StoreError::Stopped { message: "the process was killed".into() })
        };
        if self.crash_point == CrashPoint::BeforeAppend(index) {
            return Err(killed());
        }
        let records = self.inner.append(drafts, blobs, expect, epoch).await?;
        if self.crash_point == CrashPoint::AfterAppend(index) { Err(killed()) } else { Ok(records) }
    }
    async fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.blob(digest).await
    }
    async fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.inner.read(after, limit).await
    }
    async fn stream(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        self.inner.stream(id).await
    }
    async fn version(&self, stream: &str) -> Result<u64, StoreError> {
        self.inner.version(stream).await
    }
    async fn head(&self) -> Result<u64, StoreError> {
        self.inner.head().await
    }
    async fn follow(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.inner.follow(after, limit).await
    }
    async fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.put_snapshot(name, seq, bytes).await
    }
    async fn snapshot(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.inner.snapshot(name).await
    }
    async fn row(&self, table: Table, id: &str) -> Result<Option<Row>, StoreError> {
        self.inner.row(table, id).await
    }
    async fn rows(&self, table: Table, page: &PageRequest) -> Result<ListPage<Row>, StoreError> {
        self.inner.rows(table, page).await
    }
}

/// End state, which must not depend on the crash point.
#[derive(Debug, PartialEq)]
struct EndState {
    status: RunStatus,
    steps: Vec<(String, StepStatus)>,
    applied: Vec<(String, u32)>,
    replicas: Vec<Value>,
    images: Vec<Value>,
}

/// Opens a harness from the files in `dir`.
async fn open(
    world: &Arc<Mutex<World>>,
    dir: &Path,
    crash_point: CrashPoint,
) -> (ExecutorHarness, Arc<CrashingStore>) {
    let store = Arc::new(CrashingStore {
        inner: Sqlite::open(dir, Salts::seeded("sweep")).unwrap(),
        crash_point,
        appends: AtomicUsize::new(0),
    });
    (ExecutorHarness::open(world.clone(), store.clone()).await, store)
}

/// Returns the next input of the operator. It depends on the recorded state only, so that a restart does not change it.
async fn operator_input(harness: &ExecutorHarness, scenario: &CrashScenario) -> Option<RunInput> {
    let run = run_id(1);
    let control = |control| {
        Some(RunInput::Control {
            run: run.clone(),
            control,
            actor: "ann".into(),
            reason: "test".into(),
        })
    };
    let Some(view) = harness.fleet.view(&run) else {
        let world = harness.world();
        return Some(RunInput::Submit {
            run: run.clone(),
            plan: Box::new(plan(&world, scenario.steps.clone(), vec![])),
            guarded: WORKLOADS
                .iter()
                .map(|name| deployment(&world, name).reference("sim"))
                .collect(),
            actor: "test".into(),
        });
    };
    if view.is_paused {
        return control(Control::Resume);
    }
    if scenario.name == "approval and pause" {
        let is_started = view.step("two").is_some_and(|step| step.started_at.is_some());
        if is_started
            && !view.status.is_terminal()
            && !harness.events(&run).await.iter().any(|event| matches!(event, Event::Paused { .. }))
        {
            return control(Control::Pause);
        }
    }
    let awaiting = view.steps.iter().find(|step| step.status == StepStatus::AwaitingApproval)?;
    control(Control::ApproveStep { step: awaiting.step.clone() })
}

/// Runs until the run ends or the crash point is reached. Returns whether the run ended, and the number of dispatched
/// effects.
async fn drive(
    harness: &mut ExecutorHarness,
    scenario: &CrashScenario,
    crash_point: CrashPoint,
) -> (bool, usize) {
    let mut effects = 0;
    for _ in 0..2_000 {
        if let Some(input) = operator_input(harness, scenario).await {
            harness.inbox.push(input);
        }
        let inputs = std::mem::take(&mut harness.inbox);
        let Ok(pending) = harness.decide(&inputs).await else { return (false, effects) };
        for effect in pending.effects {
            let index = effects;
            effects += 1;
            if crash_point == CrashPoint::BeforeEffect(index) {
                return (false, effects);
            }
            let input = harness.perform(effect).await;
            if crash_point == CrashPoint::AfterEffect(index) {
                return (false, effects);
            }
            if crash_point != CrashPoint::LoseReply(index) {
                harness.inbox.push(input);
            }
        }
        if harness.fleet.view(&run_id(1)).is_some_and(|view| view.status.is_terminal()) {
            return (true, effects);
        }
        if harness.inbox.is_empty() && operator_input(harness, scenario).await.is_none() {
            let at = pending.deadline.unwrap_or_else(|| {
                panic!(
                    "{}: {crash_point:?}: nothing will wake it: {:#?}",
                    scenario.name,
                    harness.view(&run_id(1))
                )
            });
            harness.world().advance_fully(at);
            harness.inbox.push(RunInput::Due);
        }
    }
    panic!(
        "{}: {crash_point:?}: the run does not end: {:#?}",
        scenario.name,
        harness.view(&run_id(1))
    );
}

/// Runs a scenario with one crash point. Returns the end state and the number of appends and effects.
async fn run_scenario(
    scenario: &CrashScenario,
    world: &World,
    crash_point: CrashPoint,
) -> (EndState, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let world = Arc::new(Mutex::new(world.clone()));
    world.lock().unwrap().inject(scenario.injected_replies.iter().copied());
    let (mut harness, store) = open(&world, dir.path(), crash_point).await;
    let (is_over, effects) = drive(&mut harness, scenario, crash_point).await;
    let appends = store.appends.load(Ordering::SeqCst);
    if !is_over {
        drop((harness, store));
        let (reopened, _) = open(&world, dir.path(), CrashPoint::Never).await;
        harness = reopened;
        assert!(drive(&mut harness, scenario, CrashPoint::Never).await.0);
    }
    let view = harness.view(&run_id(1)).clone();
    let world = world.lock().unwrap();
    let at = |pointer: &str| {
        WORKLOADS
            .iter()
            .map(|name| deployment(&world, name).at(pointer).cloned().unwrap_or_default())
            .collect()
    };
    let end = EndState {
        status: view.status,
        steps: view.steps.iter().map(|step| (step.step.clone(), step.status)).collect(),
        applied: world.effects().iter().map(|(key, count)| (key.clone(), *count)).collect(),
        replicas: at("/spec/replicas"),
        images: at("/spec/template/spec/containers/0/image"),
    };
    (end, appends, effects)
}

#[tokio::test]
#[ignore = "slow: run by make test"]
async fn slow_crash_point_sweep_loses_and_duplicates_nothing() {
    let world = world();
    let mut points = 0;
    for scenario in scenarios() {
        let (expected, appends, effects) = run_scenario(&scenario, &world, CrashPoint::Never).await;
        assert_eq!(expected.status, scenario.expected, "{}: {expected:?}", scenario.name);
        assert!(
            expected.applied.iter().all(|(_, count)| *count == 1),
            "{}: {expected:?}",
            scenario.name
        );
        let at_appends =
            (0..appends).flat_map(|n| [CrashPoint::BeforeAppend(n), CrashPoint::AfterAppend(n)]);
        let at_effects = (0..effects).flat_map(|n| {
            [CrashPoint::BeforeEffect(n), CrashPoint::AfterEffect(n), CrashPoint::LoseReply(n)]
        });
        let before = points;
        for crash_point in at_appends.chain(at_effects) {
            let (end, ..) = run_scenario(&scenario, &world, crash_point).await;
            assert_eq!(end, expected, "{}: killed at {crash_point:?}", scenario.name);
            points += 1;
        }
        println!(
            "{}: {appends} appends, {effects} effects, {} points",
            scenario.name,
            points - before
        );
    }
    println!("crash points: {points}");
    assert!(points >= 150, "only {points} points");
}
