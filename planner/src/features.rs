use cluster::{Difference, ObjectChange};
use serde_json::Value;
use workflow::catalogue::BlastRadius;
use workflow::features::StepFeatures;
use workflow::outcome::OutcomeStatus;
use workflow::{
    Catalogue, Evidence, FeatureSchema, Features, HealthLevel, Predicate, Reversibility, Source,
    Step, Workflow,
};

use crate::retrieval::{Neighbour, PlanSkeleton};
use crate::reversal::{FieldClass, field_class, reversals};
use crate::signature::has_missing_keys;

/// Sources of candidates, each with an indicator feature.
const SOURCES: [&str; 7] =
    ["retrieval", "template", "reversal", "model", "demonstration", "do-nothing", "escalate"];

/// Actions, each with an indicator feature.
const ACTIONS: [&str; 12] = [
    "request-approval",
    "set-config-key",
    "rollout-restart",
    "rollout-undo",
    "scale",
    "set-env",
    "set-image",
    "set-probe",
    "set-resources",
    "set-service-port",
    "set-service-selector",
    "wait",
];

/// Symptom classes, derived from the facts of the evidence; each with an indicator feature.
const SYMPTOMS: [&str; 7] =
    ["crash", "image", "config", "memory", "unready", "service", "replicas"];

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
    names.extend(with("action:", &ACTIONS));
    names.extend(with("symptom:", &SYMPTOMS));
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
        ACTIONS
            .iter()
            .map(|name| f64::from(u8::from(steps.iter().any(|step| step.action == *name)))),
    );
    values.extend(SYMPTOMS.iter().map(|name| f64::from(u8::from(symptoms.contains(name)))));
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

/// Returns the symptoms that the evidence shows, a subset of [`SYMPTOMS`].
fn symptoms(evidence: &Evidence) -> Vec<&'static str> {
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
            "crash",
        ),
        (
            has_text(Predicate::Waiting, &["ImagePullBackOff", "ErrImagePull", "InvalidImageName"]),
            "image",
        ),
        (
            has_text(Predicate::Waiting, &["CreateContainerConfigError"])
                || has_missing_keys(evidence),
            "config",
        ),
        (is_oom_killed, "memory"),
        (has_value(Predicate::ProbePasses, false.into()), "unready"),
        (
            has_value(Predicate::Reachable, false.into())
                || has_value(Predicate::Selects, false.into()),
            "service",
        ),
        (has_value(Predicate::Replicas, 0.into()), "replicas"),
    ]
    .into_iter()
    .filter_map(|(is_present, name)| is_present.then_some(name))
    .collect()
}

/// Returns whether the action is a usual treatment for one of the symptoms.
fn treats(step: &Step, symptoms: &[&str]) -> bool {
    let any = |names: &[&str]| names.iter().any(|name| symptoms.contains(name));
    match step.action.as_str() {
        "set-image" => any(&["image", "crash"]),
        "set-config-key" => any(&["config", "crash", "unready"]),
        "set-env" => any(&["crash", "unready"]),
        "set-resources" => any(&["memory"]),
        "set-probe" => any(&["unready"]),
        "set-service-port" | "set-service-selector" => any(&["service"]),
        "scale" => any(&["replicas"]),
        "rollout-undo" => any(&["image", "crash", "config", "memory", "unready"]),
        "rollout-restart" => any(&["crash", "config", "unready"]),
        _ => false,
    }
}

/// Returns the classes of fields that an action sets.
fn modified_fields(action: &str) -> &'static [FieldClass] {
    match action {
        "set-config-key" => &[FieldClass::Config],
        "set-image" => &[FieldClass::Image],
        "set-env" => &[FieldClass::Env],
        "set-resources" => &[FieldClass::Resources],
        "set-probe" => &[FieldClass::Probe],
        "scale" => &[FieldClass::Replicas],
        "set-service-selector" => &[FieldClass::Selector],
        "set-service-port" => &[FieldClass::Port],
        "rollout-undo" => &[
            FieldClass::Image,
            FieldClass::Env,
            FieldClass::Resources,
            FieldClass::Probe,
            FieldClass::Template,
        ],
        _ => &[],
    }
}

fn modifies(step: &Step, difference: &Difference) -> bool {
    let Some(target) = step.arguments.get("target") else { return false };
    let is_same = target.get("kind").and_then(Value::as_str) == Some(&difference.object.kind)
        && target.get("name").and_then(Value::as_str) == Some(&difference.object.name);
    let Some(field) = field_class(difference)
        .filter(|field| is_same && modified_fields(&step.action).contains(field))
    else {
        return false;
    };
    let (ObjectChange::Field { path, .. }, argument) =
        (&difference.change, |name: &str| step.arguments.get(name).and_then(Value::as_str))
    else {
        return false;
    };
    match field {
        FieldClass::Config => argument("key").is_some_and(|key| {
            path.ends_with(key) || path.ends_with(&format!("{}]", Value::from(key)))
        }),
        FieldClass::Image | FieldClass::Env | FieldClass::Resources | FieldClass::Probe
            if step.action != "rollout-undo" =>
        {
            argument("container")
                .is_some_and(|container| path.contains(&format!("containers[{container}]")))
        }
        _ => true,
    }
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
