//! Test harness: an engine with a simulated world and an in-memory store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use actions::{Next, Reply};
use cluster::{Agent, Cluster, Mode, ObjectRef, Request};
use engine::{
    Builder, Engine, Folds, IncidentCase, InputSenders, ProposalSources, RunUntil, Settings,
    webhook_channel,
};
use jiff::{SignedDuration, Timestamp};
use runtime::Speed;
use simulator::{
    AlertMode, Oracle, ScenarioFile, SimulatedCluster, WorldFile, WorldTimeline, scenario,
};
use store::{Memory, Record, Salts, Store};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use workflow::guardrail::Autonomy;
use workflow::{Catalogue, EngineResponse, Entry, Guardrails, Input, Limits, Template};

/// An engine, its simulated cluster and its store.
pub(crate) struct EngineHarness {
    runtime: Runtime,
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    inputs: InputSenders,
    cluster: Arc<SimulatedCluster>,
    oracle: Oracle,
}

/// How a harness is built.
pub(crate) struct HarnessConfig {
    /// Fault family of the scenario.
    pub(crate) family: &'static str,
    /// Seed of the world and of the decisions.
    pub(crate) seed: u64,
    /// Autonomy of the guardrails.
    pub(crate) autonomy: Autonomy,
    /// Names of the templates, in order. No other source proposes candidates.
    pub(crate) templates: &'static [&'static str],
}

impl EngineHarness {
    /// Builds the `shop` world with a fault of the family. The policy chooses the first allowed candidate.
    pub(crate) fn build(config: &HarnessConfig) -> Self {
        Self::build_with(config, |_, _| {})
    }

    /// Like [`build`](Self::build), with other parts: `change` also gets the simulated cluster.
    pub(crate) fn build_with(
        config: &HarnessConfig,
        change: impl FnOnce(&mut Builder, &Arc<SimulatedCluster>),
    ) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let world = WorldFile::parse(&read("worlds", "shop")).unwrap();
        let file = ScenarioFile::parse(&read("scenarios/starter", config.family)).unwrap();
        let mut prepared = scenario::prepare(&file, &world, config.seed, start).unwrap();
        prepared.world.set_alert_mode(AlertMode::Internal);
        let world = Arc::new(Mutex::new(prepared.world));
        let catalogue = actions::catalogue();
        let templates = config.templates.iter().map(|name| template(name, &catalogue)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store: Arc<dyn Store> = Arc::new(Memory::new(Salts::seeded("engine")));
        let (deliver, webhooks) = webhook_channel();
        let cluster = Arc::new(SimulatedCluster::new(world.clone(), "simulated"));
        let mut builder = Builder {
            store: store.clone(),
            cluster: cluster.clone(),
            metrics: cluster.clone(),
            runtime: Arc::new(WorldTimeline::runtime(world, Speed::Unlimited, deliver)),
            catalogue,
            guardrails: guardrails(config.autonomy),
            sources: ProposalSources { templates, retrieval: false, reversal: false },
            policy: learner::policy("first").unwrap(),
            settings: Settings::default(),
            limits: Limits::default(),
            seed: config.seed,
            webhooks,
        };
        change(&mut builder, &cluster);
        let (engine, inputs) = runtime.block_on(builder.open()).unwrap();
        Self { runtime, engine, store, inputs, cluster, oracle: prepared.oracle }
    }

    /// Runs the engine until this many minutes after the fault.
    pub(crate) fn run_until_minutes(&mut self, minutes: i64) {
        let at = self.oracle.fault_at() + SignedDuration::from_mins(minutes);
        self.runtime.block_on(self.engine.run(RunUntil::At(at))).unwrap();
    }

    /// Runs the engine for this many seconds.
    pub(crate) fn run_for_seconds(&mut self, seconds: i64) {
        let at = self.engine.now() + SignedDuration::from_secs(seconds);
        self.runtime.block_on(self.engine.run(RunUntil::At(at))).unwrap();
    }

