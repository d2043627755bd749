use std::collections::BTreeSet;

use cluster::{Digest, NotSent, ReadReply, WriteReply};
use executor::{MACHINE_VERSION, Run};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::InjectedReply;
use workflow::run::{
    Control, Effect, Event, RunInput, RunStatus, StepStatus, StopLevel, StopScope,
};
use workflow::{AlertStatus, Plan, Truth};

use crate::harness::{ExecutorHarness, deployment, never, plan, ready, rules, run_id, scale, with};

/// External event during a scenario.
#[derive(Clone, Copy, PartialEq)]
enum ExternalEvent {
    Nothing,
    /// The alert resolves before the run starts.
    AlertResolves,
    /// Another writer changes the object after the first change.
    ExternalChange,
    /// An operator pauses the run after the first change.
    Pause,
    /// An operator cancels the run after the first change.
    Cancel,
}

/// Scenarios that together reach every state.
fn scenarios() -> Vec<(Vec<Value>, Vec<InjectedReply>, ExternalEvent)> {
    let undone = || with(scale("one", "a", 3), json!({"postconditions": [never("a", "5s")]}));
    let second = |step: Value| with(step, json!({"needs": ["one"]}));
    let ask =
        json!({"id": "ask", "action": "request-approval", "arguments": {"question": "really?"}});
    vec![
        (
            vec![
                with(
                    scale("one", "a", 3),
                    json!({"preconditions": [ready("a", 2, "0s")], "postconditions": [ready("a", 3, "2m")]}),
                ),
                second(with(
                    scale("two", "b", 3),
                    json!({"when": "true", "approval": {"reason": "?"}}),
                )),
            ],
            vec![
                InjectedReply::UnknownAfterApply,
                InjectedReply::Throttled { retry_after_seconds: 2 },
            ],
            ExternalEvent::Nothing,
        ),
        (
            vec![
                scale("one", "a", 3),
                second(with(scale("two", "b", 3), json!({"postconditions": [never("b", "5s")]}))),
            ],
            vec![
                InjectedReply::Pass,
                InjectedReply::Conflict,
                InjectedReply::Pass,
                InjectedReply::Forbidden,
                InjectedReply::UnknownBeforeApply,
            ],
            ExternalEvent::Nothing,
        ),
        (
            vec![scale("one", "a", 3), scale("two", "b", 3), second(ask)],
            vec![],
            ExternalEvent::Nothing,
        ),
        (
            vec![
                scale("one", "a", 3),
                second(with(scale("two", "b", 3), json!({"onFailure": "abort"}))),
            ],
            vec![InjectedReply::Pass, InjectedReply::Forbidden],
            ExternalEvent::Nothing,
        ),
        (vec![scale("one", "a", 3), scale("two", "b", 3)], vec![], ExternalEvent::AlertResolves),
        (
            vec![scale("one", "a", 3)],
            vec![InjectedReply::UnknownBeforeApply],
            ExternalEvent::ExternalChange,
        ),
        (vec![scale("one", "a", 3), second(scale("two", "b", 3))], vec![], ExternalEvent::Pause),
        (vec![scale("one", "a", 3), second(scale("two", "b", 3))], vec![], ExternalEvent::Cancel),
        // The compensation fails.
        (
            vec![undone()],
            [InjectedReply::Pass].into_iter().chain([InjectedReply::Forbidden; 9]).collect(),
            ExternalEvent::Nothing,
        ),
    ]
}

/// Returns the next status in declaration order. The exhaustive match fails to compile if a new status is missing.
fn next_run_status(status: RunStatus) -> Option<RunStatus> {
    Some(match status {
        RunStatus::Running => RunStatus::Paused,
        RunStatus::Paused => RunStatus::AwaitingApproval,
        RunStatus::AwaitingApproval => RunStatus::Compensating,
        RunStatus::Compensating => RunStatus::NeedsHuman,
        RunStatus::NeedsHuman => RunStatus::Succeeded,
        RunStatus::Succeeded => RunStatus::Failed,
        RunStatus::Failed => RunStatus::RolledBack,
        RunStatus::RolledBack => RunStatus::Cancelled,
        RunStatus::Cancelled => return None,
    })
}

