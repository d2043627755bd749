use cluster::{Health, ObjectRef};

use super::Verdict;
use crate::run::{RunStatus, RunView};

/// What was done of a plan.
#[derive(Clone, Copy, Debug)]
pub enum Done<'a> {
    /// It was run.
    Run(&'a RunView),
    /// Nothing was to be done.
    Nothing,
    /// A person was asked.
    Asked,
}

/// What came of a plan: the alert, the health before and after, and how the run ended, taken together.
///
/// Two independent signals are asked for: that the alert no longer fires alone is also true of a deleted target, so
/// every guarded object must be at least as healthy as before, and the target healthy. What cannot be read is
/// [`Verdict::Unknown`], never success.
///
/// Where a person was asked, what they mended is theirs: [`Verdict::ByPerson`]. `target` is the incident's target.
/// `health` lists are in any order.
pub fn judge(
    done: Done<'_>,
    is_firing: bool,
    has_recurred: bool,
    target: Option<&ObjectRef>,
    before: &[(ObjectRef, Health)],
    after: &[(ObjectRef, Health)],
) -> (Verdict, Vec<String>) {
    let mut because = Vec::new();
    let now = |object: &ObjectRef| {
        after.iter().find(|(other, _)| other.is_same(object)).map(|(_, health)| health)
    };
    for (object, health) in before {
        match now(object) {
            Some(after) if after.is_below(health) => {
                because.push(format!(
                    "{object} is worse than before: {} ready of {}, was {} of {}",
                    after.ready, after.desired, health.ready, health.desired
                ));
                return (Verdict::Worse, because);
            }
            Some(_) => {}
            None => because.push(format!("health of {object} could not be read")),
        }
    }
    if !because.is_empty() {
        return (Verdict::Unknown, because);
    }
    if has_recurred {
        return (Verdict::Recurred, vec!["the alert ended and fired again".into()]);
    }
    if is_firing {
        return (Verdict::NotResolved, vec!["the alert still fires".into()]);
    }
    let Some(target) = target else {
        return (Verdict::Unknown, vec!["no object was found that the alert is about".into()]);
    };
    match now(target) {
        None => return (Verdict::Unknown, vec![format!("health of {target} could not be read")]),
        Some(health) if health.level != cluster::HealthLevel::Healthy => {
            return (
                Verdict::NotResolved,
                vec![format!("{target} is not healthy: {}", health.reason)],
            );
        }
        Some(_) => because.push(format!("{target} is healthy")),
    }
    let status = match done {
        Done::Asked => {
            because.push("a person was asked, and the alert no longer fires".into());
            return (Verdict::ByPerson, because);
        }
        Done::Nothing => None,
        Done::Run(run) => Some(run.status),
    };
    match status {
        None => because.push("nothing was run".into()),
        Some(RunStatus::Succeeded) => because.push("the run succeeded".into()),
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
            // It got well, but not by what we did: the plan earns nothing for it.
            let status = serde_json::to_value(status).expect("a status is a word");
            because.push(format!("the run is {}", status.as_str().expect("a status is a word")));
            return (Verdict::NotResolved, because);
        }
    }
    because.push("the alert no longer fires".into());
    (Verdict::Resolved, because)
}
