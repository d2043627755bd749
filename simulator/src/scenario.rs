//! Scenario files: the faults to inject, the alerts that they fire, and the conditions that count as mitigated.

use std::collections::BTreeMap;

use cluster::{Kind, ObjectRef, Patch};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workflow::duration::Duration;
use workflow::manifest::{ManifestMetadata, Step};
use workflow::{Condition, FactPattern};

use crate::file::{InvalidFile, WorkloadEntry, WorldFile, check_kind, parse_yaml};
use crate::names::{Naming, SymbolValues, from_json, resolve_symbols, to_json};
use crate::objects::{Key, builtin_storage_kind};
use crate::oracle::Oracle;
use crate::rng::SeededRng;
use crate::script::ScheduledAction;
use crate::world::World;

/// A scenario file.
///
/// Besides the symbols of its world, `$(target.PART)` is a part of the target workload and `$(other.PART)` a part of
/// another workload. The seed selects both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioFile {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `Scenario`.
    pub kind: String,
    pub metadata: ManifestMetadata,
    pub spec: ScenarioSpec,
}

/// Contents of a scenario file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioSpec {
    /// Fault family.
    pub family: String,
    pub split: Split,
    pub difficulty: Difficulty,
    /// Name of the world in which the scenario runs.
    pub world: String,
    /// Healthy time before the fault.
    pub warm_up: WarmUp,
    /// Requirements on the target workload.
    #[serde(default)]
    pub target: TargetRequirements,
    /// Actions that cause the fault; each `at` is relative to the end of the warm-up.
    pub faults: Vec<ScenarioAction>,
    /// Unrelated harmless actions; each `at` is relative to the start of the world.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<ScenarioAction>,
    /// Names of alerts. At least one of them fires.
    pub expected_alerts: Vec<String>,
    /// Conditions that count as mitigated.
    pub oracle: OracleSpec,
    /// Facts that must never be true after the fault; `$target` is the target workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<FactPattern>,
    /// Steps of one way to fix the fault, for tests of the oracle. Never visible to a planner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_fix: Vec<Step>,
    /// Whether the correct response is to take no action.
    #[serde(default)]
    pub expect_no_action: bool,
}

/// Data set that a scenario belongs to. All scenarios of a family belong to the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Split {
    /// May be used for training.
    Train,
    /// Must not be used for training.
    Test,
}

/// Difficulty of fixing a scenario's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Difficulty {
    /// One step, which the symptom indicates directly.
    Easy,
    /// One step; the symptom shows on another object.
    Medium,
    /// Several steps, or a plausible wrong fix.
    Hard,
}

/// Range of the healthy time before the fault. The seed selects the time within it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarmUp {
    /// Minimum; at least 10 min, so that five healthy minutes can be observed.
    pub from: Duration,
    /// Maximum.
    pub to: Duration,
}

/// Requirements on a target workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRequirements {
    /// Parts that the [`WorkloadEntry`] must have.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// An action at a given time: exactly one of `patch` and `process`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioAction {
    /// Time of the action. The field that contains the action defines what it is relative to.
    pub at: Duration,
    /// A change of an object by a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<ScenarioPatch>,
    /// A change that no client requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ScenarioProcess>,
}

/// A change of an object by a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioPatch {
    pub target: TargetRef,
    /// `json`, `merge` or `strategic`.
    pub r#type: String,
    /// The patch, in the format of [`Patch`].
    pub patch: Value,
}

/// Reference to an object of a built-in kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRef {
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

/// A change that no client requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ScenarioProcess {
    /// Deletes pods of a Deployment, which are then replaced.
    DeletePods {
        namespace: String,
        /// Name of the Deployment.
        workload: String,
        /// Number of pods. Default: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
    },
    /// Fires a false alert.
    Alert {
        /// Labels, including `alertname`.
        labels: BTreeMap<String, String>,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
        /// How long the alert fires.
        duration: Duration,
    },
}

/// Conditions that count as mitigated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OracleSpec {
    /// Time to wait before the conditions are evaluated.
    pub settle: Duration,
    /// How long all conditions must stay true.
    pub hold_for: Duration,
    /// The conditions.
    pub all: Vec<Condition>,
    /// Whether the conditions must be true again after a pod of the target is deleted.
    #[serde(default)]
    pub check_recreation: bool,
    /// Whether requests to the target's Service must succeed at the end.
    #[serde(default)]
    pub check_requests: bool,
}