/// Like [`next_run_status`], for steps.
fn next_step_status(status: StepStatus) -> Option<StepStatus> {
    Some(match status {
        StepStatus::Pending => StepStatus::AwaitingApproval,
        StepStatus::AwaitingApproval => StepStatus::Running,
        StepStatus::Running => StepStatus::Verifying,
        StepStatus::Verifying => StepStatus::Waiting,
        StepStatus::Waiting => StepStatus::Succeeded,
        StepStatus::Succeeded => StepStatus::Skipped,
        StepStatus::Skipped => StepStatus::Failed,
        StepStatus::Failed => StepStatus::Compensating,
        StepStatus::Compensating => StepStatus::Compensated,
        StepStatus::Compensated => StepStatus::CompensationFailed,
        StepStatus::CompensationFailed => StepStatus::NeedsHuman,
        StepStatus::NeedsHuman => return None,
    })
}

/// Returns the kind of the input. A new kind must be added here, to `INPUTS` and to `inputs`.
fn input_kind(input: &RunInput) -> &'static str {
    match input {
        RunInput::Submit { .. } => "submit",
        RunInput::Control { .. } => "control",
        RunInput::Stop { .. } => "stop",
        RunInput::ClearStop { .. } => "resume",
        RunInput::Observed { .. } => "observed",
        RunInput::ChangeAnswered { .. } => "answered",
        RunInput::ConditionEvaluated { .. } => "judged",
        RunInput::HealthMeasured { .. } => "measured",
        RunInput::AlertChanged { .. } => "alert",
        RunInput::Due => "due",
    }
}

const INPUTS: [&str; 10] = [
    "submit", "control", "stop", "resume", "observed", "answered", "judged", "measured", "alert",
    "due",
];

/// Returns every possible input, for pending effects and for an effect that is not pending.
fn inputs(
    run: &Run,
    plan: &Plan,
    open: &[Effect],
    read_replies: &[ReadReply],
    write_replies: &[WriteReply],
) -> Vec<RunInput> {
    let id = run.id().clone();
    let (actor, reason) = ("ann".to_string(), "test".to_string());
    let mut controls = vec![Control::Pause, Control::Resume, Control::Cancel];
    for step in ["one", "two", "ask", "nothing"] {
        controls.extend([
            Control::ApproveStep { step: step.into() },
            Control::RejectStep { step: step.into() },
        ]);
    }
    let mut inputs: Vec<RunInput> = controls
        .into_iter()
        .map(|control| RunInput::Control {
            run: id.clone(),
            control,
            actor: actor.clone(),
            reason: reason.clone(),
        })
        .collect();
    for level in [StopLevel::L1, StopLevel::L2] {
        inputs.push(RunInput::Stop {
            scope: StopScope::Global,
            level,
            actor: actor.clone(),
            reason: reason.clone(),
        });
    }
    inputs.push(RunInput::Submit {
        run: id.clone(),
        plan: Box::new(plan.clone()),
        guarded: Vec::new(),
        actor: actor.clone(),
    });
    inputs.extend([RunInput::ClearStop { scope: StopScope::Global, actor, reason }, RunInput::Due]);
    for status in [AlertStatus::Firing, AlertStatus::Resolved] {
        inputs.push(RunInput::AlertChanged { run: id.clone(), status });
    }
    let unknown = workflow::id::EffectId::derive(run.view().started_at, "unknown", 1);
    for effect in open.iter().map(Effect::id).chain([&unknown]) {
        for reply in read_replies {
            inputs.push(RunInput::Observed {
                run: id.clone(),
                effect: effect.clone(),
                replies: vec![reply.clone()],
            });
        }
        for reply in write_replies {
            inputs.push(RunInput::ChangeAnswered {
                run: id.clone(),
                effect: effect.clone(),
                reply: reply.clone(),
            });
        }
        inputs.push(RunInput::Observed {
            run: id.clone(),
            effect: effect.clone(),
            replies: Vec::new(),
        });
        for result in [Truth::True, Truth::False, Truth::Unknown { message: "?".into() }] {
            inputs.push(RunInput::ConditionEvaluated {
                run: id.clone(),
                effect: effect.clone(),
                result,
                read_digest: Digest::ZERO,
            });
        }
        for health in [None, Some(cluster::Health::missing())] {
            let health =
                run.view().guarded.iter().map(|object| (object.clone(), health.clone())).collect();
            inputs.push(RunInput::HealthMeasured {
                run: id.clone(),
                effect: effect.clone(),
                health,
            });
        }
    }
    inputs
}

