use workflow::{Catalogue, Reversibility, Workflow};

use crate::alternative::chains;
use crate::touch::Touch;

/// What part a step plays. Compensations are no steps of their own: they stand within the step that they undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The goal fails without it.
    Required,
    /// One of several, any of which may reach the goal; the first that does ends the search.
    Alternative,
    /// It looks at something and changes nothing.
    Diagnostic,
    /// It holds the run up until something is so: a wait, a question to a person, a step that needs approval. Nothing
    /// moves past it.
    Guard,
}

/// The role of each step, in the order of the list.
///
/// Alternatives are a chain in which each step needs the one before it, goes on when it fails, has post-conditions that
/// say whether it worked, and (but for the first) runs only `when` none before it succeeded:
/// `steps.a.status != "succeeded" && steps.b.status != "succeeded"`.
pub fn roles(workflow: &Workflow, catalogue: &Catalogue) -> Vec<Role> {
    let steps = &workflow.spec.steps;
    let chains = chains(steps);
    let role = |(place, step)| {
        let touch = Touch::of(step, catalogue);
        if chains.iter().any(|chain| chain.contains(&place)) {
            Role::Alternative
        } else if touch.is_guard() {
            Role::Guard
        } else if touch.spec.is_some_and(|spec| spec.reversibility == Reversibility::NoEffect) {
            Role::Diagnostic
        } else {
            Role::Required
        }
    };
    steps.iter().enumerate().map(role).collect()
}
