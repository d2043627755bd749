//! The driver is cut off at every append and at every effect in turn, and begun again from the store's files.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cluster::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::{Interference, World};
use store::{AppendRefused, Listing, Page, Record, Row, Salts, Sqlite, Store, StoreError, Table};
use workflow::Draft;
use workflow::run::{Control, Event, RunInput, RunStatus, StepStatus};

use crate::rig::{
    Rig, WORKLOADS, deployment, never, plan, ready, run_id, scale, target, with, world,
};

/// One of the five runs.
struct Story {
    name: &'static str,
    steps: Vec<Value>,
    troubles: Vec<Interference>,
    ends: RunStatus,
}

fn stories() -> Vec<Story> {
    let needs = |step: Value, needs: &[&str]| with(step, json!({"needs": needs}));
    let image = |id: &str, name: &str| json!({"id": id, "action": "set-image", "arguments": {"target": target(name), "container": "web", "image": "reg/app:v2"}, "timeout": "4m"});
    let restart = |id: &str, name: &str| json!({"id": id, "action": "rollout-restart", "arguments": {"target": target(name)}, "timeout": "4m"});
    vec![
        Story {
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
            troubles: vec![],
            ends: RunStatus::Succeeded,
        },
        Story {
            name: "retry",
            steps: vec![scale("one", "a", 3), needs(scale("two", "b", 3), &["one"])],
            troubles: vec![
                Interference::Throttled { retry_after_seconds: 5 },
                Interference::Conflict,
                Interference::Pass,
                Interference::Throttled { retry_after_seconds: 1 },
            ],
            ends: RunStatus::Succeeded,
        },
        Story {
            name: "compensation",
            steps: vec![
                scale("one", "a", 3),
                needs(image("two", "b"), &["one"]),
                needs(
                    with(scale("three", "c", 4), json!({"postconditions": [never("c", "5s")]})),
                    &["two"],
                ),
            ],
            troubles: vec![],
            ends: RunStatus::RolledBack,
        },
        Story {
            name: "approval and pause",
            steps: vec![
                scale("one", "a", 3),
                needs(
                    with(scale("two", "b", 3), json!({"approval": {"reason": "really?"}})),
                    &["one"],
                ),
                needs(
                    json!({"id": "three", "action": "wait", "arguments": {"duration": "20s"}}),
                    &["two"],
                ),
            ],
            troubles: vec![],
            ends: RunStatus::Succeeded,
        },
        Story {
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
            troubles: vec![],
            ends: RunStatus::Succeeded,
        },
    ]
}

/// Where, and how, the driver is cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Never,
    /// The process ends before the n-th append.
    BeforeAppend(usize),
    /// It ends once the n-th append is durable, and before anybody is told.
    AfterAppend(usize),
    /// It ends before the n-th effect is performed.
    BeforeEffect(usize),
    /// It ends once the n-th effect is performed, with its answer.
    AfterEffect(usize),
    /// The answer to the n-th effect never comes; the process goes on.
    AnswerLost(usize),
}

/// A store whose process ends at an append.
struct Mortal {
    inner: Sqlite,
    cut: Cut,
    appends: AtomicUsize,
}

