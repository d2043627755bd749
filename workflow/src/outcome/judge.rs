use cluster::{Health, ObjectRef};

use super::OutcomeStatus;
use crate::run::{RunStatus, RunView};

/// How a plan was executed.
#[derive(Clone, Copy, Debug)]
pub enum ExecutedPlan<'a> {
    /// The plan was run.
    Run(&'a RunView),
    /// The plan makes no change.
    DoNothing,
    /// The incident was escalated to an operator.
    Escalated,
}

/// Determines the result of a plan from the alert, the health before and after, and the status of the run.
///
/// Success requires two independent signals. An alert also resolves if its target is deleted, so every guarded object
/// must be at least as healthy as before, and the target must be healthy. If health cannot be read, the result is
/// [`OutcomeStatus::Unknown`], never success.
///
/// After an escalation, a recovery is attributed to the operator: [`OutcomeStatus::ResolvedManually`]. `target` is the
/// target of the incident. `before` and `after` may be in any order.
pub fn judge(
    execution: ExecutedPlan<'_>,
    is_firing: bool,
    has_recurred: bool,
    target: Option<&ObjectRef>,
    before: &[(ObjectRef, Health)],
    after: &[(ObjectRef, Health)],
) -> (OutcomeStatus, Vec<String>) {
    let mut reasons = Vec::new();
    let now = |object: &ObjectRef| {
        after.iter().find(|(other, _)| other.is_same(object)).map(|(_, health)| health)
    };
    for (object, health) in before {
        match now(object) {
            Some(after) if after.is_worse_than(health) => {
                reasons.push(format!(
                    "{object} is less healthy than before: {} of {} ready, was {} of {}",
                    after.ready, after.desired, health.ready, health.desired
                ));
                return (OutcomeStatus::Worse, reasons);
            }
            Some(_) => {}
            None => reasons.push(format!("health of {object} could not be read")),
        }
    }
    if !reasons.is_empty() {
        return (OutcomeStatus::Unknown, reasons);
    }
    if has_recurred {
        return (OutcomeStatus::Recurred, vec!["the alert resolved and fired again".into()]);
    }
    if is_firing {
        return (OutcomeStatus::NotResolved, vec!["the alert still fires".into()]);
    }
    let Some(target) = target else {
        return (OutcomeStatus::Unknown, vec!["the object of the alert was not found".into()]);
    };
    match now(target) {
        None => {
            return (OutcomeStatus::Unknown, vec![format!("health of {target} could not be read")]);
        }
        Some(health) if health.level != cluster::HealthLevel::Healthy => {
            return (
                OutcomeStatus::NotResolved,
                vec![format!("{target} is not healthy: {}", health.message)],
            );
        }
        Some(_) => reasons.push(format!("{target} is healthy")),
    }
    let status = match execution {
        ExecutedPlan::Escalated => {
            reasons.push("the incident was escalated, and the alert no longer fires".into());
            return (OutcomeStatus::ResolvedManually, reasons);
        }
        ExecutedPlan::DoNothing => None,
        ExecutedPlan::Run(run) => Some(run.status),
    };
    match status {
        None => reasons.push("nothing was run".into()),
        Some(RunStatus::Succeeded) => reasons.push("the run succeeded".into()),
        Some(
            status @ (RunStatus::Failed
            | RunStatus::RolledBack
            | RunStatus::Cancelled
            | RunStatus::Running
            | RunStatus::Paused
            | RunStatus::AwaitingApproval
            | RunStatus::Compensating
            | RunStatus::NeedsHuman),
        ) => {
            // The target recovered, but not because of this run: the plan gets no reward.
            let status = serde_json::to_value(status).expect("a status is a word");
            reasons.push(format!("the run is {}", status.as_str().expect("a status is a word")));
            return (OutcomeStatus::NotResolved, reasons);
        }
    }
    reasons.push("the alert no longer fires".into());
    (OutcomeStatus::Resolved, reasons)
}
