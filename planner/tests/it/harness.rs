//! Test harness: a simulated shop with an injected fault, and the planner's view of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use actions::{Next, Reply};
use cluster::{Agent, Cluster, Mode, Request};
use jiff::{SignedDuration, Timestamp};
use planner::{CandidateSources, KnownGood, ReadLimits, ReversalMode, evidence, related_objects};
use simulator::scenario::prepare;
use simulator::{Emission, Oracle, ScenarioFile, SimulatedCluster, World, WorldFile};
use workflow::incident::{IncidentInput, decide};
use workflow::{
    Candidate, ChangeLog, Evidence, Guardrails, Incident, Incidents, Limits, Template, alertmanager,
};

/// A simulated world a few minutes after its fault was injected.
pub(crate) struct FaultyWorld {
    pub(crate) world: World,
    /// Decides whether the fault is mitigated.
    pub(crate) oracle: Oracle,
    /// The incidents that its alerts opened.
    pub(crate) incidents: Vec<Incident>,
    /// The known-good state from before the fault.
    pub(crate) known_good: KnownGood,
}

pub(crate) fn datasets() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../datasets")
}

pub(crate) fn shop() -> WorldFile {
    WorldFile::parse(&std::fs::read_to_string(datasets().join("worlds/shop.yaml")).unwrap())
        .unwrap()
}

pub(crate) fn scenario(family: &str) -> ScenarioFile {
    ScenarioFile::parse(
        &std::fs::read_to_string(datasets().join(format!("scenarios/starter/{family}.yaml")))
            .unwrap(),
    )
    .unwrap()
}

pub(crate) fn templates() -> Vec<Template> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(datasets().join("templates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let parsed =
            workflow::validate::validate_template(&text, &actions::catalogue(), &Limits::default());
        parsed.value.unwrap_or_else(|| panic!("{}: {:#?}", path.display(), parsed.diagnostics))
    };
    paths.iter().map(read).collect()
}

pub(crate) fn auto() -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = workflow::guardrail::Autonomy::Auto;
    guardrails
}

/// Records the known-good state of a shop, injects a fault, and opens incidents for the resulting alerts.
pub(crate) async fn faulty_world(family: &str, seed: u64) -> FaultyWorld {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let prepared = prepare(&scenario(family), &shop(), seed, start).unwrap();
    let (mut world, oracle) = (prepared.world, prepared.oracle);
    world.advance_fully(oracle.fault_at() - SignedDuration::from_secs(30));
    let mut known_good = KnownGood::default();
    let cluster = simulated(&world);
    let workloads: Vec<_> = world
        .objects()
        .filter(|object| object.kind().kind == "Deployment")
        .map(|object| object.reference("sim"))
        .collect();
    for workload in workloads {
        let related = related_objects(&cluster, &workload).await.unwrap();
        known_good.record(&workload, &related);
    }
    let mut incidents = Incidents::default();
    for Emission::Alerts(webhook) in
        world.advance_fully(oracle.fault_at() + SignedDuration::from_mins(6))
    {
        let body = serde_json::to_vec(&webhook).unwrap();
        for alert in alertmanager::parse(&body, &Limits::default(), world.now()).unwrap().alerts {
            for event in decide(&incidents, &IncidentInput::Alert(alert), world.now()) {
                incidents.apply(&event);
            }
        }
    }
    let incidents = incidents.incidents.into_values().filter(Incident::is_open).collect();
    FaultyWorld { world, oracle, incidents, known_good }
}

pub(crate) fn simulated(world: &World) -> SimulatedCluster {
    SimulatedCluster::new(Arc::new(Mutex::new(world.clone())), "sim")
}

impl FaultyWorld {
    /// Collects the evidence for one incident.
    pub(crate) async fn evidence(&self, incident: &Incident) -> Evidence {
        let cluster = simulated(&self.world);
        evidence::collect(
            &cluster,
            &cluster,
            incident,
            &self.known_good,
            &ReadLimits::default(),
            self.world.now(),
        )
        .await
    }

    /// Returns the evidence of the incidents about the faulty workload or one of its Services.
    pub(crate) async fn evidence_at_fault(&self) -> Vec<Evidence> {
        let mut found = Vec::new();
        for incident in &self.incidents {
            let evidence = self.evidence(incident).await;
            let target = self.oracle.target();
            let is_it = |object: &cluster::ObjectRef| {
                object.kind == "Deployment"
                    && object.name == target.name
                    && object.namespace == target.namespace
            };
            if planner::target_and_neighbours(&evidence).iter().any(is_it) {
                found.push(evidence);
            }
        }
        found
    }

    /// Returns the candidates that pass verification.
    pub(crate) async fn verified(
        &self,
        evidence: &Evidence,
        templates: &[Template],
        reversal: ReversalMode,
    ) -> Vec<Candidate> {
        let catalogue = actions::catalogue();
        let cluster = simulated(&self.world);
        let sources = CandidateSources { templates, neighbours: &[], reversal, corrections: &[] };
        let mut verified = Vec::new();
        for candidate in planner::propose(evidence, &sources, &catalogue) {
            let dry_run = planner::dry_run(&cluster, &candidate, &catalogue).await;
            let verdict = planner::verify(
                &candidate,
                evidence,
                &auto(),
                &ChangeLog::default(),
                &catalogue,
                &dry_run,
                self.world.now(),
            );
            if verdict.is_ok() {
                verified.push(candidate);
            }
        }
        verified
    }

    /// Runs a candidate on a copy of the world and returns whether the oracle accepts the result.
    pub(crate) async fn is_fixed_by(&self, candidate: &Candidate) -> Result<(), String> {
        let world = Arc::new(Mutex::new(self.world.clone()));
        let cluster = SimulatedCluster::new(world.clone(), "sim");
        let catalogue = actions::catalogue();
        for step in &candidate.workflow.spec.steps {
            let spec = catalogue.get(&step.action).unwrap();
            let mut replies = Vec::new();
            loop {
                match actions::next(spec, &step.arguments, &step.id, &replies) {
                    Next::Read(queries) => {
                        for query in queries {
                            replies.push(Reply::Read(cluster::read(&cluster, &query).await));
                        }
                    }
                    Next::Send { target, verb, preconditions } => {
                        let agent = Agent {
                            effect_key: format!("{}-{}", step.id, replies.len()),
                            ..Agent::default()
                        };
                        let mode = Mode::Commit;
                        let request = Request { target, verb, preconditions, mode, agent };
                        replies.push(Reply::Write(cluster.send(&request).await));
                    }
                    Next::Wait(_) => replies.push(Reply::Waited),
                    Next::RequestApproval(_) => replies.push(Reply::Approved),
                    Next::Done { .. } => break,
                    Next::Refused { message: why, .. } => return Err(why),
                }
            }
            let now = world.lock().unwrap().now();
            world.lock().unwrap().advance_fully(now + SignedDuration::from_secs(30));
        }
        let mut world = world.lock().unwrap();
        let verdict = self.oracle.check(&mut world);
        if verdict.mitigated { Ok(()) } else { Err(verdict.message) }
    }
}