/// A world with a scheduled fault, and the oracle that evaluates the response.
#[derive(Clone, Debug)]
pub struct PreparedScenario {
    /// The world at its start. A planner accesses it only through [`crate::SimulatedCluster`].
    pub world: World,
    pub oracle: Oracle,
}

impl ScenarioFile {
    /// Parses a scenario file.
    ///
    /// # Errors
    /// [`InvalidFile`] if it does not parse (with line and column), has another kind, or contains an invalid field.
    pub fn parse(text: &str) -> Result<Self, InvalidFile> {
        let file: Self = parse_yaml("scenario", text)?;
        check_kind(&file.api_version, &file.kind, "Scenario")?;
        let spec = &file.spec;
        if spec.warm_up.from < Duration::from_secs(600) || spec.warm_up.to < spec.warm_up.from {
            return Err(file.invalid(
                "spec.warmUp",
                "`from` must be at least 10m, and `to` must not be below `from`",
            ));
        }
        for (list, faults) in [("faults", &spec.faults), ("noise", &spec.noise)] {
            for (i, fault) in faults.iter().enumerate() {
                if fault.patch.is_some() == fault.process.is_some() {
                    return Err(file.invalid(
                        &format!("spec.{list}[{i}]"),
                        "exactly one of `patch` and `process` must be set",
                    ));
                }
            }
        }
        Ok(file)
    }

    fn invalid(&self, location: &str, reason: &str) -> InvalidFile {
        InvalidFile::Invalid {
            document: format!("scenario {}", self.metadata.name),
            location: location.into(),
            reason: reason.into(),
        }
    }

    /// Selects a target and another workload, and returns the scenario with resolved symbols and the target.
    fn bind<'a>(
        &self,
        workloads: &'a [WorkloadEntry],
        world_values: &SymbolValues,
        naming: Naming,
        seed: u64,
    ) -> Result<(Self, &'a WorkloadEntry), InvalidFile> {
        let mut rng = SeededRng::new("scenario", &format!("{}/{seed}", self.metadata.name));
        let mut candidates: Vec<&'a WorkloadEntry> = workloads
            .iter()
            .filter(|entry| self.spec.target.needs.iter().all(|part| entry.0.contains_key(part)))
            .collect();
        if candidates.is_empty() {
            return Err(self
                .invalid("spec.target.needs", "no workload of the world has all of these parts"));
        }
        let target = candidates.remove(rng.below(candidates.len() as u64) as usize);
        let mut values = world_values.clone();
        let mut add_parts = |role: &str, entry: &WorkloadEntry| {
            values.extend(
                entry.0.iter().map(|(part, value)| (format!("{role}.{part}"), value.clone())),
            );
        };
        add_parts("target", target);
        if !candidates.is_empty() {
            let other: &WorkloadEntry = rng.pick::<&WorkloadEntry>(&candidates);
            add_parts("other", other);
        }
        let scenario = to_json(self);
        let own_values = naming.assign(&scenario, seed, &values);
        values.extend(own_values);
        let document = format!("scenario {}", self.metadata.name);
        let resolved = from_json("scenario", resolve_symbols(&document, &scenario, &values)?)?;
        Ok((resolved, target))
    }
}

/// Creates the world of a scenario with the scenario's fault scheduled. The seed determines the names, the target
/// workload and the time of the fault.
///
/// # Errors
/// [`InvalidFile`] if the scenario does not apply to the world.
pub fn prepare(
    scenario: &ScenarioFile,
    world: &WorldFile,
    seed: u64,
    start: Timestamp,
) -> Result<PreparedScenario, InvalidFile> {
    prepare_with_naming(scenario, world, seed, start, Naming::Random)
}

/// As [`prepare`], with an explicit [`Naming`]. The target workload and the time of the fault depend only on the
/// seed.
///
/// # Errors
/// [`InvalidFile`] if the scenario does not apply to the world.
pub fn prepare_with_naming(
    scenario: &ScenarioFile,
    world: &WorldFile,
    seed: u64,
    start: Timestamp,
    naming: Naming,
) -> Result<PreparedScenario, InvalidFile> {
    if scenario.spec.world != world.metadata.name {
        let reason = format!(
            "the scenario requires the world {}, not {}",
            scenario.spec.world, world.metadata.name
        );
        return Err(scenario.invalid("spec.world", &reason));
    }
    let mut world = World::with_naming(world, seed, start, naming)?;
    let WarmUp { from, to } = scenario.spec.warm_up;
    // The label is part of the seed: another label means another time.
    let mut rng = SeededRng::new("lead-in", &format!("{}/{seed}", scenario.metadata.name));
    let spread = (to.to_std() - from.to_std()).as_secs() + 1;
    let fault_at = start + from.signed() + Duration::from_secs(rng.below(spread)).signed();
    let oracle = world.inject_fault_at(scenario, seed, fault_at)?;
    Ok(PreparedScenario { world, oracle })
}

