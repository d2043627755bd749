use workflow::{Catalogue, Reversibility, Workflow};

use crate::access::Access;
use crate::alternative::fallback_chains;

/// The role of a step in its workflow. A compensation has no role: it is part of the step that it undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepRole {
    /// The workflow does not reach its goal without this step.
    Required,
    /// One of several steps that are tried in order until one succeeds.
    Alternative,
    /// Reads state and changes nothing.
    Diagnostic,
    /// Blocks the run until a condition is met: a wait, a request for approval, or a step that needs approval. No step
    /// is moved across a guard.
    Guard,
}

/// Returns the role of each step, in list order.
///
/// Alternatives form a chain in which each step needs the previous one, has `onFailure: continue`, has post-conditions
/// that decide whether it succeeded, and (except for the first) runs only `when` no earlier step succeeded:
/// `steps.a.status != "succeeded" && steps.b.status != "succeeded"`.
pub fn roles(workflow: &Workflow, catalogue: &Catalogue) -> Vec<StepRole> {
    let steps = &workflow.spec.steps;
    let fallback_chains = fallback_chains(steps);
    let role = |(index, step)| {
        let access = Access::of(step, catalogue);
        if fallback_chains.iter().any(|chain| chain.contains(&index)) {
            StepRole::Alternative
        } else if access.is_guard() {
            StepRole::Guard
        } else if access.spec.is_some_and(|spec| spec.reversibility == Reversibility::NoEffect) {
            StepRole::Diagnostic
        } else {
            StepRole::Required
        }
    };
    steps.iter().enumerate().map(role).collect()
}