/// Checks the invariants of a run in any state.
fn check(run: &Run, now: Timestamp, context: &str) {
    let pending = run.pending(&rules(), now);
    let ids: BTreeSet<_> = pending.effects.iter().map(Effect::id).collect();
    assert_eq!(ids.len(), pending.effects.len(), "{context}: an effect id occurs twice");
    let view = run.view();
    let waits_for_operator =
        matches!(view.status, RunStatus::Paused | RunStatus::NeedsHuman) || run.is_queued();
    let can_continue = !pending.effects.is_empty()
        || pending.deadline.is_some()
        || !run.change_requests(&rules()).is_empty();
    assert!(
        view.status.is_terminal() || waits_for_operator || can_continue,
        "{context}: nothing will wake it: {view:#?}"
    );
    if view.status.is_terminal() {
        assert!(
            pending.effects.is_empty()
                && pending.deadline.is_none()
                && run.change_requests(&rules()).is_empty(),
            "{context}"
        );
    }
}

/// Every input in every state leads to events or a rejection, and no run gets stuck.
#[tokio::test]
async fn every_input_in_every_state_is_handled() {
    let mut pairs = 0;
    let (mut run_statuses, mut step_statuses) = (BTreeSet::new(), BTreeSet::new());
    let mut kinds = BTreeSet::new();
    for (steps, injected_replies, external_event) in scenarios() {
        let mut harness = ExecutorHarness::new().await;
        harness.world().inject(injected_replies);
        let first = plan(&harness.world(), steps, vec![ready("a", 3, "1m")]);
        let run = harness.submit(1, first.clone());
        let deadline = harness.one_hour_from_now();
        match external_event {
            ExternalEvent::Nothing => {}
            ExternalEvent::AlertResolves => {
                harness.inbox.push(RunInput::AlertChanged {
                    run: run.clone(),
                    status: AlertStatus::Resolved,
                });
            }
            ExternalEvent::ExternalChange => {
                harness.run_until(deadline, |harness| harness.sends() == 1).await;
                harness.external_change("a", 5).await;
            }
            ExternalEvent::Pause => {
                harness.run_until(deadline, |harness| harness.sends() == 1).await;
                harness.control(&run, Control::Pause);
            }
            ExternalEvent::Cancel => {
                harness.run_until(deadline, |harness| harness.sends() == 1).await;
                harness.control(&run, Control::Cancel);
            }
        }
        let soon = harness.now() + SignedDuration::from_mins(5);
        harness.run_until(soon, |_| false).await;
        for step in ["two", "ask"] {
            harness.control(&run, Control::ApproveStep { step: step.into() });
        }
        let deadline = harness.one_hour_from_now();
        harness.run_until(deadline, |_| false).await;
        let found = deployment(&harness.world(), "a");
        let message = || "?".to_string();
        let not_sent = || NotSent::Unavailable { message: message(), retry_after_seconds: 1 };
        let other = NotSent::OtherCluster { requested: message(), connected: message() };
        let read_replies = [
            ReadReply::Found(found.clone()),
            ReadReply::NotFound,
            ReadReply::Listed(vec![]),
            ReadReply::Refused { code: 422, message: message() },
            ReadReply::Unavailable { message: message() },
            ReadReply::NotSent(other.clone()),
            ReadReply::NotRecordable { message: message() },
        ];
        let write_replies = [
            WriteReply::Accepted(found),
            WriteReply::Deleted,
            WriteReply::NotFound,
            WriteReply::Conflict { message: message() },
            WriteReply::Refused { code: 422, reason: "Invalid".into(), message: message() },
            WriteReply::Throttled { retry_after_seconds: 1 },
            WriteReply::NotSent(not_sent()),
            WriteReply::NotSent(other),
            WriteReply::Unknown { message: message() },
        ];
        let events = harness.events(&run).await;
        let mut state = Run::begin(&run, &events[0]).unwrap();
        // Every input is also tried after the last event.
        for event in events[1..].iter().map(Some).chain([None]) {
            for now in [harness.now(), harness.now() + SignedDuration::from_hours(3)] {
                // The record also contains states between two events of one append: apply the events that follow first.
                let Ok(follow_ups) = state.decide(&RunInput::Due, &rules(), now) else {
                    panic!("`Due` cannot be rejected")
                };
                let mut settled = state.clone();
                follow_ups.iter().for_each(|event| settled.apply(event));
                check(&settled, now, "settled");
                run_statuses.insert(settled.view().status);
                step_statuses.extend(settled.view().steps.iter().map(|step| step.status));
                let open = settled.pending(&rules(), now).effects;
                for input in inputs(&settled, &first, &open, &read_replies, &write_replies) {
                    pairs += 1;
                    kinds.insert(input_kind(&input));
                    let before = settled.clone();
                    if let Ok(decided) = settled.decide(&input, &rules(), now) {
                        let mut after = settled.clone();
                        decided.iter().for_each(|event| after.apply(event));
                        check(&after, now, &format!("{input:?}"));
                    }
                    assert_eq!(settled, before, "`decide` does not change the state");
                }
            }
            event.into_iter().for_each(|event| state.apply(event));
        }
    }
    assert!(pairs > 5_000, "{pairs}");
    let every = std::iter::successors(Some(RunStatus::Running), |status| next_run_status(*status));
    assert_eq!(run_statuses, every.collect(), "every run status was reached");
    let every =
        std::iter::successors(Some(StepStatus::Pending), |status| next_step_status(*status));
    assert_eq!(step_statuses, every.collect(), "every step status was reached");
    assert_eq!(kinds, BTreeSet::from(INPUTS), "every kind of input was tried");
}

