use actions::Symptom;
use cluster::Difference;
use serde_json::Value;
use workflow::catalogue::BlastRadius;
use workflow::features::StepFeatures;
use workflow::outcome::OutcomeStatus;
use workflow::{
    Catalogue, Evidence, FeatureSchema, Features, HealthLevel, Predicate, Reversibility, Source,
    Step, Workflow,
};

use crate::retrieval::{Neighbour, PlanSkeleton};
use crate::reversal::reversals;
use crate::signature::has_missing_keys;

/// Sources of candidates, each with an indicator feature.
const SOURCES: [&str; 7] =
    ["retrieval", "template", "reversal", "model", "demonstration", "do-nothing", "escalate"];

/// Features that are not indicators of a source, an action or a symptom.
const GENERAL: [&str; 12] = [
    "bias",
    "steps",
    "unhealthy",
    "modifies-changed-field",
    "differences-reverted",
    "treats-symptom",
    "postconditions",
    "known-good",
    "blast-radius",
    "reversible",
    "similarity",
    "neighbours-succeeded",
];

/// Returns the schema of the candidates' features.
pub fn schema() -> FeatureSchema {
    let with = |prefix: &'static str, names: &[&str]| {
        names.iter().map(move |name| format!("{prefix}{name}")).collect::<Vec<_>>()
    };
    let mut names = with("", &GENERAL);
    names.extend(with("source:", &SOURCES));
    names.extend(actions::all().iter().map(|action| format!("action:{}", action.name())));
    names.extend(with("symptom:", &Symptom::ALL.map(Symptom::as_str)));
    FeatureSchema { version: 1, names }
}

/// Computes the features of a workflow, each in [0, 1].
///
/// They do not depend on the names of objects or on annotations, so the learner generalises across workloads.
pub fn features(
    workflow: &Workflow,
    source: &Source,
    evidence: &Evidence,
    catalogue: &Catalogue,
    neighbours: &[Neighbour],
) -> Features {
    let steps = &workflow.spec.steps;
    let acts = source.has_effects();
    let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let symptoms = symptoms(evidence);
    let specs: Vec<_> = steps.iter().filter_map(|step| catalogue.get(&step.action)).collect();
    let radius = specs.iter().map(|spec| radius_value(spec.blast_radius)).fold(0.0, f64::max);
    let reversibility =
        specs.iter().map(|spec| reversibility_value(spec.reversibility)).fold(1.0, f64::min);
    let (similarity, succeeded) = neighbour_statistics(workflow, source, evidence, neighbours);
    let mut values = vec![
        1.0,
        share(steps.len().min(8), 8),
        health_severity(evidence),
        share(
            steps.iter().filter(|step| modifies_changed_field(step, evidence)).count(),
            steps.len(),
        ),
        reverted_fraction(steps, evidence),
        if acts {
            share(steps.iter().filter(|step| treats(step, &symptoms)).count(), steps.len())
        } else {
            0.0
        },
        share(steps.iter().filter(|step| !step.postconditions.is_empty()).count(), steps.len()),
        f64::from(u8::from(
            evidence
                .facts
                .iter()
                .any(|fact| fact.predicate == Predicate::KnownGood && fact.value == true),
        )),
        radius,
        reversibility,
        similarity,
        succeeded,
    ];
    let source_name = source.as_str();
    values.extend(SOURCES.iter().map(|name| f64::from(u8::from(*name == source_name))));
    values.extend(
        actions::all().iter().map(|action| {
            f64::from(u8::from(steps.iter().any(|step| step.action == action.name())))
        }),
    );
    values
        .extend(Symptom::ALL.iter().map(|symptom| f64::from(u8::from(symptoms.contains(symptom)))));
    let steps = steps
        .iter()
        .map(|step| StepFeatures {
            step: step.id.clone(),
            action: step.action.clone(),
            bucket: evidence.alert.clone(),
        })
        .collect();
    Features { schema: schema().digest(), arm: arm(workflow, source), values, steps }
}

/// Returns the arm of a candidate, which is the same across incidents: `template/NAME`, `reversal/set-image`,
/// `do-nothing`.
pub fn arm(workflow: &Workflow, source: &Source) -> String {
    match source {
        Source::Template { name, .. } => format!("template/{name}"),
        Source::DoNothing | Source::Escalate => source.as_str().into(),
        Source::Retrieval { .. }
        | Source::Reversal { .. }
        | Source::Model { .. }
        | Source::Demonstration { .. } => {
            let actions: Vec<&str> =
                workflow.spec.steps.iter().map(|step| step.action.as_str()).collect();
            format!("{}/{}", source.as_str(), actions.join("+"))
        }
    }
}

fn radius_value(radius: BlastRadius) -> f64 {
    match radius {
        BlastRadius::Nothing => 0.0,
        BlastRadius::Object => 0.25,
        BlastRadius::Workload => 0.5,
        BlastRadius::Service => 0.75,
        BlastRadius::Node => 1.0,
    }
}

