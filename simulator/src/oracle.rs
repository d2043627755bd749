use crate::world::World;

/// Patterns that must never hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {}

impl World {
    pub(crate) fn look_for_forbidden(&mut self) {}
}
