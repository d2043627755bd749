//! One incident under the wall clock and under simulated time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Builder, Engine, IncidentStage, InputSenders, ProposalSources, RunUntil, Settings};
use jiff::SignedDuration;
use runtime::{Runtime, Speed, Wall};
use serde_json::{Value, json};
use simulator::{AlertMode, ScenarioFile, SimulatedCluster, WorldFile, WorldTimeline, scenario};
use store::{Memory, Salts, Store};
use tokio::sync::oneshot;
use workflow::guardrail::Autonomy;
use workflow::outcome::ObservationWindow;
use workflow::{Entry, Input, Limits, ObjectRef, alertmanager, duration};

use crate::harness::{guardrails, read, template};

const SEED: u64 = 3;

/// Time between the start of the engine and the fault, in which the healthy state is recorded.
const HEALTHY: SignedDuration = SignedDuration::from_secs(4);

#[derive(Clone, Copy)]
enum Clock {
    Wall,
    Simulated,
}

/// Delivers an alert about a Service.
fn deliver(inputs: &InputSenders, engine: &Engine, service: &ObjectRef, status: &str) {
    let body = json!({"version": "4", "alerts": [{"status": status, "annotations": {}, "startsAt": engine.now(),
        "labels": {"alertname": "NoRequestsReceived", "namespace": service.namespace, "service": service.name}}]});
    let delivery =
        alertmanager::parse(body.to_string().as_bytes(), &Limits::default(), engine.now()).unwrap();
    let message = (Input::IngestAlerts(delivery), oneshot::channel().0);
    assert!(inputs.commands.try_send(message).is_ok());
}

/// Runs the engine until the first incident is in a stage.
async fn run_until(engine: &mut Engine, is_met: impl Fn(&IncidentStage) -> bool + Send + 'static) {
    let condition = RunUntil::Condition(Box::new(move |folds| {
        folds.cases.cases.values().any(|case| is_met(&case.stage))
    }));
    engine.run(condition).await.unwrap();
}

/// Remediates one incident and returns its record.
async fn remediate(clock: Clock) -> Vec<Entry> {
    let world = WorldFile::parse(&read("worlds", "shop")).unwrap();
    let file = ScenarioFile::parse(&read("scenarios/starter", "wrong-service-selector")).unwrap();
    let wall = Arc::new(Wall::new());
    let now = wall.now();
    let lead = scenario::prepare(&file, &world, SEED, now).unwrap().oracle.fault_at() - now;
    let mut prepared = scenario::prepare(&file, &world, SEED, now + HEALTHY - lead).unwrap();
    // The test delivers the alerts itself: the rules of the world wait for minutes.
    prepared.world.set_alert_mode(AlertMode::None);
    prepared.world.advance(prepared.oracle.fault_at() - HEALTHY);
    let world = Arc::new(Mutex::new(prepared.world));
    let cluster = Arc::new(SimulatedCluster::new(world.clone(), "simulated"));
    let (runtime, pump): (Arc<dyn Runtime>, _) = match clock {
        Clock::Simulated => {
            (Arc::new(WorldTimeline::runtime(world, Speed::Unlimited, |_| {})), None)
        }
        Clock::Wall => {
            let clock = wall.clone();
            let pump = tokio::spawn(async move {
                loop {
                    world.lock().unwrap().advance(clock.now());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
            (wall, Some(pump))
        }
    };
    let second = duration::Duration::from_secs(1);
    let store: Arc<dyn Store> = Arc::new(Memory::new(Salts::seeded("wall")));
    let catalogue = actions::catalogue();
    let builder = Builder {
        store: store.clone(),
        cluster: cluster.clone(),
        metrics: cluster,
        runtime,
        guardrails: guardrails(Autonomy::Auto),
        sources: ProposalSources {
            templates: vec![template("restore-service-selector", &catalogue)],
            retrieval: false,
            reversal: false,
        },
        catalogue,
        policy: learner::policy("first").unwrap(),
        settings: Settings {
            observation_timeout: duration::Duration::from_secs(30),
            quiet_period: second,
            recurrence_window: duration::Duration::from_secs(2),
            known_good_after: second,
            scan_interval: second,
            evidence_delay: duration::Duration::ZERO,
        },
        limits: Limits::default(),
        seed: SEED,
        webhooks: engine::webhook_channel().1,
    };
    let (mut engine, inputs) = builder.open().await.unwrap();
    let fault_at = prepared.oracle.fault_at() + SignedDuration::from_secs(1);
    engine.run(RunUntil::At(fault_at)).await.unwrap();
    deliver(&inputs, &engine, prepared.oracle.target(), "firing");
    run_until(&mut engine, |stage| matches!(stage, IncidentStage::Stabilizing { .. })).await;
    deliver(&inputs, &engine, prepared.oracle.target(), "resolved");
    run_until(&mut engine, |stage| *stage == IncidentStage::Closed).await;
    if let Some(pump) = pump {
        pump.abort();
    }
    let records = store.read(0, usize::MAX).await.unwrap();
    records.iter().map(|record| record.entry().unwrap()).collect()
}

/// Kind of an entry, and of the event in it.
fn kind(entry: &Entry) -> String {
    let (kind, payload) = entry.to_parts();
    let event = match &payload["event"] {
        Value::Object(event) => event.get("event").cloned().unwrap_or_default(),
        other => other.clone(),
    };
    event.as_str().map_or(kind.clone(), |event| format!("{kind} {event}"))
}

/// Kinds of entries by kind of stream, in order, without health scans and repeats.
fn kinds(record: &[Entry]) -> BTreeMap<String, Vec<String>> {
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in record {
        // Ids depend on the time; there is one incident, plan, run and lock.
        let stream = entry.stream();
        let name = stream.split(['_', '/']).next().unwrap().to_string();
        let kinds = streams.entry(name).or_default();
        let kind = kind(entry);
        if !matches!(entry, Entry::ObjectHealthy { .. }) && kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    streams
}

#[tokio::test]
#[ignore = "slow: run by make test"]
async fn slow_wall_clock_and_simulated_time_give_the_same_record() {
    let simulated = remediate(Clock::Simulated).await;
    let outcomes: Vec<_> = simulated
        .iter()
        .filter_map(|entry| match entry {
            Entry::Observed(outcome) => Some((outcome.window, outcome.status.is_resolved())),
            _ => None,
        })
        .collect();
    assert_eq!(
        outcomes,
        [(ObservationWindow::Stabilization, true), (ObservationWindow::Recurrence, true)]
    );
    let expected = kinds(&simulated);
    assert!(["inc", "pln", "run", "import"].iter().all(|stream| expected.contains_key(*stream)));
    assert_eq!(kinds(&remediate(Clock::Wall).await), expected);
}
