use cluster::Reply;
use workflow::{ActionSpec, Args, Catalogue};

use crate::Next;
use crate::{
    ask_human, restore_config_key, rollout_restart, rollout_undo, scale, set_env, set_image,
    set_probe, set_resources, set_service_port, set_service_selector, wait,
};

/// One row of the catalogue: what an action declares, and what it does.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its declaration.
    pub(crate) spec: fn() -> ActionSpec,
    /// What it wants next.
    pub(crate) next: fn(&ActionSpec, &Args, &str, &[Reply]) -> Next,
}

/// Grows when an action is added or changed.
const VERSION: u32 = 1;

const ROWS: [Row; 12] = [
    Row { name: ask_human::NAME, spec: ask_human::spec, next: ask_human::next },
    Row {
        name: restore_config_key::NAME,
        spec: restore_config_key::spec,
        next: restore_config_key::next,
    },
    Row { name: rollout_restart::NAME, spec: rollout_restart::spec, next: rollout_restart::next },
    Row { name: rollout_undo::NAME, spec: rollout_undo::spec, next: rollout_undo::next },
    Row { name: scale::NAME, spec: scale::spec, next: scale::next },
    Row { name: set_env::NAME, spec: set_env::spec, next: set_env::next },
    Row { name: set_image::NAME, spec: set_image::spec, next: set_image::next },
    Row { name: set_probe::NAME, spec: set_probe::spec, next: set_probe::next },
    Row { name: set_resources::NAME, spec: set_resources::spec, next: set_resources::next },
    Row {
        name: set_service_port::NAME,
        spec: set_service_port::spec,
        next: set_service_port::next,
    },
    Row {
        name: set_service_selector::NAME,
        spec: set_service_selector::spec,
        next: set_service_selector::next,
    },
    Row { name: wait::NAME, spec: wait::spec, next: wait::next },
];

/// The one catalogue of actions.
pub fn catalogue() -> Catalogue {
    let actions = ROWS.iter().map(|row| (row.name.to_string(), (row.spec)())).collect();
    Catalogue { version: VERSION, actions }
}

/// The row of the action of this name.
pub(crate) fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
