use std::collections::BTreeSet;

use cluster::{Digest, Reply};
use executor::{MACHINE_VERSION, Run};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::Interference;
use workflow::run::{
    Control, Effect, Event, RunInput, RunStatus, StepStatus, StopLevel, StopScope,
};
use workflow::{AlertStatus, Plan, Verdict};

use crate::rig::{Rig, deployment, never, plan, ready, rules, run_id, scale, with};

/// What comes in besides, while a story is told.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    Nothing,
    /// Its alert ends at the beginning.
    AlertEnds,
    /// Somebody else writes after the first change.
    Meddle,
    /// A person pauses it after the first change.
    Pause,
    /// A person ends it after the first change.
    Cancel,
}

/// Runs that between them come through every state.
fn stories() -> Vec<(Vec<Value>, Vec<Interference>, Turn)> {
    let undone = || with(scale("one", "a", 3), json!({"postconditions": [never("a", "5s")]}));
    let second = |step: Value| with(step, json!({"needs": ["one"]}));
    let ask = json!({"id": "ask", "action": "ask-human", "arguments": {"question": "really?"}});
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
                Interference::UnknownAfterApply,
                Interference::Throttled { retry_after_seconds: 2 },
            ],
            Turn::Nothing,
        ),
        (
            vec![
                scale("one", "a", 3),
                second(with(scale("two", "b", 3), json!({"postconditions": [never("b", "5s")]}))),
            ],
            vec![
                Interference::Pass,
                Interference::Conflict,
                Interference::Pass,
                Interference::Forbidden,
                Interference::UnknownBeforeApply,
            ],
            Turn::Nothing,
        ),
        (vec![scale("one", "a", 3), scale("two", "b", 3), second(ask)], vec![], Turn::Nothing),
        (
            vec![
                scale("one", "a", 3),
                second(with(scale("two", "b", 3), json!({"onFailure": "abort"}))),
            ],
            vec![Interference::Pass, Interference::Forbidden],
            Turn::Nothing,
        ),
        (vec![scale("one", "a", 3), scale("two", "b", 3)], vec![], Turn::AlertEnds),
        (vec![scale("one", "a", 3)], vec![Interference::UnknownBeforeApply], Turn::Meddle),
        (vec![scale("one", "a", 3), second(scale("two", "b", 3))], vec![], Turn::Pause),
        (vec![scale("one", "a", 3), second(scale("two", "b", 3))], vec![], Turn::Cancel),
        // It cannot be undone.
        (
            vec![undone()],
            [Interference::Pass].into_iter().chain([Interference::Forbidden; 9]).collect(),
            Turn::Nothing,
        ),
    ]
}

/// The status after this one, in the order in which they are declared: a new one cannot be left out.
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

/// The same of steps.
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

/// What kind of input it is: one that is new gets a word here, and its place in `INPUTS` and in `inputs`.
fn word(input: &RunInput) -> &'static str {
    match input {
        RunInput::Submit { .. } => "submit",
        RunInput::Control { .. } => "control",
        RunInput::Stop { .. } => "stop",
        RunInput::Resume { .. } => "resume",
        RunInput::Observed { .. } => "observed",
        RunInput::Answered { .. } => "answered",
        RunInput::Judged { .. } => "judged",
        RunInput::Measured { .. } => "measured",
        RunInput::Alert { .. } => "alert",
        RunInput::Due => "due",
    }
}

const INPUTS: [&str; 10] = [
    "submit", "control", "stop", "resume", "observed", "answered", "judged", "measured", "alert",
    "due",
];

