use cluster::{Change, Difference};
use serde_json::Value;
use workflow::catalogue::BlastRadius;
use workflow::features::StepFeatures;
use workflow::outcome::Verdict;
use workflow::{
    Catalogue, Evidence, FeatureSchema, Features, HealthLevel, Predicate, Reversibility, Source,
    Step, Workflow,
};

use crate::retrieval::{Neighbour, Shape};
use crate::reversal::{Field, field_of, reversals};
use crate::signature::missing_keys;

/// Sources that have a feature of their own.
const SOURCES: [&str; 7] =
    ["retrieval", "template", "reversal", "model", "demonstration", "do-nothing", "escalate"];

/// Actions that have a feature of their own.
const ACTIONS: [&str; 12] = [
    "ask-human",
    "restore-config-key",
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

/// Classes of trouble, by what alert and containers say.
const TROUBLES: [&str; 7] =
    ["crash", "image", "config", "memory", "unready", "service", "replicas"];

/// Everything else.
const OTHERS: [&str; 12] = [
    "bias",
    "steps",
    "unhealthy",
    "touches-changed",
    "differences-reversed",
    "fits-trouble",
    "postconditions",
    "known-good",
    "blast-radius",
    "reversible",
    "similarity",
    "neighbours-succeeded",
];

/// The schema of every candidate's features.
pub fn schema() -> FeatureSchema {
    let with = |prefix: &'static str, names: &[&str]| {
        names.iter().map(move |name| format!("{prefix}{name}")).collect::<Vec<_>>()
    };
    let mut names = with("", &OTHERS);
    names.extend(with("source:", &SOURCES));
    names.extend(with("action:", &ACTIONS));
    names.extend(with("trouble:", &TROUBLES));
    FeatureSchema { version: 1, names }
}

