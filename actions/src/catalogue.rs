use workflow::Catalogue;

use crate::Action;

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