/// Everything that can come in, told of what is asked for now and of what is not.
fn inputs(run: &Run, plan: &Plan, open: &[Effect], replies: &[Reply]) -> Vec<RunInput> {
    let id = run.id().clone();
    let (by, reason) = ("ann".to_string(), "so".to_string());
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
            by: by.clone(),
            reason: reason.clone(),
        })
        .collect();
    for level in [StopLevel::L1, StopLevel::L2] {
        inputs.push(RunInput::Stop {
            scope: StopScope::Global,
            level,
            by: by.clone(),
            reason: reason.clone(),
        });
    }
    inputs.push(RunInput::Submit {
        run: id.clone(),
        plan: Box::new(plan.clone()),
        guarded: Vec::new(),
        by: by.clone(),
    });
    inputs.extend([RunInput::Resume { scope: StopScope::Global, by, reason }, RunInput::Due]);
    for status in [AlertStatus::Firing, AlertStatus::Resolved] {
        inputs.push(RunInput::Alert { run: id.clone(), status });
    }
    let strange = workflow::id::EffectId::derive(run.view().started_at, "nobody", 1);
    for effect in open.iter().map(Effect::id).chain([&strange]) {
        for reply in replies {
            inputs.push(RunInput::Observed {
                run: id.clone(),
                effect: effect.clone(),
                replies: vec![reply.clone()],
            });
            inputs.push(RunInput::Answered {
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
        for verdict in [Verdict::True, Verdict::False, Verdict::Unknown { reason: "?".into() }] {
            inputs.push(RunInput::Judged {
                run: id.clone(),
                effect: effect.clone(),
                verdict,
                read: Digest::ZERO,
            });
        }
        for health in [None, Some(cluster::Health::missing())] {
            let health =
                run.view().guarded.iter().map(|object| (object.clone(), health.clone())).collect();
            inputs.push(RunInput::Measured { run: id.clone(), effect: effect.clone(), health });
        }
    }
    inputs
}

/// What must hold of a run in any state.
fn check(run: &Run, now: Timestamp, came: &str) {
    let pending = run.pending(&rules(), now);
    let ids: BTreeSet<_> = pending.effects.iter().map(Effect::id).collect();
    assert_eq!(ids.len(), pending.effects.len(), "{came}: an effect id stands twice");
    let view = run.view();
    let waits_for_people =
        matches!(view.status, RunStatus::Paused | RunStatus::NeedsHuman) || run.is_queued();
    let has_future = !pending.effects.is_empty()
        || pending.deadline.is_some()
        || !run.wants(&rules()).is_empty();
    assert!(
        view.status.is_terminal() || waits_for_people || has_future,
        "{came}: nothing will ever wake it: {view:#?}"
    );
    if view.status.is_terminal() {
        assert!(
            pending.effects.is_empty()
                && pending.deadline.is_none()
                && run.wants(&rules()).is_empty(),
            "{came}"
        );
    }
}

#[tokio::test]
async fn every_input_in_every_state_is_answered_by_events_or_a_rejection_and_no_run_is_stuck() {
    let mut pairs = 0;
    let (mut runs_met, mut steps_met) = (BTreeSet::new(), BTreeSet::new());
    let mut given = BTreeSet::new();
    for (steps, troubles, turn) in stories() {
        let mut rig = Rig::new().await;
        rig.world().inject(troubles);
        let first = plan(&rig.world(), steps, vec![ready("a", 3, "1m")]);
        let run = rig.submit(1, first.clone());
        let hour = rig.hour();
        match turn {
            Turn::Nothing => {}
            Turn::AlertEnds => {
                rig.inbox.push(RunInput::Alert { run: run.clone(), status: AlertStatus::Resolved });
            }
            Turn::Meddle => {
                rig.go(hour, |rig| rig.sends() == 1).await;
                rig.meddle("a", 5).await;
            }
            Turn::Pause => {
                rig.go(hour, |rig| rig.sends() == 1).await;
                rig.control(&run, Control::Pause);
            }
            Turn::Cancel => {
                rig.go(hour, |rig| rig.sends() == 1).await;
                rig.control(&run, Control::Cancel);
            }
        }
        let soon = rig.now() + SignedDuration::from_mins(5);
        rig.go(soon, |_| false).await;
        for step in ["two", "ask"] {
            rig.control(&run, Control::ApproveStep { step: step.into() });
        }
        let hour = rig.hour();
        rig.go(hour, |_| false).await;
        let found = deployment(&rig.world(), "a");
        let replies = [
            Reply::Found(found.clone()),
            Reply::Absent,
            Reply::Listed(vec![]),
            Reply::Accepted(found),
            Reply::Deleted,
            Reply::Conflict { message: "?".into() },
            Reply::Refused { code: 422, reason: "Invalid".into(), message: "?".into() },
            Reply::Throttled { retry_after_seconds: 1 },
            Reply::Unknown { message: "?".into() },
        ];
        let events = rig.events(&run).await;
        let mut state = Run::begin(&run, &events[0]).unwrap();
        // After the last event, too, everything can come in.
        for event in events[1..].iter().map(Some).chain([None]) {
            for now in [rig.now(), rig.now() + SignedDuration::from_hours(3)] {
                // The record tells states between two events of one append too: what follows by itself follows first.
                let Ok(rest) = state.decide(&RunInput::Due, &rules(), now) else {
                    panic!("what is due cannot be rejected")
                };
                let mut at_rest = state.clone();
                rest.iter().for_each(|event| at_rest.apply(event));
                check(&at_rest, now, "at rest");
                runs_met.insert(at_rest.view().status);
                steps_met.extend(at_rest.view().steps.iter().map(|step| step.status));
                let open = at_rest.pending(&rules(), now).effects;
                for input in inputs(&at_rest, &first, &open, &replies) {
                    pairs += 1;
                    given.insert(word(&input));
                    let before = at_rest.clone();
                    if let Ok(decided) = at_rest.decide(&input, &rules(), now) {
                        let mut after = at_rest.clone();
                        decided.iter().for_each(|event| after.apply(event));
                        check(&after, now, &format!("{input:?}"));
                    }
                    assert_eq!(at_rest, before, "deciding changes nothing");
                }
            }
            event.into_iter().for_each(|event| state.apply(event));
        }
    }
    assert!(pairs > 5_000, "{pairs}");
    let every = std::iter::successors(Some(RunStatus::Running), |status| next_run_status(*status));
    assert_eq!(runs_met, every.collect(), "every status of a run was met");
    let every =
        std::iter::successors(Some(StepStatus::Pending), |status| next_step_status(*status));
    assert_eq!(steps_met, every.collect(), "every status of a step was met");
    assert_eq!(given, BTreeSet::from(INPUTS), "every kind of input was given");
}

#[tokio::test]
async fn i3_one_answer_is_taken_for_each_effect() {
    let mut rig = Rig::new().await;
    let first = plan(
        &rig.world(),
        vec![with(scale("one", "a", 3), json!({"postconditions": [ready("a", 3, "2m")]}))],
        vec![],
    );
    let run = rig.submit(1, first);
    let hour = rig.hour();
    loop {
        // Every answer comes twice.
        let twice: Vec<RunInput> =
            rig.inbox.iter().flat_map(|input| [input.clone(), input.clone()]).collect();
        rig.inbox = twice;
        let performed = rig.performed.len();
        rig.go(hour, |rig| rig.performed.len() > performed).await;
        if rig.fleet.view(&run).is_some_and(|view| view.status.is_terminal()) {
            break;
        }
    }
    assert_eq!((rig.view(&run).status, rig.sends()), (RunStatus::Succeeded, 1));
    assert!(!rig.rejected.is_empty());
    rig.assert_single();
}

#[tokio::test]
async fn i4_every_change_names_run_step_key_and_epoch_and_the_first_event_the_machine() {
    let mut rig = Rig::new().await;
    let view = rig.run(vec![scale("one", "a", 3)], vec![]).await;
    let sent = rig
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
        (run_id(1).as_str(), "one", rig.epoch)
    );
    assert_eq!(sent.effect_key, view.effects[0].key);
    assert!(matches!(
        rig.events(&view.run).await[0],
        Event::Started { machine: MACHINE_VERSION, .. }
    ));
}

#[tokio::test]
async fn i9_no_timer_fires_early_and_a_wait_ends_on_time() {
    let mut rig = Rig::new().await;
    let view = rig
        .run(vec![json!({"id": "w", "action": "wait", "arguments": {"duration": "5m"}})], vec![])
        .await;
    // Longer than the step's own timeout, which counts what it does and not what it was told to wait.
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.steps[0].ended_at.unwrap().duration_since(view.started_at).as_secs(), 300);
}