fn reversibility_value(reversibility: Reversibility) -> f64 {
    match reversibility {
        Reversibility::NoEffect | Reversibility::Reversible => 1.0,
        Reversibility::BestEffort => 0.5,
        Reversibility::Irreversible => 0.0,
    }
}

/// Returns the severity of the worst health of the target and its neighbours: 0 healthy, 0.5 degraded, 1 failing.
fn health_severity(evidence: &Evidence) -> f64 {
    match crate::verify::worst_health(evidence) {
        Some(HealthLevel::Missing | HealthLevel::Failing) => 1.0,
        Some(HealthLevel::Degraded) => 0.5,
        Some(HealthLevel::Healthy) | None => 0.0,
    }
}

/// Returns the symptoms that the evidence shows.
fn symptoms(evidence: &Evidence) -> Vec<Symptom> {
    let has_text = |predicate: Predicate, words: &[&str]| {
        evidence.facts.iter().any(|fact| {
            fact.predicate == predicate
                && fact.value.as_str().is_some_and(|value| words.contains(&value))
        })
    };
    let has_value = |predicate: Predicate, value: Value| {
        evidence.facts.iter().any(|fact| fact.predicate == predicate && fact.value == value)
    };
    let is_oom_killed = has_text(Predicate::Terminated, &["OOMKilled"]);
    [
        (
            has_text(Predicate::Waiting, &["CrashLoopBackOff"])
                || has_text(Predicate::Terminated, &["Error"]),
            Symptom::Crash,
        ),
        (
            has_text(Predicate::Waiting, &["ImagePullBackOff", "ErrImagePull", "InvalidImageName"]),
            Symptom::Image,
        ),
        (
            has_text(Predicate::Waiting, &["CreateContainerConfigError"])
                || has_missing_keys(evidence),
            Symptom::Config,
        ),
        (is_oom_killed, Symptom::Memory),
        (has_value(Predicate::ProbePasses, false.into()), Symptom::Unready),
        (
            has_value(Predicate::Reachable, false.into())
                || has_value(Predicate::Selects, false.into()),
            Symptom::Service,
        ),
        (has_value(Predicate::Replicas, 0.into()), Symptom::Replicas),
    ]
    .into_iter()
    .filter_map(|(is_present, symptom)| is_present.then_some(symptom))
    .collect()
}

/// Returns whether the action is a usual treatment for one of the symptoms.
fn treats(step: &Step, symptoms: &[Symptom]) -> bool {
    actions::find(&step.action)
        .is_some_and(|action| action.treats().iter().any(|symptom| symptoms.contains(symptom)))
}

fn modifies(step: &Step, difference: &Difference) -> bool {
    actions::find(&step.action).is_some_and(|action| action.modifies(&step.arguments, difference))
}

fn modifies_changed_field(step: &Step, evidence: &Evidence) -> bool {
    evidence.differences.iter().any(|difference| modifies(step, difference))
}

/// Returns the fraction of the revertible differences in fields that these steps set.
fn reverted_fraction(steps: &[Step], evidence: &Evidence) -> f64 {
    let all: Vec<Difference> =
        reversals(evidence).into_iter().flat_map(|reversal| reversal.differences).collect();
    let set =
        all.iter().filter(|difference| steps.iter().any(|step| modifies(step, difference))).count();
    if all.is_empty() { 0.0 } else { set as f64 / all.len() as f64 }
}

/// Returns the similarity of the most similar past execution of the same plan, and the success rate of these
/// executions.
///
/// The rate is weighted by similarity and smoothed with one success and one failure.
fn neighbour_statistics(
    workflow: &Workflow,
    source: &Source,
    evidence: &Evidence,
    neighbours: &[Neighbour],
) -> (f64, f64) {
    let own = arm(workflow, source);
    let skeleton: Option<PlanSkeleton> = evidence
        .target
        .as_ref()
        .and_then(|target| crate::retrieval::skeleton_of(workflow, target, &evidence.facts))
        .filter(|_| source.has_effects());
    let is_same_plan = |neighbour: &&Neighbour| match &skeleton {
        Some(skeleton) => neighbour.skeleton == *skeleton,
        None => neighbour.arm == own,
    };
    let (mut nearest, mut weight, mut succeeded) = (0.0_f64, 0.0, 0.0);
    for neighbour in neighbours.iter().filter(is_same_plan) {
        nearest = nearest.max(neighbour.similarity);
        match neighbour.outcome {
            OutcomeStatus::Resolved => succeeded += neighbour.similarity,
            OutcomeStatus::NotResolved | OutcomeStatus::Recurred | OutcomeStatus::Worse => {}
            // An unknown outcome, or one that an operator brought about, is neither a success nor a failure of the
            // plan.
            OutcomeStatus::Unknown | OutcomeStatus::ResolvedManually => continue,
        }
        weight += neighbour.similarity;
    }
    (nearest, (succeeded + 1.0) / (weight + 2.0))
}
