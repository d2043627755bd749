//! The effects that a driver should perform now, and the next deadline.

use std::collections::BTreeMap;

use actions::Next;
use jiff::Timestamp;
use workflow::condition::Condition;
use workflow::run::{Effect, ObjectQuery, Pending, StopLevel};

use super::state::{ActionProgress, ConditionPoll, EffectRequest, RunGate, StepState};
use super::{Direction, Rules, Run, interpolate, saturating_add};

/// Collects the effects that are due and the earliest later deadline.
struct PendingWork {
    now: Timestamp,
    effects: Vec<Effect>,
    deadline: Option<Timestamp>,
}

impl PendingWork {
    /// Lowers the deadline to `at`. Times up to now are ignored: they were due at the last decision already, and a pause
    /// or an emergency stop defers them.
    fn set_deadline(&mut self, at: Timestamp) {
        if at > self.now {
            self.deadline = Some(self.deadline.map_or(at, |other| other.min(at)));
        }
    }

    /// Adds the effect if it is due, else its start as a deadline.
    fn schedule(
        &mut self,
        effect_request: &EffectRequest,
        effect: impl FnOnce() -> Option<Effect>,
    ) {
        if effect_request.not_before > self.now {
            self.set_deadline(effect_request.not_before);
        } else if let Some(effect) = effect() {
            self.effects.push(effect);
        }
    }
}

impl Run {
    /// Returns the effects to perform at `now` and the next deadline. An effect is returned until its result is folded;
    /// the caller remembers which effects it has dispatched.
    pub fn pending(&self, rules: &Rules, now: Timestamp) -> Pending {
        let mut work = PendingWork { now, effects: Vec::new(), deadline: None };
        if self.view.ended_at.is_some() {
            return Pending::default();
        }
        if let RunGate::Baseline { effect_request, .. } = &self.gate
            && !self.is_held()
        {
            work.schedule(effect_request, || Some(self.measure(effect_request, now)));
        }
        for step_index in 0..self.steps.len() {
            self.pending_step(step_index, rules, &mut work);
        }
        if let Some(condition_polls) = &self.success
            && !self.is_held()
        {
            self.pending_conditions(condition_polls, &self.plan.workflow.spec.success, &mut work);
        }
        Pending { effects: work.effects, deadline: work.deadline }
    }

    fn pending_step(&self, step_index: usize, rules: &Rules, work: &mut PendingWork) {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        // Verification continues during a pause and under an L1 stop (at the step boundary), but not under L2 (immediate).
        let is_stopped = self.view.emergency_stop.is_some_and(|level| level >= StopLevel::L2);
        match &progress.state {
            StepState::Pending
            | StepState::Ready
            | StepState::Declined { .. }
            | StepState::Skipping { .. }
            | StepState::Verified
            | StepState::Finished
            | StepState::Compensated => {}
            StepState::EvaluatingWhen(effect_request) if !self.is_held() => {
                work.schedule(effect_request, || {
                    let check = step.when.clone()?;
                    let condition = Condition {
                        name: None,
                        read: BTreeMap::new(),
                        check,
                        within: None,
                        hold_for: None,
                    };
                    Some(self.judge(effect_request, condition))
                })
            }
            StepState::EvaluatingWhen(_) => {}
            StepState::Reconsidering(effect_request) if !self.is_held() => {
                let now = work.now;
                work.schedule(effect_request, || Some(self.measure(effect_request, now)));
            }
            StepState::Reconsidering(_) => {}
            StepState::AwaitingApproval { expires_at } => work.set_deadline(*expires_at),
            StepState::CheckingPreconditions(condition_polls) if !self.is_held() => {
                self.pending_conditions(condition_polls, &step.preconditions, work)
            }
            StepState::CheckingPreconditions(_) => {}
            StepState::Applying(action) => {
                self.pending_action(step_index, Direction::Apply, action, rules, work)
            }
            StepState::Compensating(action) => {
                self.pending_action(step_index, Direction::Compensate, action, rules, work)
            }
            StepState::CheckingPostconditions(condition_polls) if !is_stopped => {
                self.pending_conditions(condition_polls, &step.postconditions, work)
            }
            StepState::CheckingHealth { effect_request, .. } if !is_stopped => {
                let now = work.now;
                work.schedule(effect_request, || Some(self.measure(effect_request, now)));
            }
            StepState::CheckingPostconditions(_) | StepState::CheckingHealth { .. } => {}
            StepState::Backoff { until } | StepState::CompensationBackoff { until } => {
                work.set_deadline(*until)
            }
        }
    }

