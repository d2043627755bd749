//! What a driver should be doing now.

use std::collections::BTreeMap;

use actions::Next;
use jiff::Timestamp;
use workflow::condition::Condition;
use workflow::run::{Effect, ObjectQuery, Pending, StopLevel};

use super::state::{Ask, Doing, Gate, Stage, Watch};
use super::{Deed, Rules, Run, fill, later};

/// Effects that are due, and moments at which something else is.
struct Agenda {
    now: Timestamp,
    effects: Vec<Effect>,
    deadline: Option<Timestamp>,
}

impl Agenda {
    /// What lies before now was due when something was last decided, and is kept back by a pause or a stop.
    fn until(&mut self, at: Timestamp) {
        if at > self.now {
            self.deadline = Some(self.deadline.map_or(at, |other| other.min(at)));
        }
    }

    fn ask(&mut self, ask: &Ask, effect: impl FnOnce() -> Option<Effect>) {
        if ask.not_before > self.now {
            self.until(ask.not_before);
        } else if let Some(effect) = effect() {
            self.effects.push(effect);
        }
    }
}

impl Run {
    /// What a driver should be doing at `now`: effects to perform, and the next deadline. An effect stands here until
    /// its answer is folded; whoever hands effects out remembers which.
    pub fn pending(&self, rules: &Rules, now: Timestamp) -> Pending {
        let mut agenda = Agenda { now, effects: Vec::new(), deadline: None };
        if self.view.ended_at.is_some() {
            return Pending::default();
        }
        if let Gate::Baseline { ask, .. } = &self.gate
            && !self.is_held()
        {
            agenda.ask(ask, || Some(self.measure(ask, now)));
        }
        for place in 0..self.steps.len() {
            self.pending_step(place, rules, &mut agenda);
        }
        if let Some(watches) = &self.success
            && !self.is_held()
        {
            self.pending_watches(watches, &self.plan.workflow.spec.success, &mut agenda);
        }
        Pending { effects: agenda.effects, deadline: agenda.deadline }
    }

    fn pending_step(&self, place: usize, rules: &Rules, agenda: &mut Agenda) {
        let (step, state) = (self.spec(place), &self.steps[place]);
        // What verifies goes on under a pause and under a stop at the boundary, not under one that stops now.
        let is_stopped = self.view.held.is_some_and(|level| level >= StopLevel::L2);
        match &state.stage {
            Stage::Pending
            | Stage::Ready
            | Stage::Declined { .. }
            | Stage::Unwanted { .. }
            | Stage::Proven
            | Stage::Over
            | Stage::Undone => {}
            Stage::When(ask) if !self.is_held() => agenda.ask(ask, || {
                let check = step.when.clone()?;
                let condition = Condition {
                    name: None,
                    read: BTreeMap::new(),
                    check,
                    within: None,
                    hold_for: None,
                };
                Some(self.judge(ask, condition))
            }),
            Stage::When(_) => {}
            Stage::Doubted(ask) if !self.is_held() => {
                let now = agenda.now;
                agenda.ask(ask, || Some(self.measure(ask, now)));
            }
            Stage::Doubted(_) => {}
            Stage::Approving { expires_at } => agenda.until(*expires_at),
            Stage::Pre(watches) if !self.is_held() => {
                self.pending_watches(watches, &step.preconditions, agenda)
            }
            Stage::Pre(_) => {}
            Stage::Acting(doing) => self.pending_doing(place, Deed::Act, doing, rules, agenda),
            Stage::Undoing(doing) => self.pending_doing(place, Deed::Undo, doing, rules, agenda),
            Stage::Post(watches) if !is_stopped => {
                self.pending_watches(watches, &step.postconditions, agenda)
            }
            Stage::Guard { ask, .. } if !is_stopped => {
                let now = agenda.now;
                agenda.ask(ask, || Some(self.measure(ask, now)));
            }
            Stage::Post(_) | Stage::Guard { .. } => {}
            Stage::Backoff { until } | Stage::UndoBackoff { until } => agenda.until(*until),
        }
    }

    fn pending_doing(
        &self,
        place: usize,
        deed: Deed,
        doing: &Doing,
        rules: &Rules,
        agenda: &mut Agenda,
    ) {
        let (step, state) = (self.spec(place), &self.steps[place]);
        match doing {
            Doing::Asking(ask) => {
                let next = self.next(place, deed, rules);
                match next {
                    Ok(Next::Wait(span)) => agenda.until(later(ask.not_before, span.signed())),
                    Ok(Next::Read(queries)) if !self.is_held() => {
                        agenda.until(later(state.clock, step.timeout.signed()));
                        agenda.ask(ask, || {
                            Some(Effect::Read {
                                id: ask.id.clone(),
                                run: self.view.run.clone(),
                                queries,
                            })
                        });
                    }
                    Ok(Next::Send { .. }) if !self.is_held() => {
                        agenda.until(later(state.clock, step.timeout.signed()))
                    }
                    Ok(
                        Next::Read(_)
                        | Next::Send { .. }
                        | Next::Ask(_)
                        | Next::Done { .. }
                        | Next::Refused { .. },
                    )
                    | Err(_) => {}
                }
            }
            Doing::Person { expires_at } => agenda.until(*expires_at),
            Doing::Sent { intent, at } => {
                agenda.until(later(*at, super::follow::SEND_DEADLINE));
                agenda.effects.push(Effect::Send {
                    id: intent.effect.clone(),
                    run: self.view.run.clone(),
                    request: intent.request.clone(),
                });
            }
            Doing::Resolving { needs_human: true, .. } => {}
            // What is in doubt is looked into even under a stop: it changes nothing, and people want to know.
            Doing::Resolving { ask, intent, .. } => agenda.ask(ask, || {
                let queries = vec![ObjectQuery::One(intent.request.target.clone())];
                Some(Effect::Read { id: ask.id.clone(), run: self.view.run.clone(), queries })
            }),
        }
    }

    fn pending_watches(&self, watches: &[Watch], conditions: &[Condition], agenda: &mut Agenda) {
        for watch in watches.iter().filter(|watch| !watch.is_met) {
            agenda.ask(&watch.ask, || {
                Some(self.judge(&watch.ask, conditions.get(watch.index)?.clone()))
            });
        }
    }

    fn judge(&self, ask: &Ask, condition: Condition) -> Effect {
        let bindings = fill::bindings(&self.plan.workflow, &self.view, &self.plan.targets);
        // A hole that cannot be filled stays as it is: its read finds nothing, and the condition is not true.
        let condition = fill::condition(&condition, &bindings).unwrap_or(condition);
        Effect::Judge { id: ask.id.clone(), run: self.view.run.clone(), condition, bindings }
    }

    fn measure(&self, ask: &Ask, at: Timestamp) -> Effect {
        Effect::Measure {
            id: ask.id.clone(),
            run: self.view.run.clone(),
            objects: self.view.guarded.clone(),
            at,
        }
    }
}
