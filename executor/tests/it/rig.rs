//! A world, a store, a fleet and the loop that an engine would run.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use cluster::{
    Agent, Cluster, Consistency, Digest, Kind, ListQuery, LogQuery, Metrics, Mode, Object,
    ObjectRef, Page, Patch, Preconditions, ReadFailure, Reply, Request, Verb, WatchEvent,
};
use executor::{Fleet, Rejected, Rules, driver, perform};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::{SimulatedCluster, World, WorldFile};
use store::{Memory, Salts, Store};
use workflow::guardrail::{Autonomy, Guardrails};
use workflow::id::{CandidateId, DecisionId, IncidentId, PlanId, RunId};
use workflow::plan::{Account, Source};
use workflow::run::{Control, Effect, Event, Pending, RunInput, RunView};
use workflow::{Entry, Estimate, Estimates, Features, Plan, Step, Workflow};

/// Four small workloads on one node.
pub(crate) const WORKLOADS: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// The world after five quiet minutes.
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

/// `scale` with nothing else said.
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

/// The value with further fields.
pub(crate) fn with(mut value: Value, more: Value) -> Value {
    for (name, field) in more.as_object().unwrap() {
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
        confidence: even,
        steps: Vec::new(),
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
        account: Account::default(),
        attempt: 1,
        needs_approval: None,
        created_at: start(),
    }
}

pub(crate) fn run_id(n: u64) -> RunId {
    RunId::derive(start() + SignedDuration::from_secs(i64::try_from(n).unwrap()), "test", n)
}

/// What an engine holds.
pub(crate) struct Rig {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: Fleet,
    pub(crate) rules: Rules,
    pub(crate) epoch: u64,
    /// Inputs that came back and were not given yet.
    pub(crate) inbox: Vec<RunInput>,
    /// Effects that were handed out, in order.
    pub(crate) performed: Vec<Effect>,
    pub(crate) rejected: Vec<Rejected>,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(Mutex::new(world())), Arc::new(Memory::new(Salts::seeded("test")))).await
    }

    /// Begins, or begins again, on what is there.
    pub(crate) async fn on(world: Arc<Mutex<World>>, store: Arc<dyn Store>) -> Self {
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

    /// One append, and nothing performed.
    pub(crate) async fn decide(
        &mut self,
        inputs: &[RunInput],
    ) -> Result<Pending, store::AppendRefused> {
        let now = self.now();
        let stepped = driver::step_told(
            &mut self.fleet,
            inputs,
            &self.rules,
            now,
            self.epoch,
            self.store.as_ref(),
        )
        .await?;
        self.rejected.extend(stepped.rejected.into_iter().map(|(_, why)| why));
        Ok(stepped.pending)
    }

    pub(crate) async fn perform(&mut self, effect: Effect) -> RunInput {
        self.performed.push(effect.clone());
        let latest = Arc::new(Latest(self.cluster()));
        perform(effect, latest as Arc<dyn Cluster>, self.cluster() as Arc<dyn Metrics>).await
    }

    /// Goes on until nothing is left to do by `until`, or `enough` says so after an append.
    pub(crate) async fn go(&mut self, until: Timestamp, mut enough: impl FnMut(&Self) -> bool) {
        loop {
            let inputs = std::mem::take(&mut self.inbox);
            let pending = self.decide(&inputs).await.unwrap();
            for effect in pending.effects {
                let input = self.perform(effect).await;
                self.inbox.push(input);
            }
            if enough(self) {
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
            by: "test".into(),
        });
        run
    }

    pub(crate) fn control(&mut self, run: &RunId, control: Control) {
        self.inbox.push(RunInput::Control {
            run: run.clone(),
            control,
            by: "ann".into(),
            reason: "because".into(),
        });
    }

    /// An hour, which is more than any run here takes.
    pub(crate) fn hour(&self) -> Timestamp {
        self.now() + SignedDuration::from_hours(1)
    }

    /// Runs a plan of these steps to its end.
    pub(crate) async fn run(&mut self, steps: Vec<Value>, success: Vec<Value>) -> RunView {
        let plan = plan(&self.world(), steps, success);
        let run = self.submit(1, plan);
        let hour = self.hour();
        self.go(hour, |_| false).await;
        self.fleet.view(&run).unwrap().clone()
    }

    pub(crate) fn view(&self, run: &RunId) -> &RunView {
        self.fleet.view(run).unwrap()
    }

    /// Every event of a run, as recorded.
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

    /// Somebody else changes a workload.
    pub(crate) async fn meddle(&self, name: &str, replicas: u32) {
        let object = deployment(&self.world(), name).reference("sim");
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let request = Request {
            target: object,
            verb: Verb::Patch { patch, subresource: None },
            preconditions: Preconditions::default(),
            mode: Mode::Apply,
            agent: Agent::default(),
        };
        self.cluster().send(&request).await;
    }

    /// Sends that were handed out.
    pub(crate) fn sends(&self) -> usize {
        self.performed.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count()
    }

    /// No key was applied twice.
    pub(crate) fn assert_single(&self) {
        for (key, count) in self.world().effects() {
            assert!(key.is_empty() || *count == 1, "{key} was applied {count} times");
        }
    }
}

/// A cluster that has no cache to read from: what a run goes by is what is stored now (K11).
struct Latest(Arc<SimulatedCluster>);

#[async_trait]
impl Cluster for Latest {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        assert_eq!(consistency, Consistency::Latest, "{object} was to come from a cache");
        self.0.get(object, consistency).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        assert_eq!(query.consistency, Consistency::Latest, "{query:?} was to come from a cache");
        self.0.list(query).await
    }

    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.0.changes(kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> Reply {
        self.0.send(request).await
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.0.logs(query).await
    }

    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.0.may(verb, kind, namespace).await
    }
}