    fn pending_action(
        &self,
        step_index: usize,
        direction: Direction,
        action: &ActionProgress,
        rules: &Rules,
        work: &mut PendingWork,
    ) {
        let (step, progress) = (self.spec(step_index), &self.steps[step_index]);
        match action {
            ActionProgress::Preparing(effect_request) => {
                let next = self.next(step_index, direction, rules);
                match next {
                    Ok(Next::Wait(duration)) => work
                        .set_deadline(saturating_add(effect_request.not_before, duration.signed())),
                    Ok(Next::Read(queries)) if !self.is_held() => {
                        work.set_deadline(saturating_add(progress.clock, step.timeout.signed()));
                        work.schedule(effect_request, || {
                            Some(Effect::Read {
                                id: effect_request.id.clone(),
                                run: self.view.run.clone(),
                                queries,
                            })
                        });
                    }
                    Ok(Next::Send { .. }) if !self.is_held() => {
                        work.set_deadline(saturating_add(progress.clock, step.timeout.signed()))
                    }
                    Ok(
                        Next::Read(_)
                        | Next::Send { .. }
                        | Next::RequestApproval(_)
                        | Next::Done { .. }
                        | Next::Refused { .. },
                    )
                    | Err(_) => {}
                }
            }
            ActionProgress::AwaitingApproval { expires_at } => work.set_deadline(*expires_at),
            ActionProgress::Sent { intent, at } => {
                work.set_deadline(saturating_add(*at, super::advance::SEND_TIMEOUT));
                work.effects.push(Effect::Send {
                    id: intent.effect.clone(),
                    run: self.view.run.clone(),
                    request: intent.request.clone(),
                });
            }
            ActionProgress::Resolving { needs_operator: true, .. } => {}
            // An unknown result is resolved even under an emergency stop: reading changes nothing, and operators need to
            // know whether the change was applied.
            ActionProgress::Resolving { effect_request, intent, .. } => {
                work.schedule(effect_request, || {
                    let queries = vec![ObjectQuery::One(intent.request.target.clone())];
                    Some(Effect::Read {
                        id: effect_request.id.clone(),
                        run: self.view.run.clone(),
                        queries,
                    })
                })
            }
        }
    }

    fn pending_conditions(
        &self,
        condition_polls: &[ConditionPoll],
        conditions: &[Condition],
        work: &mut PendingWork,
    ) {
        for poll in condition_polls.iter().filter(|poll| !poll.is_met) {
            work.schedule(&poll.effect_request, || {
                Some(self.judge(&poll.effect_request, conditions.get(poll.index)?.clone()))
            });
        }
    }

    fn judge(&self, effect_request: &EffectRequest, condition: Condition) -> Effect {
        let bindings = interpolate::variables(&self.plan.workflow, &self.view, &self.plan.targets);
        // A placeholder that cannot be evaluated is left in place: the read finds nothing and the condition is not true.
        let condition = interpolate::condition(&condition, &bindings).unwrap_or(condition);
        Effect::Evaluate {
            id: effect_request.id.clone(),
            run: self.view.run.clone(),
            condition,
            bindings,
        }
    }

    fn measure(&self, effect_request: &EffectRequest, at: Timestamp) -> Effect {
        Effect::Measure {
            id: effect_request.id.clone(),
            run: self.view.run.clone(),
            objects: self.view.guarded.clone(),
            at,
        }
    }
}