/// What the learner sees of a workflow, all of it in [0, 1]. Nothing depends on the names of objects or on annotations.
pub fn features(
    workflow: &Workflow,
    source: &Source,
    evidence: &Evidence,
    catalogue: &Catalogue,
    neighbours: &[Neighbour],
) -> Features {
    let steps = &workflow.spec.steps;
    let acts = source.acts();
    let share = |count: usize, of: usize| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let troubles = troubles(evidence);
    let specs: Vec<_> = steps.iter().filter_map(|step| catalogue.get(&step.action)).collect();
    let radius = specs.iter().map(|spec| radius(spec.blast_radius)).fold(0.0, f64::max);
    let reversible = specs.iter().map(|spec| reversible(spec.reversibility)).fold(1.0, f64::min);
    let (similarity, succeeded) = likeness(workflow, source, evidence, neighbours);
    let mut values = vec![
        1.0,
        share(steps.len().min(8), 8),
        unhealthy(evidence),
        share(steps.iter().filter(|step| touches_changed(step, evidence)).count(), steps.len()),
        reversed_share(steps, evidence),
        if acts {
            share(steps.iter().filter(|step| fits(step, &troubles)).count(), steps.len())
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
        reversible,
        similarity,
        succeeded,
    ];
    let word = source.word();
    values.extend(SOURCES.iter().map(|name| f64::from(u8::from(*name == word))));
    values.extend(
        ACTIONS
            .iter()
            .map(|name| f64::from(u8::from(steps.iter().any(|step| step.action == *name)))),
    );
    values.extend(TROUBLES.iter().map(|name| f64::from(u8::from(troubles.contains(name)))));
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

/// What a candidate is across incidents: `template/NAME`, `reversal/set-image`, `do-nothing`.
pub fn arm(workflow: &Workflow, source: &Source) -> String {
    match source {
        Source::Template { name, .. } => format!("template/{name}"),
        Source::DoNothing | Source::Escalate => source.word().into(),
        Source::Retrieval { .. }
        | Source::Reversal { .. }
        | Source::Model { .. }
        | Source::Demonstration { .. } => {
            let actions: Vec<&str> =
                workflow.spec.steps.iter().map(|step| step.action.as_str()).collect();
            format!("{}/{}", source.word(), actions.join("+"))
        }
    }
}

fn radius(radius: BlastRadius) -> f64 {
    match radius {
        BlastRadius::Nothing => 0.0,
        BlastRadius::Object => 0.25,
        BlastRadius::Workload => 0.5,
        BlastRadius::Service => 0.75,
        BlastRadius::Node => 1.0,
    }
}

fn reversible(reversibility: Reversibility) -> f64 {
    match reversibility {
        Reversibility::NoEffect | Reversibility::Reversible => 1.0,
        Reversibility::BestEffort => 0.5,
        Reversibility::Irreversible => 0.0,
    }
}

/// How ill the worst of what belongs to the target is.
fn unhealthy(evidence: &Evidence) -> f64 {
    match crate::verify::worst_health(evidence) {
        Some(HealthLevel::Missing | HealthLevel::Failing) => 1.0,
        Some(HealthLevel::Degraded) => 0.5,
        Some(HealthLevel::Healthy) | None => 0.0,
    }
}

/// What kind of trouble it is, out of [`TROUBLES`].
fn troubles(evidence: &Evidence) -> Vec<&'static str> {
    let says = |predicate: Predicate, words: &[&str]| {
        evidence.facts.iter().any(|fact| {
            fact.predicate == predicate
                && fact.value.as_str().is_some_and(|value| words.contains(&value))
        })
    };
    let is = |predicate: Predicate, value: Value| {
        evidence.facts.iter().any(|fact| fact.predicate == predicate && fact.value == value)
    };
    let out_of_memory = says(Predicate::Terminated, &["OOMKilled"]);
    [
        (
            says(Predicate::Waiting, &["CrashLoopBackOff"])
                || says(Predicate::Terminated, &["Error"]),
            "crash",
        ),
        (
            says(Predicate::Waiting, &["ImagePullBackOff", "ErrImagePull", "InvalidImageName"]),
            "image",
        ),
        (
            says(Predicate::Waiting, &["CreateContainerConfigError"]) || missing_keys(evidence),
            "config",
        ),
        (out_of_memory, "memory"),
        (is(Predicate::ProbePasses, false.into()), "unready"),
        (is(Predicate::Reachable, false.into()) || is(Predicate::Selects, false.into()), "service"),
        (is(Predicate::Replicas, 0.into()), "replicas"),
    ]
    .into_iter()
    .filter_map(|(holds, name)| holds.then_some(name))
    .collect()
}

/// Whether an action is one that people take in this kind of trouble.
fn fits(step: &Step, troubles: &[&str]) -> bool {
    let any = |names: &[&str]| names.iter().any(|name| troubles.contains(name));
    match step.action.as_str() {
        "set-image" => any(&["image", "crash"]),
        "restore-config-key" => any(&["config", "crash", "unready"]),
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

/// The kinds of field that an action sets.
fn fields(action: &str) -> &'static [Field] {
    match action {
        "restore-config-key" => &[Field::Config],
        "set-image" => &[Field::Image],
        "set-env" => &[Field::Env],
        "set-resources" => &[Field::Resources],
        "set-probe" => &[Field::Probe],
        "scale" => &[Field::Replicas],
        "set-service-selector" => &[Field::Selector],
        "set-service-port" => &[Field::Port],
        "rollout-undo" => {
            &[Field::Image, Field::Env, Field::Resources, Field::Probe, Field::Template]
        }
        _ => &[],
    }
}

fn touches(step: &Step, difference: &Difference) -> bool {
    let Some(target) = step.arguments.get("target") else { return false };
    let is_same = target.get("kind").and_then(Value::as_str) == Some(&difference.object.kind)
        && target.get("name").and_then(Value::as_str) == Some(&difference.object.name);
    let Some(field) =
        field_of(difference).filter(|field| is_same && fields(&step.action).contains(field))
    else {
        return false;
    };
    let (Change::Field { path, .. }, argument) =
        (&difference.change, |name: &str| step.arguments.get(name).and_then(Value::as_str))
    else {
        return false;
    };
    match field {
        Field::Config => argument("key").is_some_and(|key| {
            path.ends_with(key) || path.ends_with(&format!("{}]", Value::from(key)))
        }),
        Field::Image | Field::Env | Field::Resources | Field::Probe
            if step.action != "rollout-undo" =>
        {
            argument("container")
                .is_some_and(|container| path.contains(&format!("containers[{container}]")))
        }
        _ => true,
    }
}

fn touches_changed(step: &Step, evidence: &Evidence) -> bool {
    evidence.differences.iter().any(|difference| touches(step, difference))
}

/// The share of what can be turned back that these steps would set.
fn reversed_share(steps: &[Step], evidence: &Evidence) -> f64 {
    let all: Vec<Difference> =
        reversals(evidence).into_iter().flat_map(|reversed| reversed.differences).collect();
    let set =
        all.iter().filter(|difference| steps.iter().any(|step| touches(step, difference))).count();
    if all.is_empty() { 0.0 } else { set as f64 / all.len() as f64 }
}

/// How alike the nearest neighbour is that did the same, and which share of those that did the same succeeded, each
/// weighed by likeness, with one success and one failure thought in.
fn likeness(
    workflow: &Workflow,
    source: &Source,
    evidence: &Evidence,
    neighbours: &[Neighbour],
) -> (f64, f64) {
    let own = arm(workflow, source);
    let shape: Option<Shape> = evidence
        .target
        .as_ref()
        .and_then(|target| crate::retrieval::shape(workflow, target, &evidence.facts))
        .filter(|_| source.acts());
    let did_the_same = |neighbour: &&Neighbour| match &shape {
        Some(shape) => neighbour.shape == *shape,
        None => neighbour.arm == own,
    };
    let (mut nearest, mut weight, mut succeeded) = (0.0_f64, 0.0, 0.0);
    for neighbour in neighbours.iter().filter(did_the_same) {
        nearest = nearest.max(neighbour.similarity);
        match neighbour.verdict {
            Verdict::Resolved => succeeded += neighbour.similarity,
            Verdict::NotResolved | Verdict::Recurred | Verdict::Worse => {}
            // What cannot be said, or is not ours, counts on neither side.
            Verdict::Unknown | Verdict::ByPerson => continue,
        }
        weight += neighbour.similarity;
    }
    (nearest, (succeeded + 1.0) / (weight + 2.0))
}
