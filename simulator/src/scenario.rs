//! Scenarios as files: what breaks, when, what shows it, and when it counts as mended.

use std::collections::BTreeMap;

use cluster::{Kind, ObjectRef, Patch};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use workflow::duration::Span;
use workflow::manifest::{ManifestMetadata, Step};
use workflow::{Condition, FactPattern};

use crate::chance::Chance;
use crate::file::{BadFile, WorkloadEntry, WorldFile, check_kind, read};
use crate::names::{Names, Naming, filled, plain, typed};
use crate::objects::{Key, served};
use crate::oracle::Oracle;
use crate::script::Deed;
use crate::world::World;

/// A scenario as a file.
///
/// Besides the symbols of its world, `$(target.PART)` is a part of the workload at fault and `$(other.PART)` one of
/// another workload, both drawn by the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioFile {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `Scenario`.
    pub kind: String,
    /// Its name, and what else is said about it.
    pub metadata: ManifestMetadata,
    /// What happens.
    pub spec: ScenarioSpec,
}

/// What happens in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioSpec {
    /// The fault family that it belongs to.
    pub family: String,
    /// Whether learners may see it.
    pub split: Split,
    /// How hard it is to mend.
    pub difficulty: Difficulty,
    /// Name of its world.
    pub world: String,
    /// How long the world is well before the fault.
    pub lead_in: LeadIn,
    /// Parts that the workload at fault must have.
    #[serde(default)]
    pub target: Wanted,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// What else happens, and breaks nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noise: Vec<Fault>,
    /// Alerts of which at least one fires.
    pub expected_alerts: Vec<String>,
    /// When it counts as mended.
    pub oracle: OracleSpec,
    /// Facts that must never hold, whatever is done; `$target` is the workload at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<FactPattern>,
    /// Steps that mend it: one way, for tests of the oracle. Never shown to a planner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<Step>,
    /// The blunt policy that rightly cures it, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cured_by: Option<CuredBy>,
    /// Whether doing nothing is right.
    #[serde(default)]
    pub right_to_ignore: bool,
}

/// Whether learners may see a scenario. Whole families are split, never seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Split {
    /// They may.
    Train,
    /// They may not.
    Test,
}

/// How hard a scenario is to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Difficulty {
    /// One step, and it is named by the symptom.
    Easy,
    /// One step, and the symptom shows elsewhere.
    Medium,
    /// Several steps, or a trap.
    Hard,
}

/// How long the world is well before the fault.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeadIn {
    /// The shortest; at least ten minutes, so that five healthy minutes are seen.
    pub from: Span,
    /// The longest; the seed draws between.
    pub to: Span,
}

/// What the workload at fault must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    /// Parts that it must have.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// Something that happens at a time after the lead-in (in noise: after the start of the world).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub at: Span,
    /// The object that somebody changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<FaultPatch>,
    /// What happens by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// A change that somebody makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultPatch {
    /// The object.
    pub target: Place,
    /// `json`, `merge` or `strategic`.
    pub r#type: String,
    /// The change, as [`Patch`] reads it.
    pub patch: Value,
}

/// Names an object of a built-in kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// What happens by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Process {
    /// Pods of a Deployment are lost and made anew.
    DeletePods {
        /// Its namespace.
        namespace: String,
        /// Its name.
        workload: String,
        /// How many; all where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
    },
    /// An alert fires for which there is no reason.
    Alert {
        /// Its labels, `alertname` among them.
        labels: BTreeMap<String, String>,
        /// Its annotations.
        #[serde(default)]
        annotations: BTreeMap<String, String>,
        /// How long it fires.
        lasts: Span,
    },
}

/// When a scenario counts as mended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OracleSpec {
    /// How long the world may come to rest first.
    pub settle: Span,
    /// How long everything must hold.
    pub hold_for: Span,
    /// What must hold.
    pub all: Vec<Condition>,
    /// Whether it must hold again after a pod of the target was lost.
    #[serde(default)]
    pub recreate: bool,
    /// Whether requests to the target's Service must succeed at the end.
    #[serde(default)]
    pub replay: bool,
}

