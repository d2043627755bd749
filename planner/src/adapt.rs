//! Adapting what was done elsewhere: the actions and what they acted on are kept, every name and value is of this place.

use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::outcome::Verdict;
use workflow::{Catalogue, Evidence, PastExecution, Predicate, Source, fact, id::PlanId};

use crate::explain::elsewhere;
use crate::propose::{Draft, workflow_of};
use crate::relation::focus;
use crate::retrieval::{Neighbour, Role, Shape, ShapeStep, shape};
use crate::reversal::{Reversed, reversals};
use crate::step::Deed;

/// How many different deeds are taken over from neighbours.
const DEEDS: usize = 4;

/// Workflows that did it for neighbours, bound to this evidence. Failures are evidence in the features, not proposals.
pub(crate) fn retrieved(
    neighbours: &[Neighbour],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Draft> {
    let mut seen: Vec<&Shape> = Vec::new();
    let mut drafts = Vec::new();
    for neighbour in neighbours
        .iter()
        .filter(|neighbour| neighbour.verdict == Verdict::Resolved && !neighbour.shape.is_empty())
    {
        if seen.contains(&&neighbour.shape) || drafts.len() == DEEDS {
            continue;
        }
        seen.push(&neighbour.shape);
        let Some(deeds) = bound(&neighbour.shape, evidence) else { continue };
        let source = Source::Retrieval {
            execution: neighbour.execution.clone(),
            similarity: neighbour.similarity,
            rank: neighbour.rank,
            origin: neighbour.origin.clone(),
        };
        let because = vec![format!(
            "the same was done in execution {}{}, which was like this one ({:.0} %), and it was resolved",
            neighbour.execution,
            elsewhere(&neighbour.origin),
            neighbour.similarity * 100.0
        )];
        drafts.push(Draft {
            source,
            workflow: workflow_of("again", "Does what helped before.", &deeds, evidence, catalogue),
            because,
        });
    }
    drafts
}

/// Workflows that people gave as corrections under the same alert, bound to this evidence.
pub(crate) fn demonstrated(
    demonstrations: &[(PlanId, PastExecution)],
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    // The latest correction counts first.
    for (corrected, past) in
        demonstrations.iter().rev().filter(|(_, past)| past.alert == evidence.alert).take(DEEDS)
    {
        let Some(deeds) = shape(&past.workflow, &past.target, &past.facts)
            .and_then(|shape| bound(&shape, evidence))
        else {
            continue;
        };
        drafts.push(Draft {
            source: Source::Demonstration { corrected: corrected.clone() },
            workflow: workflow_of(
                "shown",
                "Does what a person said should be done.",
                &deeds,
                evidence,
                catalogue,
            ),
            because: vec![format!("a person corrected plan {corrected} to this")],
        });
    }
    drafts
}

/// The deeds of a shape in this place; none if one of them has no object or no value here.
fn bound(shape: &Shape, evidence: &Evidence) -> Option<Vec<Deed>> {
    let reversals = reversals(evidence);
    let deeds: Option<Vec<Deed>> =
        shape.iter().map(|step| deed(step, evidence, &reversals)).collect();
    deeds.filter(|deeds| !deeds.is_empty())
}

fn deed(step: &ShapeStep, evidence: &Evidence, reversals: &[Reversed]) -> Option<Deed> {
    let role = step.role.as_ref()?;
    let here = objects_of(role, evidence);
    match step.action.as_str() {
        "rollout-restart" => Some(Deed::on("rollout-restart", only(&here)?, Value::Null)),
        "rollout-undo" => {
            let workload = only(&here)?;
            let revision = |key| evidence.facts.value(workload, Predicate::RevisionAvailable, key);
            let revision = revision("known-good").or_else(|| revision("latest"))?;
            Some(Deed::on("rollout-undo", workload, json!({"revision": revision})))
        }
        "set-resources" => {
            let deed = reversal_of(step, &here, reversals);
            deed.or_else(|| more_memory(only(&here)?, evidence))
        }
        // A value comes from what this place knew when it was well, never from another place.
        _ => reversal_of(step, &here, reversals),
    }
}

fn reversal_of(step: &ShapeStep, here: &[ObjectRef], reversals: &[Reversed]) -> Option<Deed> {
    let mut matching = reversals.iter().filter(|reversed| {
        reversed.deed.action == step.action
            && here.iter().any(|object| object.is_same(&reversed.differences[0].object))
    });
    let first = matching.next()?;
    matching.next().is_none().then(|| first.deed.clone())
}

/// Twice the memory for the one container that ran out of it.
fn more_memory(workload: &ObjectRef, evidence: &Evidence) -> Option<Deed> {
    let killed = evidence
        .facts
        .of(workload, Predicate::Terminated)
        .find(|fact| fact.value == "OOMKilled")?;
    let limit = evidence.facts.value(workload, Predicate::MemoryLimit, &killed.key)?.as_u64()?;
    let memory = cluster::Quantity::from_bytes(limit.checked_mul(2)?).to_string();
    Some(Deed::on(
        "set-resources",
        workload,
        json!({"container": killed.key, "limits": {"memory": memory}}),
    ))
}

/// The objects that are here what the role says.
fn objects_of(role: &Role, evidence: &Evidence) -> Vec<ObjectRef> {
    let focus = focus(evidence);
    match role {
        Role::Workload => focus.into_iter().filter(|object| object.kind != "Service").collect(),
        Role::Service => focus.into_iter().filter(|object| object.kind == "Service").collect(),
        Role::Config => evidence
            .objects
            .iter()
            .filter(|object| object.kind().kind == "ConfigMap")
            .map(|object| {
                object.reference(evidence.target.as_ref().map_or("", |target| &target.cluster))
            })
            .filter(|config| {
                let reads = |workload: &ObjectRef| {
                    evidence.object(workload).is_some_and(|workload| {
                        fact::reads(workload)
                            .iter()
                            .any(|read| read.kind == "ConfigMap" && read.name == config.name)
                    })
                };
                focus.iter().any(reads)
            })
            .collect(),
    }
}

fn only(objects: &[ObjectRef]) -> Option<&ObjectRef> {
    match objects {
        [one] => Some(one),
        _ => None,
    }
}
