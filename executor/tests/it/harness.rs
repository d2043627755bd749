//! Test harness: a simulated world, a store, a fleet and the loop that an engine would run.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use cluster::{
    Agent, Cluster, Consistency, Delegate, Digest, ListQuery, Metrics, Mode, Object, ObjectRef,
    Page, Patch, Preconditions, ReadFailure, Request, Verb,
};
use executor::{Fleet, Rejected, Rules, driver, perform};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::{SimulatedCluster, World, WorldFile};
use store::{Memory, Salts, Store};
use workflow::guardrail::{Autonomy, Guardrails};
use workflow::id::{CandidateId, DecisionId, IncidentId, PlanId, RunId};
use workflow::plan::{OptimizationReport, Source};
use workflow::run::{Control, Effect, Event, Pending, RunInput, RunView};
use workflow::{Entry, Estimate, Estimates, Features, Plan, Step, Workflow};

/// Four small workloads on one node.
pub(crate) const WORKLOADS: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Returns the world after five simulated minutes without changes.
pub(crate) fn world() -> World {
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"}, "conditions": [{"type": "Ready", "status": "True"}]}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
    ];
    for name in WORKLOADS {
        objects.push(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": "reg/app:v1", "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5}}]}}}}));
    }
    let behaviour = json!({"listens": [{"port": 8080, "paths": ["/healthz"]}]});
    let file = json!({"apiVersion": "chiron.dev/v1alpha1", "kind": "World", "metadata": {"name": "four"},
        "spec": {"objects": objects, "images": {"reg/app:v1": behaviour.clone(), "reg/app:v2": behaviour}}});
    let mut world = World::new(&WorldFile::parse(&file.to_string()).unwrap(), 7, start()).unwrap();
    world.advance_fully(start() + SignedDuration::from_mins(5));
    world
}

pub(crate) fn rules() -> Rules {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = Autonomy::Auto;
    Rules { guardrails, catalogue: actions::catalogue() }
}

pub(crate) fn deployment(world: &World, name: &str) -> Object {
    world
        .objects()
        .find(|object| object.kind().kind == "Deployment" && object.name() == name)
        .unwrap()
        .clone()
}

pub(crate) fn target(name: &str) -> Value {
    json!({"kind": "Deployment", "namespace": "shop", "name": name})
}

/// A `scale` step without optional fields.
pub(crate) fn scale(id: &str, name: &str, replicas: u32) -> Value {
    json!({"id": id, "action": "scale", "arguments": {"target": target(name), "replicas": replicas}, "timeout": "3m"})
}

pub(crate) fn ready(name: &str, replicas: u32, within: &str) -> Value {
    json!({"name": format!("{name} has {replicas} ready"), "read": {"d": {"kind": "Deployment", "namespace": "shop", "name": name}},
        "check": format!("d.status.readyReplicas == {replicas}"), "within": within})
}

pub(crate) fn never(name: &str, within: &str) -> Value {
    json!({"read": {"d": {"kind": "Deployment", "namespace": "shop", "name": name}}, "check": "d.spec.replicas == 77", "within": within})
}

