//! Adapts past plans to the current incident: keeps the actions and the roles of their targets, and takes every name
//! and value from the current evidence.

use cluster::ObjectRef;
use workflow::outcome::OutcomeStatus;
use workflow::{Catalogue, Evidence, PastExecution, Source, fact, id::PlanId};

use super::skeleton::skeleton_of;
use super::{Neighbour, ObjectRole, PlanSkeleton, SkeletonStep};
use crate::explain::describe_origin;
use crate::propose::{Draft, workflow_of};
use crate::relation::target_and_neighbours;
use crate::reversal::{Reversal, reversals};
use crate::step::PlannedAction;

/// Maximum number of different plans adapted from each source.
const MAX_PLANS: usize = 4;

/// Adapts the plans that resolved similar past incidents to this evidence.
///
/// Failed executions are not proposed; they lower the feature `neighbours-succeeded` instead.
pub(crate) fn from_history(
    neighbours: &[Neighbour],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Draft> {
    let mut seen: Vec<&PlanSkeleton> = Vec::new();
    let mut drafts = Vec::new();
    for neighbour in neighbours.iter().filter(|neighbour| {
        neighbour.outcome == OutcomeStatus::Resolved && !neighbour.skeleton.is_empty()
    }) {
        if seen.contains(&&neighbour.skeleton) || drafts.len() == MAX_PLANS {
            continue;
        }
        seen.push(&neighbour.skeleton);
        let Some(actions) = bind_roles(&neighbour.skeleton, evidence) else { continue };
        let source = Source::Retrieval {
            execution: neighbour.execution.clone(),
            similarity: neighbour.similarity,
            rank: neighbour.rank,
            origin: neighbour.origin.clone(),
        };
        let reasons = vec![format!(
            "the same actions resolved a similar incident in execution {}{} (similarity {:.0} %)",
            neighbour.execution,
            describe_origin(&neighbour.origin),
            neighbour.similarity * 100.0
        )];
        drafts.push(Draft {
            source,
            workflow: workflow_of(
                "retrieved",
                "Repeats the actions that resolved a similar incident.",
                &actions,
                evidence,
                catalogue,
            ),
            reasons,
        });
    }
    drafts
}

/// Adapts the corrections that operators gave for the same alert to this evidence.
pub(crate) fn from_corrections(
    corrections: &[(PlanId, PastExecution)],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    // The latest correction takes precedence.
    for (corrected, past) in
        corrections.iter().rev().filter(|(_, past)| past.alert == evidence.alert).take(MAX_PLANS)
    {
        let Some(actions) = skeleton_of(&past.workflow, &past.target, &past.facts)
            .and_then(|skeleton| bind_roles(&skeleton, evidence))
        else {
            continue;
        };
        drafts.push(Draft {
            source: Source::Demonstration { corrected: corrected.clone() },
            workflow: workflow_of(
                "corrected",
                "Repeats the actions that an operator gave as a correction.",
                &actions,
                evidence,
                catalogue,
            ),
            reasons: vec![format!("an operator corrected plan {corrected} to these actions")],
        });
    }
    drafts
}

/// Binds each step of a skeleton to an object and values of this evidence. `None` if a step has no object or no value.
fn bind_roles(skeleton: &PlanSkeleton, evidence: &Evidence) -> Option<Vec<PlannedAction>> {
    let reversals = reversals(evidence);
    let actions: Option<Vec<PlannedAction>> =
        skeleton.iter().map(|step| bind_step(step, evidence, &reversals)).collect();
    actions.filter(|actions| !actions.is_empty())
}

fn bind_step(
    step: &SkeletonStep,
    evidence: &Evidence,
    reversals: &[Reversal],
) -> Option<PlannedAction> {
    let role = step.role.as_ref()?;
    let here = objects_of(role, evidence);
    // Values come from the known-good state of this workload or from its facts, never from the past incident.
    matching_reversal(step, &here, reversals).or_else(|| {
        let action = actions::find(&step.action)?;
        let object = single(&here)?;
        let arguments = action.derive_arguments(object, &evidence.facts)?;
        Some(PlannedAction::on(action, object, arguments))
    })
}

fn matching_reversal(
    step: &SkeletonStep,
    here: &[ObjectRef],
    reversals: &[Reversal],
) -> Option<PlannedAction> {
    let mut matching = reversals.iter().filter(|reversal| {
        reversal.action.action == step.action
            && here.iter().any(|object| object.is_same(&reversal.differences[0].object))
    });
    let first = matching.next()?;
    matching.next().is_none().then(|| first.action.clone())
}

/// Returns the objects that have `role` in this evidence.
fn objects_of(role: &ObjectRole, evidence: &Evidence) -> Vec<ObjectRef> {
    let focus = target_and_neighbours(evidence);
    match role {
        ObjectRole::Workload => {
            focus.into_iter().filter(|object| object.kind != "Service").collect()
        }
        ObjectRole::Service => {
            focus.into_iter().filter(|object| object.kind == "Service").collect()
        }
        ObjectRole::Config => evidence
            .objects
            .iter()
            .filter(|object| object.kind().kind == "ConfigMap")
            .map(|object| {
                object.reference(evidence.target.as_ref().map_or("", |target| &target.cluster))
            })
            .filter(|config| {
                let reads = |workload: &ObjectRef| {
                    evidence.object(workload).is_some_and(|workload| {
                        fact::key_references(workload)
                            .iter()
                            .any(|read| read.kind == "ConfigMap" && read.name == config.name)
                    })
                };
                focus.iter().any(reads)
            })
            .collect(),
    }
}

fn single(objects: &[ObjectRef]) -> Option<&ObjectRef> {
    match objects {
        [one] => Some(one),
        _ => None,
    }
}
