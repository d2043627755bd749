use workflow::{ActionSpec, Args, Catalogue};

use crate::{Next, Reply};
use crate::{
    request_approval, rollout_restart, rollout_undo, scale, set_config_key, set_env, set_image,
    set_probe, set_resources, set_service_port, set_service_selector, wait,
};

/// An entry of the catalogue: the declaration and implementation of an action.
pub(crate) struct CatalogueEntry {
    /// The action name.
    pub(crate) name: &'static str,
    /// Returns the declaration.
    pub(crate) spec: fn() -> ActionSpec,
    /// Returns the next request; see [`crate::next`].
    pub(crate) next: fn(&ActionSpec, &Args, &str, &[Reply]) -> Next,
}

/// Incremented when an action is added or changed.
const VERSION: u32 = 1;

const ENTRIES: [CatalogueEntry; 12] = [
    CatalogueEntry {
        name: request_approval::NAME,
        spec: request_approval::spec,
        next: request_approval::next,
    },
    CatalogueEntry {
        name: rollout_restart::NAME,
        spec: rollout_restart::spec,
        next: rollout_restart::next,
    },
    CatalogueEntry { name: rollout_undo::NAME, spec: rollout_undo::spec, next: rollout_undo::next },
    CatalogueEntry { name: scale::NAME, spec: scale::spec, next: scale::next },
    CatalogueEntry {
        name: set_config_key::NAME,
        spec: set_config_key::spec,
        next: set_config_key::next,
    },
    CatalogueEntry { name: set_env::NAME, spec: set_env::spec, next: set_env::next },
    CatalogueEntry { name: set_image::NAME, spec: set_image::spec, next: set_image::next },
    CatalogueEntry { name: set_probe::NAME, spec: set_probe::spec, next: set_probe::next },
    CatalogueEntry {
        name: set_resources::NAME,
        spec: set_resources::spec,
        next: set_resources::next,
    },
    CatalogueEntry {
        name: set_service_port::NAME,
        spec: set_service_port::spec,
        next: set_service_port::next,
    },
    CatalogueEntry {
        name: set_service_selector::NAME,
        spec: set_service_selector::spec,
        next: set_service_selector::next,
    },
    CatalogueEntry { name: wait::NAME, spec: wait::spec, next: wait::next },
];

/// Returns the catalogue of actions.
pub fn catalogue() -> Catalogue {
    let actions = ENTRIES.iter().map(|entry| (entry.name.to_string(), (entry.spec)())).collect();
    Catalogue { version: VERSION, actions }
}

/// Returns the entry of the action with this name.
pub(crate) fn entry(name: &str) -> Option<&'static CatalogueEntry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}
