use workflow::id::CandidateId;
use workflow::{
    Candidate, Catalogue, Evidence, PastExecution, Source, Template, Workflow, id::PlanId,
};

use crate::features::features;
use crate::retrieval::{Neighbour, Retrieval, TOP_K};
use crate::reversal::{Reversed, reversals, undos, with_restart};
use crate::step::{Deed, steps_of, targets_of};
use crate::{adapt, signature, template};

/// Where candidates come from. Each may be left empty or off; doing nothing and asking a person are always there.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Templates.
    pub templates: &'a [Template],
    /// What [`neighbours`] found.
    pub neighbours: &'a [Neighbour],
    /// Whether changes are turned back.
    pub reversal: Reversal,
    /// Corrections that people gave, each with the plan that it corrected.
    pub demonstrations: &'a [(PlanId, PastExecution)],
}

/// Whether changes are turned back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reversal {
    /// They are.
    #[default]
    On,
    /// They are not: for comparison.
    Off,
}

/// The past executions that were like this one, nearest first.
pub fn neighbours(evidence: &Evidence, retrieval: &dyn Retrieval) -> Vec<Neighbour> {
    if evidence.target.is_none() || retrieval.is_empty() {
        return Vec::new();
    }
    retrieval.similar(&signature(evidence), TOP_K)
}

/// A workflow before it is a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) source: Source,
    pub(crate) workflow: Workflow,
    pub(crate) because: Vec<String>,
}

/// Proposes candidates from every source, each with its features and reasons, in a fixed order. What does the same
/// thing is one candidate, with the reasons of all. Without a target nothing acts.
pub fn propose(
    evidence: &Evidence,
    sources: &Sources<'_>,
    catalogue: &Catalogue,
) -> Vec<Candidate> {
    let mut drafts = Vec::new();
    if evidence.target.is_some() {
        for template in sources.templates {
            drafts.extend(template::drafts(template, evidence, catalogue));
        }
        if sources.reversal == Reversal::On {
            drafts.extend(reversed(evidence, catalogue));
        }
        drafts.extend(adapt::demonstrated(sources.demonstrations, evidence, catalogue));
        drafts.extend(adapt::retrieved(sources.neighbours, evidence, catalogue));
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
            because: draft.because,
        };
        let deed = candidate.deed();
        match candidates.iter_mut().find(|other| other.deed() == deed) {
            Some(other) => {
                for sentence in candidate.because {
                    if !other.because.contains(&sentence) {
                        other.because.push(sentence);
                    }
                }
            }
            None => candidates.push(candidate),
        }
    }
    candidates
}

/// A workflow of these deeds, named after its actions.
pub(crate) fn workflow_of(
    prefix: &str,
    description: &str,
    deeds: &[Deed],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Workflow {
    let actions: Vec<&str> = deeds.iter().map(|deed| deed.action.as_str()).collect();
    let name: String = format!("{prefix}-{}", actions.join("-")).chars().take(63).collect();
    Workflow::of_steps(
        name.trim_end_matches('-'),
        description,
        steps_of(deeds, evidence, catalogue),
        Vec::new(),
    )
}

/// Change reversal: each change by itself, all of them together, and the roll-out undone whole.
fn reversed(evidence: &Evidence, catalogue: &Catalogue) -> Vec<Draft> {
    let all = reversals(evidence);
    let draft = |parts: &[&Reversed]| {
        let deeds = with_restart(parts, evidence);
        let differences: Vec<_> =
            parts.iter().flat_map(|part| part.differences.iter().cloned()).collect();
        let because = differences.iter().map(crate::explain::changed).collect();
        Draft {
            workflow: workflow_of(
                "reverse",
                "Turns back what changed since it last worked.",
                &deeds,
                evidence,
                catalogue,
            ),
            source: Source::Reversal { differences },
            because,
        }
    };
    let mut drafts = Vec::new();
    if all.len() > 1 {
        drafts.push(draft(&all.iter().collect::<Vec<_>>()));
    }
    drafts.extend(all.iter().take(8).map(|one| draft(&[one])));
    for (deed, differences) in undos(evidence) {
        let because = differences.iter().map(crate::explain::changed).collect();
        let deeds = [deed];
        drafts.push(Draft {
            workflow: workflow_of(
                "reverse",
                "Brings the roll-out back to the revision that last worked.",
                &deeds,
                evidence,
                catalogue,
            ),
            source: Source::Reversal { differences },
            because,
        });
    }
    drafts
}

fn do_nothing() -> Draft {
    Draft {
        source: Source::DoNothing,
        workflow: Workflow::of_steps(
            "do-nothing",
            "Nothing is done; the incident is watched.",
            Vec::new(),
            Vec::new(),
        ),
        because: vec!["it may pass by itself, and what is not touched is not made worse".into()],
    }
}

fn escalate(evidence: &Evidence, catalogue: &Catalogue) -> Draft {
    let question = match &evidence.target {
        Some(target) => format!(
            "{} fires for {target}. Please look at the evidence; yes once it is dealt with.",
            evidence.alert
        ),
        None => format!(
            "{} fires, and nothing that it names was found. Please look; yes once it is dealt with.",
            evidence.alert
        ),
    };
    let question: String = crate::explain::plain(&question);
    let arguments = serde_json::Map::from_iter([("question".to_string(), question.into())]);
    let deeds = [Deed { action: "ask-human".into(), arguments }];
    let because = match evidence.gaps.as_slice() {
        [] => vec!["a person may know what the evidence does not show".into()],
        gaps => gaps.iter().take(3).cloned().collect(),
    };
    Draft {
        source: Source::Escalate,
        workflow: Workflow::of_steps(
            "escalate",
            "A person is asked.",
            steps_of(&deeds, evidence, catalogue),
            Vec::new(),
        ),
        because,
    }
}