/// Returns the value with additional fields.
pub(crate) fn with(mut value: Value, fields: Value) -> Value {
    for (name, field) in fields.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

pub(crate) fn plan(world: &World, steps: Vec<Value>, success: Vec<Value>) -> Plan {
    let steps: Vec<Step> =
        steps.into_iter().map(|step| serde_json::from_value(step).unwrap()).collect();
    let success =
        success.into_iter().map(|condition| serde_json::from_value(condition).unwrap()).collect();
    let workflow = Workflow::of_steps("test", "", steps, success);
    let targets: Vec<ObjectRef> = WORKLOADS
        .iter()
        .filter(|name| workflow.canonical().contains(&format!("\"name\":\"{name}\"")))
        .map(|name| deployment(world, name).reference("sim"))
        .collect();
    let incident = IncidentId::derive(start(), "test", 1);
    let even = Estimate { estimate: 0.5, low: 0.1, high: 0.9 };
    let guardrails_version = rules().guardrails.version();
    Plan {
        id: PlanId::derive(start(), incident.as_str(), 1),
        digest: Plan::digest_of(&incident, &workflow, &targets, &guardrails_version),
        candidate: CandidateId::derive(start(), incident.as_str(), 1),
        decision: DecisionId::derive(start(), incident.as_str(), 1),
        incident,
        workflow,
        targets,
        guardrails_version,
        source: Source::Template { name: "test".into(), digest: Digest::ZERO },
        estimates: Estimates {
            plan: even,
            optimistic: 0.5,
            observations: 0.0,
            steps: Vec::new(),
            model: Digest::ZERO,
        },
        features: Features {
            schema: Digest::ZERO,
            arm: "test".into(),
            values: Vec::new(),
            steps: Vec::new(),
        },
        explanation: Vec::new(),
        optimization: OptimizationReport::default(),
        attempt: 1,
        needs_approval: None,
        created_at: start(),
    }
}

pub(crate) fn run_id(n: u64) -> RunId {
    RunId::derive(start() + SignedDuration::from_secs(i64::try_from(n).unwrap()), "test", n)
}

/// A fleet with its simulated world and store.
pub(crate) struct ExecutorHarness {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: Fleet,
    pub(crate) rules: Rules,
    pub(crate) epoch: u64,
    /// Results that have not been decided yet.
    pub(crate) inbox: Vec<RunInput>,
    /// Dispatched effects, in order.
    pub(crate) performed: Vec<Effect>,
    pub(crate) rejected: Vec<Rejected>,
}

impl ExecutorHarness {
    pub(crate) async fn new() -> Self {
        Self::open(Arc::new(Mutex::new(world())), Arc::new(Memory::new(Salts::seeded("test"))))
            .await
    }

    /// Opens the fleet from an existing world and store.
    pub(crate) async fn open(world: Arc<Mutex<World>>, store: Arc<dyn Store>) -> Self {
        let now = world.lock().unwrap().now();
        let epoch = store.claim(now, "test").await.unwrap();
        let (fleet, inbox) = driver::recover(64, store.as_ref()).await.unwrap();
        Self {
            world,
            store,
            fleet,
            rules: rules(),
            epoch,
            inbox,
            performed: Vec::new(),
            rejected: Vec::new(),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world().now()
    }

    pub(crate) fn cluster(&self) -> Arc<SimulatedCluster> {
        Arc::new(SimulatedCluster::new(self.world.clone(), "sim"))
    }

    /// Decides the inputs in one append, without performing effects.
    pub(crate) async fn decide(
        &mut self,
        inputs: &[RunInput],
    ) -> Result<Pending, store::AppendError> {
        let now = self.now();
        let result = driver::step_reporting_rejections(
            &mut self.fleet,
            inputs,
            &self.rules,
            now,
            self.epoch,
            self.store.as_ref(),
        )
        .await?;
        self.rejected.extend(result.rejected.into_iter().map(|(_, rejected)| rejected));
        Ok(result.pending)
    }

    pub(crate) async fn perform(&mut self, effect: Effect) -> RunInput {
        self.performed.push(effect.clone());
        let latest = Arc::new(UncachedCluster(self.cluster()));
        perform(effect, latest as Arc<dyn Cluster>, self.cluster() as Arc<dyn Metrics>).await
    }

    /// Runs until nothing is left to do before `until`, or until `is_done` returns true after an append.
    pub(crate) async fn run_until(
        &mut self,
        until: Timestamp,
        mut is_done: impl FnMut(&Self) -> bool,
    ) {
        loop {
            let inputs = std::mem::take(&mut self.inbox);
            let pending = self.decide(&inputs).await.unwrap();
            for effect in pending.effects {
                let input = self.perform(effect).await;
                self.inbox.push(input);
            }
            if is_done(self) {
                return;
            }
            if self.inbox.is_empty() {
                match pending.deadline.filter(|at| *at <= until) {
                    Some(at) => {
                        self.world().advance_fully(at);
                        self.inbox.push(RunInput::Due);
                    }
                    None => return,
                }
            }
        }
    }

    pub(crate) fn submit(&mut self, n: u64, plan: Plan) -> RunId {
        let run = run_id(n);
        let guarded =
            WORKLOADS.iter().map(|name| deployment(&self.world(), name).reference("sim")).collect();
        self.inbox.push(RunInput::Submit {
            run: run.clone(),
            plan: Box::new(plan),
            guarded,
            actor: "test".into(),
        });
        run
    }

    pub(crate) fn control(&mut self, run: &RunId, control: Control) {
        self.inbox.push(RunInput::Control {
            run: run.clone(),
            control,
            actor: "ann".into(),
            reason: "test".into(),
        });
    }

    /// Returns the time in one hour, which is longer than any run in these tests takes.
    pub(crate) fn one_hour_from_now(&self) -> Timestamp {
        self.now() + SignedDuration::from_hours(1)
    }

    /// Executes a plan with these steps until the run ends.
    pub(crate) async fn run(&mut self, steps: Vec<Value>, success: Vec<Value>) -> RunView {
        let plan = plan(&self.world(), steps, success);
        let run = self.submit(1, plan);
        let deadline = self.one_hour_from_now();
        self.run_until(deadline, |_| false).await;
        self.fleet.view(&run).unwrap().clone()
    }

    pub(crate) fn view(&self, run: &RunId) -> &RunView {
        self.fleet.view(run).unwrap()
    }

    /// Returns the recorded events of a run.
    pub(crate) async fn events(&self, run: &RunId) -> Vec<Event> {
        let records = self.store.stream(run.as_str()).await.unwrap();
        records
            .iter()
            .map(|record| match record.entry().unwrap() {
                Entry::Run { event, .. } => event,
                other => panic!("{other:?} in the stream of a run"),
            })
            .collect()
    }

    pub(crate) fn replicas(&self, name: &str) -> u64 {
        deployment(&self.world(), name).at("/spec/replicas").unwrap().as_u64().unwrap()
    }

    /// Changes a workload from outside of the run.
    pub(crate) async fn external_change(&self, name: &str, replicas: u32) {
        let object = deployment(&self.world(), name).reference("sim");
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let request = Request {
            target: object,
            verb: Verb::Patch { patch, subresource: None },
            preconditions: Preconditions::default(),
            mode: Mode::Commit,
            agent: Agent::default(),
        };
        self.cluster().send(&request).await;
    }

    /// Number of dispatched changes.
    pub(crate) fn sends(&self) -> usize {
        self.performed.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count()
    }

    /// Asserts that no effect key was applied twice.
    pub(crate) fn assert_no_duplicate_effects(&self) {
        for (key, count) in self.world().effects() {
            assert!(key.is_empty() || *count == 1, "{key} was applied {count} times");
        }
    }
}

/// A cluster that rejects reads from a cache: a run must read the latest state (fault row K11).
struct UncachedCluster(Arc<SimulatedCluster>);

#[async_trait]
impl Delegate for UncachedCluster {
    fn inner(&self) -> &dyn Cluster {
        &*self.0
    }
    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        assert_eq!(consistency, Consistency::Latest, "{object} was read from a cache");
        self.0.get(object, consistency).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        assert_eq!(query.consistency, Consistency::Latest, "{query:?} was read from a cache");
        self.0.list(query).await
    }
}
