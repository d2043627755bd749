//! An engine over the simulated shop, and what its record says.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use actions::Next;
use cluster::{Agent, Cluster, Mode, ObjectRef, Reply, Request};
use engine::{Case, Engine, Folds, Message, Pace, Parts, Settings, Sources, Stop, Time};
use jiff::{SignedDuration, Timestamp};
use simulator::{AlertMode, Oracle, ScenarioFile, SimulatedCluster, WorldFile, scenario};
use store::{Memory, Record, Salts, Store};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use workflow::guardrail::Autonomy;
use workflow::{Answer, Catalogue, Entry, Guardrails, Input, Limits, Template};

/// An engine, its world and its record.
pub(crate) struct House {
    runtime: Runtime,
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    inputs: mpsc::Sender<Message>,
    cluster: Arc<SimulatedCluster>,
    oracle: Oracle,
}

/// How a house is built.
pub(crate) struct Plan {
    /// What breaks.
    pub(crate) family: &'static str,
    /// Seed of the world and of the decisions.
    pub(crate) seed: u64,
    /// How far Chiron goes by itself.
    pub(crate) autonomy: Autonomy,
    /// Names of the templates that propose, in order; nothing else does.
    pub(crate) templates: &'static [&'static str],
}

impl House {
    /// The shop, in which a fault of the family is about to strike; the first allowed candidate is chosen.
    pub(crate) fn build(plan: &Plan) -> Self {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let world = WorldFile::parse(&read("worlds", "shop")).unwrap();
        let file = ScenarioFile::parse(&read("scenarios/starter", plan.family)).unwrap();
        let mut prepared = scenario::prepare(&file, &world, plan.seed, start).unwrap();
        prepared.world.set_alert_mode(AlertMode::Internal);
        let world = Arc::new(Mutex::new(prepared.world));
        let catalogue = actions::catalogue();
        let templates = plan.templates.iter().map(|name| template(name, &catalogue)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store: Arc<dyn Store> = Arc::new(Memory::new(Salts::seeded("engine")));
        let (inputs, inbox) = mpsc::channel(16);
        let cluster = Arc::new(SimulatedCluster::new(world.clone(), "simulated"));
        let parts = Parts {
            store: store.clone(),
            cluster: cluster.clone(),
            metrics: cluster.clone(),
            time: Time::Simulated { world, pace: Pace::Free },
            catalogue,
            guardrails: guardrails(plan.autonomy),
            sources: Sources { templates, retrieval: false, reversal: false },
            policy: learner::policy("first").unwrap(),
            settings: Settings::default(),
            limits: Limits::default(),
            seed: plan.seed,
            inbox,
        };
        let engine = runtime.block_on(Engine::open(parts)).unwrap();
        Self { runtime, engine, store, inputs, cluster, oracle: prepared.oracle }
    }

    /// Lives on until so many minutes after the fault.
    pub(crate) fn until(&mut self, minutes: i64) {
        let at = self.oracle.fault_at() + SignedDuration::from_mins(minutes);
        self.runtime.block_on(self.engine.run(Stop::At(at))).unwrap();
    }

    /// Lives on for so many seconds.
    pub(crate) fn seconds(&mut self, seconds: i64) {
        let at = self.engine.now() + SignedDuration::from_secs(seconds);
        self.runtime.block_on(self.engine.run(Stop::At(at))).unwrap();
    }

    /// Lives on until this is true of what is remembered.
    pub(crate) fn until_engine(&mut self, is_so: impl Fn(&Folds) -> bool + Send + 'static) {
        self.runtime.block_on(self.engine.run(Stop::When(Box::new(is_so)))).unwrap();
    }

    /// Lives on until this is true of the first incident's case.
    pub(crate) fn until_first(&mut self, is_so: impl Fn(&Case) -> bool + Send + 'static) {
        self.until_engine(move |folds| folds.cases.cases.values().next().is_some_and(&is_so));
    }

    /// Somebody does by hand what mends the fault.
    pub(crate) fn mend(&self) {
        for step in self.oracle.fix().to_vec() {
            let catalogue = actions::catalogue();
            let spec = catalogue.get(&step.action).unwrap();
            let mut replies = Vec::new();
            loop {
                let reply = match actions::next(spec, &step.arguments, "by-hand", &replies) {
                    Next::Read(queries) => {
                        for query in &queries {
                            replies
                                .push(self.runtime.block_on(executor::read(&*self.cluster, query)));
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
                            Request { target, verb, preconditions, mode: Mode::Apply, agent };
                        self.runtime.block_on(self.cluster.send(&request))
                    }
                    Next::Done { .. } => break,
                    Next::Wait(_) => Reply::Absent,
                    Next::Ask(what) | Next::Refused { why: what, .. } => panic!("{what}"),
                };
                replies.push(reply);
            }
        }
    }

    /// Asks the engine, now.
    pub(crate) fn ask(&mut self, input: Input) -> Answer {
        self.ask_all(vec![input]).remove(0)
    }

    /// Asks the engine all of it at once, now.
    pub(crate) fn ask_all(&mut self, inputs: Vec<Input>) -> Vec<Answer> {
        let ask = |input| {
            let (back, answer) = oneshot::channel();
            self.inputs.try_send((input, back)).unwrap_or_else(|_| panic!("the inbox is full"));
            answer
        };
        let answers: Vec<oneshot::Receiver<Answer>> = inputs.into_iter().map(ask).collect();
        self.runtime.block_on(self.engine.run(Stop::At(self.engine.now()))).unwrap();
        answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
    }

    /// The cluster, behind its ports.
    pub(crate) fn cluster(&self) -> Arc<SimulatedCluster> {
        self.cluster.clone()
    }

    /// The object at fault.
    pub(crate) fn target(&self) -> &ObjectRef {
        self.oracle.target()
    }

    /// The case of the first incident.
    pub(crate) fn first(&self) -> &Case {
        self.engine.folds().cases.cases.values().next().expect("something fired")
    }

    /// Everything that was recorded.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.runtime.block_on(self.store.read(0, usize::MAX)).unwrap()
    }

    /// The same, each as what it says.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.records().iter().map(|record| record.entry().unwrap()).collect()
    }
}

/// The defaults at this autonomy.
pub(crate) fn guardrails(autonomy: Autonomy) -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = autonomy;
    guardrails
}

fn read(folder: &str, name: &str) -> String {
    let file = PathBuf::from(format!("../datasets/{folder}/{name}.yaml"));
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn template(name: &str, catalogue: &Catalogue) -> Template {
    workflow::validate::validate_template(&read("templates", name), catalogue, &Limits::default())
        .value
        .unwrap()
}