/// Invariant I3.
#[tokio::test]
async fn each_effect_accepts_one_result() {
    let mut harness = ExecutorHarness::new().await;
    let first = plan(
        &harness.world(),
        vec![with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]}))],
        vec![],
    );
    let run = harness.submit(1, first);
    let deadline = harness.one_hour_from_now();
    loop {
        // Every result is delivered twice.
        let duplicated: Vec<RunInput> =
            harness.inbox.iter().flat_map(|input| [input.clone(), input.clone()]).collect();
        harness.inbox = duplicated;
        let performed = harness.performed.len();
        harness.run_until(deadline, |harness| harness.performed.len() > performed).await;
        if harness.fleet.view(&run).is_some_and(|view| view.status.is_terminal()) {
            break;
        }
    }
    assert_eq!((harness.view(&run).status, harness.sends()), (RunStatus::Succeeded, 1));
    assert!(!harness.rejected.is_empty());
    harness.assert_no_duplicate_effects();
}

/// Invariant I4: every change carries the run, step, key and epoch; the first event carries the machine version.
#[tokio::test]
async fn changes_carry_run_step_key_and_epoch() {
    let mut harness = ExecutorHarness::new().await;
    let view = harness.run(vec![scale("one", "a", 3)], vec![]).await;
    let sent = harness
        .performed
        .iter()
        .find_map(|effect| {
            if let Effect::Send { request, .. } = effect {
                Some(request.agent.clone())
            } else {
                None
            }
        })
        .unwrap();
    assert_eq!(
        (sent.run.as_str(), sent.step.as_str(), sent.epoch),
        (run_id(1).as_str(), "one", harness.epoch)
    );
    assert_eq!(sent.effect_key, view.effects[0].key);
    assert!(matches!(
        harness.events(&view.run).await[0],
        Event::Started { machine: MACHINE_VERSION, .. }
    ));
}

/// Invariant I9: no timer fires early, and a wait ends on time.
#[tokio::test]
async fn timers_fire_exactly_on_time() {
    let mut harness = ExecutorHarness::new().await;
    let view = harness
        .run(vec![json!({"id": "w", "action": "wait", "arguments": {"duration": "5m"}})], vec![])
        .await;
    // The wait is longer than the step's timeout, which does not count waiting.
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.steps[0].ended_at.unwrap().duration_since(view.started_at).as_secs(), 300);
}
