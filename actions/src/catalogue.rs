use workflow::Catalogue;

/// The one catalogue of actions.
pub fn catalogue() -> Catalogue {
    Catalogue::default()
}
