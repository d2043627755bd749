//! Explains a plan to an operator: the planner's explanation, whether the plan was chosen for exploration, and what its
//! confidence is based on.

use workflow::decision::ScoredCandidate;
use workflow::{Candidate, Decision, Evidence};

/// Returns the sentences of a plan's explanation.
pub(crate) fn explanation(
    candidate: &Candidate,
    evidence: &Evidence,
    decision: &Decision,
    model: &learner::Model,
) -> Vec<String> {
    let mut sentences = planner::explain(candidate, evidence);
    sentences.extend(exploration(decision));
    sentences.push(confidence_basis(model));
    sentences
}

/// Returns the sentence about a choice that was not the most likely one.
fn exploration(decision: &Decision) -> Option<String> {
    let by_propensity =
        |a: &&ScoredCandidate, b: &&ScoredCandidate| a.propensity.total_cmp(&b.propensity);
    let most_likely = decision.candidates.iter().max_by(by_propensity)?;
    (most_likely.propensity > decision.propensity).then(|| {
        format!(
            "It was chosen at random with probability {:.1} %, to learn how well it works (exploration); the most likely choice was {} with {:.1} %.",
            decision.propensity * 100.0,
            most_likely.workflow,
            most_likely.propensity * 100.0
        )
    })
}

/// Returns the sentence about the observations that the confidence is based on.
fn confidence_basis(model: &learner::Model) -> String {
    match (model.outcomes(), model.imported()) {
        (0, _) => "No outcomes have been observed yet: its confidence is the initial value.".into(),
        (outcomes, 0) => {
            format!("Its confidence is based on {outcomes} outcomes observed in this installation.")
        }
        (outcomes, imported) => {
            format!("Its confidence is based on {outcomes} outcomes, {imported} of them imported.")
        }
    }
}
