use cluster::ObjectRef;
use workflow::{ActionSpec, Args, Catalogue, Condition, ErrorCode};

use crate::{Action, Next, Reply, check_arguments, target};

/// Incremented when an action is added or changed.
const VERSION: u32 = 1;

/// Every action. The learner's features `action:NAME` have this order, so a new action goes to the end.
static ACTIONS: [&dyn Action; 12] = [
    &crate::request_approval::RequestApproval,
    &crate::set_config_key::SetConfigKey,
    &crate::rollout_restart::RolloutRestart,
    &crate::rollout_undo::RolloutUndo,
    &crate::scale::Scale,
    &crate::set_env::SetEnv,
    &crate::set_image::SetImage,
    &crate::set_probe::SetProbe,
    &crate::set_resources::SetResources,
    &crate::set_service_port::SetServicePort,
    &crate::set_service_selector::SetServiceSelector,
    &crate::wait::Wait,
];

/// Returns every action, in the order of the learner's features.
pub fn all() -> &'static [&'static dyn Action] {
    &ACTIONS
}

/// Returns the action with this name.
pub fn find(name: &str) -> Option<&'static dyn Action> {
    all().iter().copied().find(|action| action.name() == name)
}

/// Returns the declarations of all actions.
pub fn catalogue() -> Catalogue {
    let actions = all().iter().map(|action| (action.name().to_string(), action.spec())).collect();
    Catalogue { version: VERSION, actions }
}

/// Returns the action's next step, given the replies of this attempt so far.
///
/// `key` is the step's key: actions of class [`workflow::ActionClass::Marked`] derive their marker from it, so that a
/// repeat changes nothing. `replies` contains the responses to the reads and sends of this attempt, in order. If a response
/// was [`cluster::WriteReply::Unknown`] and [`crate::was_applied`] resolved it, `replies` contains the `Unknown` itself if the
/// request was not applied, and an `Accepted` with the object that the read returned if it was. Every change reads its target first; after a conflict the
/// target is read again, at most three times.
pub fn next(spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
    let Some(action) = find(&spec.name) else {
        return Next::refused(
            ErrorCode::UnknownAction,
            format!("there is no action `{}`", spec.name),
        );
    };
    if let Some((path, message)) = check_arguments(spec, args).into_iter().next() {
        return Next::refused(
            ErrorCode::InvalidArguments,
            format!("`{}` has an invalid argument `{path}`: {message}", spec.name),
        );
    }
    action.next(spec, args, key, replies)
}

/// Returns the default post-conditions of an action: the workload is rolled out and ready, the Service has ready endpoints.
/// `workload` is the workload that the step remediates, if the target is another object.
///
/// Absent status fields count as zero, because Kubernetes omits zeros.
pub fn default_postconditions(
    spec: &ActionSpec,
    args: &Args,
    workload: Option<&ObjectRef>,
) -> Vec<Condition> {
    match (find(&spec.name), target(spec, args, "")) {
        (Some(action), Some(target)) => action.postconditions(&target, args, workload),
        (None, _) | (_, None) => Vec::new(),
    }
}
