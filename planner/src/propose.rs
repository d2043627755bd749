use actions::{Action, RequestApproval};
use workflow::id::CandidateId;
use workflow::{
    Candidate, Catalogue, Evidence, PastExecution, Source, Template, Workflow, id::PlanId,
};

use crate::features::features;
use crate::retrieval::{Neighbour, Retrieval, TOP_K};
use crate::reversal::{Reversal, reversals, rollout_undos, with_restart};
use crate::step::{PlannedAction, steps_of, targets_of};
use crate::{retrieval, signature, template};

/// The sources of candidates. "Do nothing" and "escalate" are proposed even if all of these are empty or off.
#[derive(Clone, Copy, Debug)]
pub struct CandidateSources<'a> {
    /// Remediation templates to match against the evidence.
    pub templates: &'a [Template],
    /// Similar past executions, as returned by [`neighbours`].
    pub neighbours: &'a [Neighbour],
    /// Whether to propose reverting changes since the known-good state.
    pub reversal: ReversalMode,
    /// Corrections by operators, oldest first, each with the plan that it corrected.
    pub corrections: &'a [(PlanId, PastExecution)],
}

/// Whether change reversal is a source of candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReversalMode {
    /// Changes since the known-good state are proposed to be reverted.
    #[default]
    On,
    /// No reversals are proposed. For comparison in evaluations.
    Off,
}

/// Returns the [`TOP_K`](crate::retrieval::TOP_K) past executions most similar to this incident, most similar first.
pub fn neighbours(evidence: &Evidence, retrieval: &dyn Retrieval) -> Vec<Neighbour> {
    if evidence.target.is_none() || retrieval.is_empty() {
        return Vec::new();
    }
    retrieval.similar(&signature(evidence), TOP_K)
}

/// A proposed workflow, before its features are computed and duplicates are merged.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) source: Source,
    pub(crate) workflow: Workflow,
    pub(crate) reasons: Vec<String>,
}

/// Proposes candidates from every source, each with its features and reasons, in a fixed order.
///
/// Workflows with the same steps become one candidate with the reasons of all. Without a target only "do nothing" and
/// "escalate" are proposed.
pub fn propose(
    evidence: &Evidence,
    sources: &CandidateSources<'_>,
    catalogue: &Catalogue,
) -> Vec<Candidate> {
    let mut drafts = Vec::new();
    if evidence.target.is_some() {
        for template in sources.templates {
            drafts.extend(template::drafts(template, evidence, catalogue));
        }
        if sources.reversal == ReversalMode::On {
            drafts.extend(reversal_drafts(evidence, catalogue));
        }
        drafts.extend(retrieval::from_corrections(sources.corrections, evidence, catalogue));
        drafts.extend(retrieval::from_history(sources.neighbours, evidence, catalogue));
    }
    drafts.push(do_nothing());
    drafts.push(escalate(evidence, catalogue));

    let mut candidates: Vec<Candidate> = Vec::new();
    for draft in drafts {
        let counter = candidates.len() as u64;
        let candidate = Candidate {
            id: CandidateId::derive(evidence.at, evidence.incident.as_str(), counter),
            incident: evidence.incident.clone(),
            targets: targets_of(&draft.workflow.spec.steps, evidence, catalogue),
            features: features(
                &draft.workflow,
                &draft.source,
                evidence,
                catalogue,
                sources.neighbours,
            ),
            source: draft.source,
            workflow: draft.workflow,
            reasons: draft.reasons,
        };
        let digest = candidate.content_digest();
        match candidates.iter_mut().find(|other| other.content_digest() == digest) {
            Some(other) => {
                for reason in candidate.reasons {
                    if !other.reasons.contains(&reason) {
                        other.reasons.push(reason);
                    }
                }
            }
            None => candidates.push(candidate),
        }
    }
    candidates
}

/// Creates a workflow of `actions`, named `PREFIX-ACTION-ACTION…` (at most 63 characters).
pub(crate) fn workflow_of(
    prefix: &str,
    description: &str,
    actions: &[PlannedAction],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Workflow {
    let names: Vec<&str> = actions.iter().map(|planned| planned.action.as_str()).collect();
    let name: String = format!("{prefix}-{}", names.join("-")).chars().take(63).collect();
    Workflow::of_steps(
        name.trim_end_matches('-'),
        description,
        steps_of(actions, evidence, catalogue),
        Vec::new(),
    )
}

/// Proposes to revert all changes together, each change by itself, and each changed rollout as a whole.
fn reversal_drafts(evidence: &Evidence, catalogue: &Catalogue) -> Vec<Draft> {
    let all = reversals(evidence);
    let draft = |parts: &[&Reversal]| {
        let actions = with_restart(parts, evidence);
        let differences: Vec<_> =
            parts.iter().flat_map(|part| part.differences.iter().cloned()).collect();
        let reasons = differences.iter().map(crate::explain::describe_change).collect();
        Draft {
            workflow: workflow_of(
                "revert",
                "Reverts changes made since the workload was last healthy.",
                &actions,
                evidence,
                catalogue,
            ),
            source: Source::Reversal { differences },
            reasons,
        }
    };
    let mut drafts = Vec::new();
    if all.len() > 1 {
        drafts.push(draft(&all.iter().collect::<Vec<_>>()));
    }
    drafts.extend(all.iter().take(8).map(|one| draft(&[one])));
    for (action, differences) in rollout_undos(evidence) {
        let reasons = differences.iter().map(crate::explain::describe_change).collect();
        let actions = [action];
        drafts.push(Draft {
            workflow: workflow_of(
                "revert",
                "Rolls the workload back to its last healthy revision.",
                &actions,
                evidence,
                catalogue,
            ),
            source: Source::Reversal { differences },
            reasons,
        });
    }
    drafts
}

fn do_nothing() -> Draft {
    Draft {
        source: Source::DoNothing,
        workflow: Workflow::of_steps(
            "do-nothing",
            "Changes nothing and keeps observing the incident.",
            Vec::new(),
            Vec::new(),
        ),
        reasons: vec![
            "the incident may resolve without a change, and every change carries a risk".into(),
        ],
    }
}

fn escalate(evidence: &Evidence, catalogue: &Catalogue) -> Draft {
    let question = match &evidence.target {
        Some(target) => format!(
            "{} is firing for {target}. Review the evidence, fix the problem, then approve this step.",
            evidence.alert
        ),
        None => format!(
            "{} is firing, but its target was not found. Review the alert, fix the problem, then approve this step.",
            evidence.alert
        ),
    };
    let question: String = crate::explain::sanitize(&question);
    let arguments = serde_json::Map::from_iter([("question".to_string(), question.into())]);
    let actions = [PlannedAction { action: RequestApproval.name().into(), arguments }];
    let reasons = match evidence.missing.as_slice() {
        [] => vec!["an operator may know causes that the evidence does not show".into()],
        missing => missing.iter().take(3).cloned().collect(),
    };
    Draft {
        source: Source::Escalate,
        workflow: Workflow::of_steps(
            "escalate",
            "Asks an operator to resolve the incident.",
            steps_of(&actions, evidence, catalogue),
            Vec::new(),
        ),
        reasons,
    }
}
