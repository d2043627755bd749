//! What a person is told of a plan: what the planner says of it, whether chance drew it, and what its confidence rests on.

use workflow::decision::Considered;
use workflow::{Candidate, Decision, Evidence};

/// The sentences of a plan's explanation.
pub(crate) fn explanation(
    candidate: &Candidate,
    evidence: &Evidence,
    decision: &Decision,
    model: &learner::Model,
) -> Vec<String> {
    let mut sentences = planner::explain(candidate, evidence);
    sentences.extend(drawn(decision));
    sentences.push(grounds(model));
    sentences
}

/// What is said of a choice that was not the likeliest one.
fn drawn(decision: &Decision) -> Option<String> {
    let likelier = |a: &&Considered, b: &&Considered| a.propensity.total_cmp(&b.propensity);
    let likeliest = decision.options.iter().max_by(likelier)?;
    (likeliest.propensity > decision.propensity).then(|| {
        format!(
            "It was drawn by chance, with probability {:.1} %, so that something is learned of it; the likeliest was {} with {:.1} %.",
            decision.propensity * 100.0,
            likeliest.workflow,
            likeliest.propensity * 100.0
        )
    })
}

/// What a confidence rests on, said to a person.
fn grounds(model: &learner::Model) -> String {
    match (model.outcomes(), model.imported()) {
        (0, _) => "Nothing was learned yet: its confidence is where every plan begins.".into(),
        (lessons, 0) => format!("Its confidence rests on {lessons} lessons, all learned here."),
        (lessons, imported) => format!(
            "Its confidence rests on {lessons} lessons, those of {imported} imported executions among them."
        ),
    }
}