/// A blunt policy that rightly cures a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CuredBy {
    /// The policy: `restart-everything`.
    pub policy: String,
    /// Why that is right.
    pub reason: String,
}

/// A world with a fault in its future, and the judge of what becomes of it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The world at its start. A planner gets it behind [`crate::SimulatedCluster`] and nothing else.
    pub world: World,
    /// Who judges it.
    pub oracle: Oracle,
}

impl ScenarioFile {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`BadFile`] where it is not one, saying line and column.
    pub fn parse(text: &str) -> Result<Self, BadFile> {
        let file: Self = read("scenario", text)?;
        check_kind(&file.api_version, &file.kind, "Scenario")?;
        let spec = &file.spec;
        if spec.lead_in.from < Span::from_secs(600) || spec.lead_in.to < spec.lead_in.from {
            return Err(file.nonsense(
                "spec.leadIn",
                "it must be at least ten minutes, and `to` not below `from`",
            ));
        }
        for (list, faults) in [("faults", &spec.faults), ("noise", &spec.noise)] {
            for (i, fault) in faults.iter().enumerate() {
                if fault.patch.is_some() == fault.process.is_some() {
                    return Err(file.nonsense(
                        &format!("spec.{list}[{i}]"),
                        "give one of `patch` and `process`",
                    ));
                }
            }
        }
        Ok(file)
    }

    fn nonsense(&self, place: &str, reason: &str) -> BadFile {
        BadFile::Nonsense {
            what: format!("scenario {}", self.metadata.name),
            place: place.into(),
            reason: reason.into(),
        }
    }

    /// The scenario for one target of `workloads`, its symbols filled.
    fn bind<'a>(
        &self,
        workloads: &'a [WorkloadEntry],
        names: &Names,
        naming: Naming,
        seed: u64,
    ) -> Result<(Self, &'a WorkloadEntry), BadFile> {
        let mut chance = Chance::new("scenario", &format!("{}/{seed}", self.metadata.name));
        let mut fitting: Vec<&'a WorkloadEntry> = workloads
            .iter()
            .filter(|entry| self.spec.target.needs.iter().all(|part| entry.0.contains_key(part)))
            .collect();
        if fitting.is_empty() {
            return Err(self
                .nonsense("spec.target.needs", "no workload of the world has all of these parts"));
        }
        let target = fitting.remove(chance.below(fitting.len() as u64) as usize);
        let mut names = names.clone();
        let mut tell = |role: &str, entry: &WorkloadEntry| {
            names.extend(
                entry.0.iter().map(|(part, value)| (format!("{role}.{part}"), value.clone())),
            );
        };
        tell("target", target);
        if !fitting.is_empty() {
            let other: &WorkloadEntry = chance.pick::<&WorkloadEntry>(&fitting);
            tell("other", other);
        }
        let value = plain(self);
        let drawn = naming.draw(&value, seed, &names);
        names.extend(drawn);
        let bound = typed(
            "scenario",
            filled(&format!("scenario {}", self.metadata.name), &value, &names)?,
        )?;
        Ok((bound, target))
    }
}

/// Makes the world of a scenario for one seed: names, workload at fault and time are drawn, the fault is in its future.
///
/// # Errors
/// [`BadFile`] where scenario and world do not fit each other.
pub fn prepare(
    scenario: &ScenarioFile,
    world: &WorldFile,
    seed: u64,
    start: Timestamp,
) -> Result<Prepared, BadFile> {
    prepare_named(scenario, world, seed, start, Naming::Drawn)
}

/// As [`prepare`], with names of another kind. The workload at fault and the time depend on the seed alone.
///
/// # Errors
/// [`BadFile`] where scenario and world do not fit each other.
pub fn prepare_named(
    scenario: &ScenarioFile,
    world: &WorldFile,
    seed: u64,
    start: Timestamp,
    naming: Naming,
) -> Result<Prepared, BadFile> {
    if scenario.spec.world != world.metadata.name {
        let reason = format!(
            "it plays in the world {}, not in {}",
            scenario.spec.world, world.metadata.name
        );
        return Err(scenario.nonsense("spec.world", &reason));
    }
    let mut made = World::named(world, seed, start, naming)?;
    let LeadIn { from, to } = scenario.spec.lead_in;
    let mut chance = Chance::new("lead-in", &format!("{}/{seed}", scenario.metadata.name));
    let spread = (to.duration() - from.duration()).as_secs() + 1;
    let fault_at = start + from.signed() + Span::from_secs(chance.below(spread)).signed();
    let oracle = made.strike_at(scenario, seed, fault_at)?;
    Ok(Prepared { world: made, oracle })
}

