//! Incidents whose planning is disturbed, and commands that arrive while the engine is busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cluster::Mode;
use engine::{IncidentStage, InputSenders};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use workflow::guardrail::Autonomy;
use workflow::input::Query;
use workflow::run::{FleetEvent, StopLevel, StopScope};
use workflow::{EngineResponse, Entry, Input, Source};

use crate::harness::{EngineHarness, HarnessConfig, guardrails};
use crate::intercepted::InterceptedCluster;

fn config(autonomy: Autonomy) -> HarnessConfig {
    HarnessConfig {
        family: "missing-config-key",
        seed: 42,
        autonomy,
        templates: &["restore-missing-key"],
    }
}

#[test]
fn emergency_stop_is_accepted_while_command_queue_is_full() {
    let mut harness = EngineHarness::build_with(&config(Autonomy::Auto), |builder, _| {
        builder.limits.queue = 2;
    });
    let query = || Input::Query(Query::Learner);
    let mut waiting = Vec::new();
    let refused = loop {
        let (reply_to, response) = oneshot::channel();
        match harness.inputs().commands.try_send((query(), reply_to)) {
            Ok(()) => waiting.push(response),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, TrySendError::Full(_)), "the queue is full");
    assert_eq!(waiting.len(), 2);
    let (reply_to, mut stopped) = oneshot::channel();
    let stop = Input::Stop {
        scope: StopScope::Global,
        level: StopLevel::L1,
        actor: "ada".into(),
        reason: "smoke".into(),
    };
    assert!(harness.inputs().controls.try_send((stop, reply_to)).is_ok());
    harness.run_for_seconds(0);
    assert_eq!(stopped.try_recv(), Ok(EngineResponse::Done));
    assert!(waiting.iter_mut().all(|response| response.try_recv().is_ok()));
    let is_stop = |entry: &Entry| matches!(entry, Entry::Fleet(FleetEvent::Stopped { .. }));
    assert!(harness.entries().iter().any(is_stop));
    assert_eq!(harness.engine.fleet().stops().len(), 1);
}

#[test]
fn panic_in_dry_run_ends_in_escalation() {
    let mut harness = EngineHarness::build_with(&config(Autonomy::Auto), |builder, cluster| {
        builder.cluster = Arc::new(InterceptedCluster {
            inner: cluster.clone(),
            before_send: Box::new(|request| {
                assert!(request.mode != Mode::DryRun, "a dry run panics in this test");
            }),
        });
    });
    harness.run_until_first_case(|case| case.stage == IncidentStage::Escalated);
    let plan = harness.first_case().plan().unwrap();
    assert_eq!(plan.source, Source::Escalate);
    let is_run = |entry: &Entry| matches!(entry, Entry::Run { .. });
    assert!(!harness.entries().iter().any(is_run), "no candidate with effects was accepted");
}

/// Guardrails that are loaded during a dry run apply to the whole decision: it is made again under them.
#[test]
fn guardrails_loaded_during_dry_run_restart_planning() {
    let (inputs, is_sent) = (Arc::new(OnceLock::<InputSenders>::new()), AtomicBool::new(false));
    let mut harness = EngineHarness::build_with(&config(Autonomy::Auto), |builder, cluster| {
        let inputs = inputs.clone();
        builder.cluster = Arc::new(InterceptedCluster {
            inner: cluster.clone(),
            before_send: Box::new(move |request| {
                if request.mode == Mode::DryRun && !is_sent.swap(true, Ordering::Relaxed) {
                    let stricter = Input::Guardrails(guardrails(Autonomy::Approve));
                    let message = (stricter, oneshot::channel().0);
                    assert!(inputs.get().unwrap().commands.try_send(message).is_ok());
                }
            }),
        });
    });
    assert!(inputs.set(harness.inputs().clone()).is_ok());
    harness.run_until_first_case(|case| case.plan().is_some());
    let case = harness.first_case();
    let plan = case.plan().unwrap();
    assert_eq!(plan.guardrails_version, guardrails(Autonomy::Approve).version());
    assert!(plan.needs_approval.is_some(), "the plan was made under the new guardrails");
    assert!(matches!(case.stage, IncidentStage::AwaitingApproval { .. }));
    let incident = case.incident.clone();
    let (mut evidence, mut decisions) = (0, 0);
    for entry in harness.entries() {
        match entry {
            Entry::EvidenceGathered(gathered) if gathered.incident == incident => evidence += 1,
            Entry::Decided(decision) if decision.incident == incident => decisions += 1,
            _ => {}
        }
    }
    assert_eq!((evidence, decisions), (2, 1));
}
