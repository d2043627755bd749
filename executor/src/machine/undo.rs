//! Undoing: which steps, in which order, by what.

use cluster::Reply;
use serde_json::Value;
use workflow::manifest::{Compensation, DeclaredCompensation};
use workflow::{Args, Reversibility};

use actions::Next;

use super::state::Stage;
use super::{Deed, Rules, Run, fill};

/// How a step is undone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Undo {
    /// By this action.
    By { action: String, args: Args },
    /// Not at all, and that is well.
    Nothing { how: String },
    /// It cannot be.
    Cannot { residue: String },
}

impl Run {
    /// The steps that are to be undone now: applied, and every applied step that depends on them is undone already.
    pub(super) fn undoable(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(|place| {
            let owes = |place: usize| {
                self.steps[place].is_applied() && self.steps[place].stage != Stage::Undone
            };
            owes(*place)
                && self.steps[*place].stage == Stage::Over
                && !(0..self.steps.len())
                    .any(|other| other != *place && owes(other) && self.depends(other, *place))
        })
    }

    /// Whether anything is still to be undone.
    pub(super) fn owes_undo(&self) -> bool {
        self.steps.iter().any(|state| state.is_applied() && state.stage != Stage::Undone)
    }

    /// Whether step `later` needs step `earlier`, itself or through others.
    fn depends(&self, later: usize, earlier: usize) -> bool {
        let mut seen = vec![false; self.steps.len()];
        let mut left = vec![later];
        while let Some(place) = left.pop() {
            for need in self.spec(place).needs.iter().filter_map(|need| self.place(need)) {
                if need == earlier {
                    return true;
                }
                if !std::mem::replace(&mut seen[need], true) {
                    left.push(need);
                }
            }
        }
        false
    }

    pub(super) fn undo_of(&self, place: usize, rules: &Rules) -> Undo {
        let step = self.spec(place);
        let Some(spec) = rules.catalogue.get(&step.action) else {
            return Undo::Cannot {
                residue: format!("the action `{}` is no longer known", step.action),
            };
        };
        // Where nothing is said, what the catalogue can undo is undone.
        let by_catalogue = match &step.compensation {
            Some(Compensation::Declared(DeclaredCompensation::None)) => {
                return Undo::Nothing { how: "left as it is: the plan says so".into() };
            }
            Some(Compensation::Step { action, arguments }) => {
                let bindings = fill::bindings(&self.plan.workflow, &self.view, &self.plan.targets);
                return match fill::arguments(arguments, &bindings) {
                    Ok(args) => Undo::By { action: action.clone(), args },
                    Err(why) => Undo::Cannot {
                        residue: format!(
                            "its compensation `{action}` cannot be told what to do: {why}"
                        ),
                    },
                };
            }
            Some(Compensation::Declared(DeclaredCompensation::Inverse)) => true,
            None => spec.has_inverse,
        };
        if !by_catalogue {
            let how = match spec.reversibility {
                Reversibility::NoEffect => "nothing to undo",
                Reversibility::Reversible
                | Reversibility::BestEffort
                | Reversibility::Irreversible => "left as it is: there is no way back",
            };
            return Undo::Nothing { how: how.into() };
        }
        let args = match self.args(place, Deed::Act, rules) {
            Ok((_, args)) => args,
            Err(why) => return Undo::Cannot { residue: why },
        };
        let Some(prior) = self.prior(place, rules) else {
            return Undo::Cannot {
                residue: format!(
                    "`{}` was applied in part, and what stood there before it is not known",
                    step.action
                ),
            };
        };
        match actions::inverse(spec, &args, &prior) {
            Some((action, args)) => Undo::By { action, args },
            None => Undo::Nothing { how: "nothing to undo".into() },
        }
    }

    /// The state before a step: as its action told, or would have told had the change that is in doubt been accepted.
    /// Its undo compares before it reverts, so assuming too much does no harm.
    fn prior(&self, place: usize, rules: &Rules) -> Option<Value> {
        let state = &self.steps[place];
        if state.is_done {
            return Some(self.view.steps[place].prior.clone());
        }
        let (spec, args) = self.args(place, Deed::Act, rules).ok()?;
        let read = state.replies.iter().rev().find_map(Reply::object)?;
        let mut replies = state.replies.clone();
        if state.is_unknown {
            replies.push(Reply::Accepted(read.clone()));
        }
        match actions::next(spec, &args, &self.step_key(place, Deed::Act), &replies) {
            Next::Done { prior, .. } => Some(prior),
            Next::Read(_)
            | Next::Send { .. }
            | Next::Wait(_)
            | Next::Ask(_)
            | Next::Refused { .. } => None,
        }
    }
}