impl World {
    /// Creates the world of `file` at `start`, with the symbols replaced according to `naming`.
    ///
    /// # Errors
    /// [`InvalidFile`] if a symbol is unknown or the cluster rejects an object of the file.
    pub fn with_naming(
        file: &WorldFile,
        seed: u64,
        start: Timestamp,
        naming: Naming,
    ) -> Result<Self, InvalidFile> {
        // `$(target.PART)` in a recurring event is another workload in every turn, so recurring events are resolved
        // separately, turn by turn.
        let mut base = file.clone();
        base.spec.recurring_events.clear();
        let (base, values) = naming.resolve_world(&base, seed)?;
        let mut world = Self::from_resolved(&base, seed, start)?;
        world.load_recurring_events(file, &values)?;
        world.naming = std::sync::Arc::new((naming, values));
        Ok(world)
    }

    /// Injects the fault of `scenario` into this running world now, on a workload selected by `seed`.
    ///
    /// # Errors
    /// [`InvalidFile`] if the scenario does not apply to the world.
    pub fn inject_fault(
        &mut self,
        scenario: &ScenarioFile,
        seed: u64,
    ) -> Result<Oracle, InvalidFile> {
        self.inject_fault_at(scenario, seed, self.now())
    }

    fn inject_fault_at(
        &mut self,
        scenario: &ScenarioFile,
        seed: u64,
        fault_at: Timestamp,
    ) -> Result<Oracle, InvalidFile> {
        let naming = self.naming.clone();
        let workloads = self.workloads.clone();
        let (bound, target) = scenario.bind(&workloads, &naming.1, naming.0, seed)?;
        let start = self.now();
        for (actions, from) in [(&bound.spec.faults, fault_at), (&bound.spec.noise, start)] {
            for (i, action) in actions.iter().enumerate() {
                let scheduled = scheduled_action(action)
                    .map_err(|reason| scenario.invalid(&format!("spec.faults[{i}]"), &reason))?;
                self.schedule_action(from + action.at.signed(), scheduled);
            }
        }
        let oracle = Oracle::new(&bound, target, fault_at);
        self.forbid_patterns(&bound.spec.forbidden, oracle.target(), fault_at);
        Ok(oracle)
    }
}

/// Converts an action of a file into one that [`World::schedule_action`] accepts.
pub(crate) fn scheduled_action(action: &ScenarioAction) -> Result<ScheduledAction, String> {
    if let Some(patch) = &action.patch {
        let target = &patch.target;
        let kind = Kind::builtin(&target.kind).and_then(|kind| builtin_storage_kind(&kind));
        let kind = kind.ok_or_else(|| format!("unknown kind {}", target.kind))?;
        let key = Key::new(kind, target.namespace.as_deref().unwrap_or_default(), &target.name);
        let value = serde_json::json!({"type": patch.r#type, "patch": patch.patch});
        let patch: Patch =
            serde_json::from_value(value).map_err(|error| format!("invalid patch: {error}"))?;
        return Ok(ScheduledAction::Patch(key, patch));
    }
    match action.process.clone() {
        Some(ScenarioProcess::DeletePods { namespace, workload, count }) => {
            Ok(ScheduledAction::DeletePods { namespace, workload, count })
        }
        Some(ScenarioProcess::Alert { labels, annotations, duration }) => {
            Ok(ScheduledAction::Alert { labels, annotations, duration })
        }
        None => Err("exactly one of `patch` and `process` must be set".into()),
    }
}

impl WorkloadEntry {
    /// Returns a part that is a string.
    pub(crate) fn text(&self, part: &str) -> Option<&str> {
        self.0.get(part)?.as_str()
    }

    /// Returns a reference to the Deployment; its cluster is empty.
    pub(crate) fn deployment(&self) -> ObjectRef {
        ObjectRef::builtin(
            "",
            "Deployment",
            self.text("namespace"),
            self.text("name").unwrap_or_default(),
        )
    }
}