impl World {
    /// Makes the world of `file` at `start`, its symbols filled as `naming` says.
    ///
    /// # Errors
    /// [`BadFile`] where a symbol or an object of the file makes no sense.
    pub fn named(
        file: &WorldFile,
        seed: u64,
        start: Timestamp,
        naming: Naming,
    ) -> Result<Self, BadFile> {
        // Routines speak of `$(target.PART)`, which is another workload every turn: they are filled turn by turn.
        let mut still = file.clone();
        still.spec.routines.clear();
        let (still, names) = naming.name_world(&still, seed)?;
        let mut world = Self::of_filled(&still, seed, start)?;
        world.take_up(file, &names)?;
        world.names = std::sync::Arc::new((naming, names));
        Ok(world)
    }

    /// Lets the faults of `scenario` happen in this running world from now on, on a workload that `seed` draws.
    ///
    /// # Errors
    /// [`BadFile`] where scenario and world do not fit each other.
    pub fn strike(&mut self, scenario: &ScenarioFile, seed: u64) -> Result<Oracle, BadFile> {
        self.strike_at(scenario, seed, self.now())
    }

    fn strike_at(
        &mut self,
        scenario: &ScenarioFile,
        seed: u64,
        fault_at: Timestamp,
    ) -> Result<Oracle, BadFile> {
        let names = self.names.clone();
        let workloads = self.workloads.clone();
        let (bound, target) = scenario.bind(&workloads, &names.1, names.0, seed)?;
        let start = self.now();
        for (faults, from) in [(&bound.spec.faults, fault_at), (&bound.spec.noise, start)] {
            for (i, fault) in faults.iter().enumerate() {
                let deed = deed(fault)
                    .map_err(|reason| scenario.nonsense(&format!("spec.faults[{i}]"), &reason))?;
                self.plan_deed(from + fault.at.signed(), deed);
            }
        }
        let oracle = Oracle::new(&bound, target, fault_at);
        self.watch(&bound.spec.forbidden, oracle.target(), fault_at);
        Ok(oracle)
    }
}

/// What the world's script does for a fault.
pub(crate) fn deed(fault: &Fault) -> Result<Deed, String> {
    if let Some(patch) = &fault.patch {
        let place = &patch.target;
        let kind = Kind::builtin(&place.kind).and_then(|kind| served(&kind));
        let kind = kind.ok_or_else(|| format!("the world has no kind {}", place.kind))?;
        let key = Key::new(kind, place.namespace.as_deref().unwrap_or_default(), &place.name);
        let value = serde_json::json!({"type": patch.r#type, "patch": patch.patch});
        let patch: Patch =
            serde_json::from_value(value).map_err(|error| format!("it is no patch: {error}"))?;
        return Ok(Deed::Patch(key, patch));
    }
    match fault.process.clone() {
        Some(Process::DeletePods { namespace, workload, count }) => {
            Ok(Deed::DeletePods { namespace, workload, count })
        }
        Some(Process::Alert { labels, annotations, lasts }) => {
            Ok(Deed::Alert { labels, annotations, lasts })
        }
        None => Err("give one of `patch` and `process`".into()),
    }
}

impl WorkloadEntry {
    /// A part that is a text.
    pub(crate) fn text(&self, part: &str) -> Option<&str> {
        self.0.get(part)?.as_str()
    }

    /// The Deployment, as references within the world name it.
    pub(crate) fn deployment(&self) -> ObjectRef {
        ObjectRef::builtin(
            "",
            "Deployment",
            self.text("namespace"),
            self.text("name").unwrap_or_default(),
        )
    }
}
