//! Rollback: which steps are undone, in which order, and how.

use cluster::WriteReply;
use serde_json::Value;
use workflow::manifest::{Compensation, DeclaredCompensation};
use workflow::{Args, Reversibility};

use actions::{Next, Reply};

use super::state::StepState;
use super::{Direction, Rules, Run, interpolate};

/// How a step is undone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Undo {
    /// By running this action.
    Action { action: String, args: Args },
    /// There is nothing to do; `message` says why.
    Nothing { message: String },
    /// It cannot be undone; `message` says why.
    Impossible { message: String },
}

impl Run {
    /// Returns the steps that can be undone now: applied steps of which every applied dependent is already undone.
    pub(super) fn undoable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(|step_index| {
            let needs_undo = |step_index: usize| {
                self.steps[step_index].is_applied()
                    && self.steps[step_index].state != StepState::Compensated
            };
            needs_undo(*step_index)
                && self.steps[*step_index].state == StepState::Finished
                && !(0..self.steps.len()).any(|other| {
                    other != *step_index && needs_undo(other) && self.depends(other, *step_index)
                })
        })
    }

    /// Whether a step remains to be undone.
    pub(super) fn has_pending_undo(&self) -> bool {
        self.steps
            .iter()
            .any(|progress| progress.is_applied() && progress.state != StepState::Compensated)
    }

    /// Whether step `later` depends on step `earlier`, directly or transitively.
    fn depends(&self, later: usize, earlier: usize) -> bool {
        let mut seen = vec![false; self.steps.len()];
        let mut stack = vec![later];
        while let Some(step_index) = stack.pop() {
            for need in self.spec(step_index).needs.iter().filter_map(|need| self.index_of(need)) {
                if need == earlier {
                    return true;
                }
                if !std::mem::replace(&mut seen[need], true) {
                    stack.push(need);
                }
            }
        }
        false
    }

    /// Returns how a step is undone: by its declared compensation, or by the inverse that the catalogue defines.
    pub(super) fn undo_of(&self, step_index: usize, rules: &Rules) -> Undo {
        let step = self.spec(step_index);
        let Some(spec) = rules.catalogue.get(&step.action) else {
            return Undo::Impossible {
                message: format!("the action `{}` is not in the catalogue", step.action),
            };
        };
        // Without a declared compensation, the step is undone if the catalogue has an inverse of its action.
        let by_catalogue = match &step.compensation {
            Some(Compensation::Declared(DeclaredCompensation::None)) => {
                return Undo::Nothing {
                    message: "not undone: the plan declares `compensation: none`".into(),
                };
            }
            Some(Compensation::Step { action, arguments }) => {
                let variables =
                    interpolate::variables(&self.plan.workflow, &self.view, &self.plan.targets);
                return match interpolate::arguments(arguments, &variables) {
                    Ok(args) => Undo::Action { action: action.clone(), args },
                    Err(error) => Undo::Impossible {
                        message: format!(
                            "arguments of its compensation `{action}` cannot be evaluated: {error}"
                        ),
                    },
                };
            }
            Some(Compensation::Declared(DeclaredCompensation::Inverse)) => true,
            None => spec.has_inverse,
        };
        if !by_catalogue {
            let message = match spec.reversibility {
                Reversibility::NoEffect => "nothing to undo",
                Reversibility::Reversible
                | Reversibility::BestEffort
                | Reversibility::Irreversible => "not undone: the action is irreversible",
            };
            return Undo::Nothing { message: message.into() };
        }
        let args = match self.args(step_index, Direction::Apply, rules) {
            Ok((_, args)) => args,
            Err(message) => return Undo::Impossible { message },
        };
        let Some(prior) = self.prior(step_index, rules) else {
            return Undo::Impossible {
                message: format!(
                    "`{}` was partially applied and the state before it is unknown",
                    step.action
                ),
            };
        };
        match actions::inverse(spec, &args, &prior) {
            Some((action, args)) => Undo::Action { action, args },
            None => Undo::Nothing { message: "nothing to undo".into() },
        }
    }

    /// Returns the state before a step, as its action reported it. If the result of a change is unknown, the change is assumed
    /// to be applied; the compensation compares before it reverts, which makes that safe.
    fn prior(&self, step_index: usize, rules: &Rules) -> Option<Value> {
        let progress = &self.steps[step_index];
        if progress.is_action_done {
            return Some(self.view.steps[step_index].prior.clone());
        }
        let (spec, args) = self.args(step_index, Direction::Apply, rules).ok()?;
        let read = progress.replies.iter().rev().find_map(Reply::object)?;
        let mut replies = progress.replies.clone();
        if progress.is_unknown {
            replies.push(WriteReply::Accepted(read.clone()).into());
        }
        match actions::next(spec, &args, &self.step_key(step_index, Direction::Apply), &replies) {
            Next::Done { prior, .. } => Some(prior),
            Next::Read(_)
            | Next::Send { .. }
            | Next::Wait(_)
            | Next::RequestApproval(_)
            | Next::Refused { .. } => None,
        }
    }
}