    /// Runs the engine until the condition is true.
    pub(crate) fn run_until(&mut self, is_met: impl Fn(&Folds) -> bool + Send + 'static) {
        self.runtime.block_on(self.engine.run(RunUntil::Condition(Box::new(is_met)))).unwrap();
    }

    /// Runs the engine until the condition is true for the case of the first incident.
    pub(crate) fn run_until_first_case(
        &mut self,
        is_met: impl Fn(&IncidentCase) -> bool + Send + 'static,
    ) {
        self.run_until(move |folds| folds.cases.cases.values().next().is_some_and(&is_met));
    }

    /// Applies the scenario's reference fix to the cluster, outside of the engine.
    pub(crate) fn apply_fix(&self) {
        for step in self.oracle.reference_fix().to_vec() {
            let catalogue = actions::catalogue();
            let spec = catalogue.get(&step.action).unwrap();
            let mut replies = Vec::new();
            loop {
                let reply = match actions::next(spec, &step.arguments, "by-hand", &replies) {
                    Next::Read(queries) => {
                        for query in &queries {
                            replies.push(Reply::Read(
                                self.runtime.block_on(cluster::read(&*self.cluster, query)),
                            ));
                        }
                        continue;
                    }
                    Next::Send { target, verb, preconditions } => {
                        let agent = Agent {
                            run: String::new(),
                            step: "by-hand".into(),
                            effect_key: format!("by-hand/{}", step.id),
                            epoch: 0,
                        };
                        let request =
                            Request { target, verb, preconditions, mode: Mode::Commit, agent };
                        Reply::Write(self.runtime.block_on(self.cluster.send(&request)))
                    }
                    Next::Done { .. } => break,
                    Next::Wait(_) => Reply::Waited,
                    Next::RequestApproval(message) | Next::Refused { message, .. } => {
                        panic!("{message}")
                    }
                };
                replies.push(reply);
            }
        }
    }

    /// Sends an input and returns the response, without advancing time.
    pub(crate) fn send(&mut self, input: Input) -> EngineResponse {
        self.send_all(vec![input]).remove(0)
    }

    /// Sends several inputs in one batch and returns the responses, without advancing time.
    pub(crate) fn send_all(&mut self, inputs: Vec<Input>) -> Vec<EngineResponse> {
        let send = |input| {
            let (reply_to, response) = oneshot::channel();
            self.inputs
                .commands
                .try_send((input, reply_to))
                .unwrap_or_else(|_| panic!("the inbox is full"));
            response
        };
        let responses: Vec<oneshot::Receiver<EngineResponse>> =
            inputs.into_iter().map(send).collect();
        self.runtime.block_on(self.engine.run(RunUntil::At(self.engine.now()))).unwrap();
        responses.into_iter().map(|mut response| response.try_recv().unwrap()).collect()
    }

    /// The senders of the engine's queues.
    pub(crate) fn inputs(&self) -> &InputSenders {
        &self.inputs
    }

    pub(crate) fn cluster(&self) -> Arc<SimulatedCluster> {
        self.cluster.clone()
    }

    /// Object with the fault.
    pub(crate) fn target(&self) -> &ObjectRef {
        self.oracle.target()
    }

    /// Case of the first incident.
    pub(crate) fn first_case(&self) -> &IncidentCase {
        self.engine.folds().cases.cases.values().next().expect("an incident was opened")
    }

    /// All records.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.runtime.block_on(self.store.read(0, usize::MAX)).unwrap()
    }

    /// Entries of all records.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.records().iter().map(|record| record.entry().unwrap()).collect()
    }
}

/// Default guardrails with this autonomy.
pub(crate) fn guardrails(autonomy: Autonomy) -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = autonomy;
    guardrails
}

pub(crate) fn read(folder: &str, name: &str) -> String {
    let file = PathBuf::from(format!("../datasets/{folder}/{name}.yaml"));
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

pub(crate) fn template(name: &str, catalogue: &Catalogue) -> Template {
    workflow::validate::validate_template(&read("templates", name), catalogue, &Limits::default())
        .value
        .unwrap()
}