#[async_trait]
impl Store for Mortal {
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError> {
        self.inner.claim(at, program).await
    }
    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendRefused> {
        let place = self.appends.fetch_add(1, Ordering::SeqCst);
        let killed = || {
            AppendRefused::Failed(StoreError::Stopped { because: "the process was killed".into() })
        };
        if self.cut == Cut::BeforeAppend(place) {
            return Err(killed());
        }
        let records = self.inner.append(drafts, blobs, expect, epoch).await?;
        if self.cut == Cut::AfterAppend(place) { Err(killed()) } else { Ok(records) }
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
    async fn rows(&self, table: Table, page: &Page) -> Result<Listing<Row>, StoreError> {
        self.inner.rows(table, page).await
    }
}

/// What must not depend on when the driver was cut off.
#[derive(Debug, PartialEq)]
struct End {
    status: RunStatus,
    steps: Vec<(String, StepStatus)>,
    applied: Vec<(String, u32)>,
    replicas: Vec<Value>,
    images: Vec<Value>,
}

/// Begins, or begins again, from the files in `dir`.
async fn open(world: &Arc<Mutex<World>>, dir: &Path, cut: Cut) -> (Rig, Arc<Mortal>) {
    let store = Arc::new(Mortal {
        inner: Sqlite::open(dir, Salts::seeded("sweep")).unwrap(),
        cut,
        appends: AtomicUsize::new(0),
    });
    (Rig::on(world.clone(), store.clone()).await, store)
}

/// What people do: they look at what there is, so that a restart does not change it.
async fn people(rig: &Rig, story: &Story) -> Option<RunInput> {
    let run = run_id(1);
    let control = |control| {
        Some(RunInput::Control { run: run.clone(), control, by: "ann".into(), reason: "so".into() })
    };
    let Some(view) = rig.fleet.view(&run) else {
        let world = rig.world();
        return Some(RunInput::Submit {
            run: run.clone(),
            plan: Box::new(plan(&world, story.steps.clone(), vec![])),
            guarded: WORKLOADS
                .iter()
                .map(|name| deployment(&world, name).reference("sim"))
                .collect(),
            by: "test".into(),
        });
    };
    if view.is_paused {
        return control(Control::Resume);
    }
    if story.name == "approval and pause" {
        let is_begun = view.step("two").is_some_and(|step| step.started_at.is_some());
        if is_begun
            && !view.status.is_terminal()
            && !rig.events(&run).await.iter().any(|event| matches!(event, Event::Paused { .. }))
        {
            return control(Control::Pause);
        }
    }
    let asked = view.steps.iter().find(|step| step.status == StepStatus::AwaitingApproval)?;
    control(Control::ApproveStep { step: asked.step.clone() })
}

/// Runs until the end or the cut; says how many effects were handed out.
async fn drive(rig: &mut Rig, story: &Story, cut: Cut) -> (bool, usize) {
    let mut effects = 0;
    for _ in 0..2_000 {
        if let Some(input) = people(rig, story).await {
            rig.inbox.push(input);
        }
        let inputs = std::mem::take(&mut rig.inbox);
        let Ok(pending) = rig.decide(&inputs).await else { return (false, effects) };
        for effect in pending.effects {
            let place = effects;
            effects += 1;
            if cut == Cut::BeforeEffect(place) {
                return (false, effects);
            }
            let input = rig.perform(effect).await;
            if cut == Cut::AfterEffect(place) {
                return (false, effects);
            }
            if cut != Cut::AnswerLost(place) {
                rig.inbox.push(input);
            }
        }
        if rig.fleet.view(&run_id(1)).is_some_and(|view| view.status.is_terminal()) {
            return (true, effects);
        }
        if rig.inbox.is_empty() && people(rig, story).await.is_none() {
            let at = pending.deadline.unwrap_or_else(|| {
                panic!(
                    "{}: {cut:?}: nothing will ever wake it: {:#?}",
                    story.name,
                    rig.view(&run_id(1))
                )
            });
            rig.world().advance_fully(at);
            rig.inbox.push(RunInput::Due);
        }
    }
    panic!("{}: {cut:?}: it does not end: {:#?}", story.name, rig.view(&run_id(1)));
}

/// Plays a story with one cut: how it ended, and how many appends and effects there were.
async fn play(story: &Story, world: &World, cut: Cut) -> (End, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let world = Arc::new(Mutex::new(world.clone()));
    world.lock().unwrap().inject(story.troubles.iter().copied());
    let (mut rig, store) = open(&world, dir.path(), cut).await;
    let (is_over, effects) = drive(&mut rig, story, cut).await;
    let appends = store.appends.load(Ordering::SeqCst);
    if !is_over {
        drop((rig, store));
        let (again, _) = open(&world, dir.path(), Cut::Never).await;
        rig = again;
        assert!(drive(&mut rig, story, Cut::Never).await.0);
    }
    let view = rig.view(&run_id(1)).clone();
    let world = world.lock().unwrap();
    let at = |pointer: &str| {
        WORKLOADS
            .iter()
            .map(|name| deployment(&world, name).at(pointer).cloned().unwrap_or_default())
            .collect()
    };
    let end = End {
        status: view.status,
        steps: view.steps.iter().map(|step| (step.step.clone(), step.status)).collect(),
        applied: world.effects().iter().map(|(key, count)| (key.clone(), *count)).collect(),
        replicas: at("/spec/replicas"),
        images: at("/spec/template/spec/containers/0/image"),
    };
    (end, appends, effects)
}

#[tokio::test]
async fn crash_point_sweep_loses_no_step_and_applies_no_change_twice() {
    let world = world();
    let mut points = 0;
    for story in stories() {
        let (expected, appends, effects) = play(&story, &world, Cut::Never).await;
        assert_eq!(expected.status, story.ends, "{}: {expected:?}", story.name);
        assert!(
            expected.applied.iter().all(|(_, count)| *count == 1),
            "{}: {expected:?}",
            story.name
        );
        let at_appends = (0..appends).flat_map(|n| [Cut::BeforeAppend(n), Cut::AfterAppend(n)]);
        let at_effects = (0..effects)
            .flat_map(|n| [Cut::BeforeEffect(n), Cut::AfterEffect(n), Cut::AnswerLost(n)]);
        let before = points;
        for cut in at_appends.chain(at_effects) {
            let (end, ..) = play(&story, &world, cut).await;
            assert_eq!(end, expected, "{}: cut off {cut:?}", story.name);
            points += 1;
        }
        println!(
            "{}: {appends} appends, {effects} effects, {} points",
            story.name,
            points - before
        );
    }
    println!("crash points: {points}");
    assert!(points >= 150, "only {points} points");
}
