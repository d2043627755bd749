use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Health, Kind, Object, ObjectRef, Selector, health};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use workflow::condition::Read;
use workflow::expression::{Bindings, Verdict as Judged};
use workflow::fact::{Binding, observe, solve};
use workflow::{Condition, FactPattern};

use crate::file::WorkloadEntry;
use crate::objects::{Key, served};
use crate::scenario::{OracleSpec, ScenarioFile};
use crate::world::World;

/// How often the oracle looks while something must hold.
const LOOK: SignedDuration = SignedDuration::from_secs(5);
/// How long a pod that was lost may take to be replaced.
const RECREATION: SignedDuration = SignedDuration::from_mins(3);

/// Patterns that must never hold in a world, and the first that did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    patterns: Arc<Vec<(FactPattern, ObjectRef, Timestamp)>>,
    held: Option<String>,
}

/// Judges what became of a scenario's world. It knows the fault; a planner never meets it.
#[derive(Clone, Debug)]
pub struct Oracle {
    spec: OracleSpec,
    family: String,
    expected_alerts: Vec<String>,
    fix: Vec<workflow::Step>,
    right_to_ignore: bool,
    target: ObjectRef,
    service: Option<String>,
    fault_at: Timestamp,
}

/// What an oracle found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the fault is mended for good, and nothing forbidden was done.
    pub mitigated: bool,
    /// Why not; empty if it is.
    pub why: String,
}

impl Oracle {
    pub(crate) fn new(
        scenario: &ScenarioFile,
        target: &WorkloadEntry,
        fault_at: Timestamp,
    ) -> Self {
        let spec = &scenario.spec;
        Self {
            spec: spec.oracle.clone(),
            family: spec.family.clone(),
            expected_alerts: spec.expected_alerts.clone(),
            fix: spec.fix.clone(),
            right_to_ignore: spec.right_to_ignore,
            target: target.deployment(),
            service: target.text("service").map(Into::into),
            fault_at,
        }
    }

    /// The fault family.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The Deployment at fault; its cluster is the empty name.
    pub fn target(&self) -> &ObjectRef {
        &self.target
    }

    /// When the fault happens.
    pub fn fault_at(&self) -> Timestamp {
        self.fault_at
    }

    /// Alerts of which at least one fires because of the fault.
    pub fn expected_alerts(&self) -> &[String] {
        &self.expected_alerts
    }

    /// Steps that mend it: one way.
    pub fn fix(&self) -> &[workflow::Step] {
        &self.fix
    }

    /// Whether doing nothing is right.
    pub fn is_right_to_ignore(&self) -> bool {
        self.right_to_ignore
    }

    /// The forbidden pattern that held at some time, if one did.
    pub fn forbidden<'a>(&self, world: &'a World) -> Option<&'a str> {
        world.watched.held.as_deref()
    }

    /// Lets the world come to rest, and judges it: everything must hold, for long, after a pod was lost, and with
    /// requests that succeed.
    pub fn check(&self, world: &mut World) -> Verdict {
        match self.find_fault(world) {
            None => Verdict { mitigated: true, why: String::new() },
            Some(why) => Verdict { mitigated: false, why },
        }
    }

    fn find_fault(&self, world: &mut World) -> Option<String> {
        let until = world.now() + self.spec.settle.signed();
        world.advance_fully(until);
        if let Some(why) = self.unmet(world) {
            return Some(format!("after the world came to rest, {why}"));
        }
        if let Some(why) = self.hold(world) {
            return Some(why);
        }
        if self.spec.recreate {
            world.lose_pods(
                self.target.namespace.as_deref().unwrap_or_default(),
                &self.target.name,
                Some(1),
            );
            let deadline = world.now() + RECREATION;
            let begin = world.now() + LOOK;
            world.advance_fully(begin);
            while let Some(why) = self.unmet(world) {
                if world.now() >= deadline {
                    return Some(format!("after a pod was lost, {why}"));
                }
                let next = world.now() + LOOK;
                world.advance_fully(next);
            }
            if let Some(why) = self.hold(world) {
                return Some(why);
            }
        }
        if self.spec.replay
            && let Some(service) = &self.service
        {
            let flowing = world.samples("http_request_error_ratio", 30);
            let own = flowing.iter().find(|sample| sample.labels.get("service") == Some(service));
            match own {
                None => return Some(format!("no requests reach the service {service}")),
                Some(own) if own.value > 0.01 => {
                    return Some(format!(
                        "requests to the service {service} fail: {:.2}",
                        own.value
                    ));
                }
                Some(_) => {}
            }
        }
        self.forbidden(world).map(|held| format!("a forbidden pattern held: {held}"))
    }

    /// Watches the world for as long as everything must hold.
    fn hold(&self, world: &mut World) -> Option<String> {
        let until = world.now() + self.spec.hold_for.signed();
        while world.now() < until {
            let next = (world.now() + LOOK).min(until);
            world.advance_fully(next);
            if let Some(why) = self.unmet(world) {
                return Some(format!("it did not last: {why}"));
            }
        }
        None
    }

    /// The first condition that is not true.
    fn unmet(&self, world: &World) -> Option<String> {
        self.spec.all.iter().find_map(|condition| match world.judge(condition) {
            Judged::True => None,
            Judged::False => Some(format!("`{}` is false", named(condition))),
            Judged::Unknown { reason } => {
                Some(format!("`{}` is unknown: {reason}", named(condition)))
            }
        })
    }
}

fn named(condition: &Condition) -> &str {
    condition.name.as_deref().unwrap_or(condition.check.source())
}

impl World {
    /// Watches from `from` on that none of `patterns` ever holds.
    pub(crate) fn watch(&mut self, patterns: &[FactPattern], target: &ObjectRef, from: Timestamp) {
        let watched = Arc::make_mut(&mut self.watched.patterns);
        watched.extend(patterns.iter().map(|pattern| (pattern.clone(), target.clone(), from)));
    }

    /// Looks after each request whether a forbidden pattern holds now.
    pub(crate) fn look_for_forbidden(&mut self) {
        if self.watched.patterns.is_empty() || self.watched.held.is_some() {
            return;
        }
        let objects: Vec<Object> = self
            .objects
            .all()
            .filter(|object| !matches!(object.kind().kind.as_str(), "Event" | "Node"))
            .cloned()
            .collect();
        let facts = observe("", &objects);
        let holds = |(pattern, target, from): &&(FactPattern, ObjectRef, Timestamp)| {
            let bindings = [("$target".to_string(), Binding::Object(target.clone()))].into();
            self.now >= *from
                && !solve(std::slice::from_ref(pattern), &facts, &bindings, 1).is_empty()
        };
        self.watched.held =
            self.watched.patterns.iter().find(holds).map(|(pattern, _, _)| format!("{pattern:?}"));
    }

    /// Judges a condition on the world as it is now.
    pub(crate) fn judge(&self, condition: &Condition) -> Judged {
        let bindings: Bindings =
            condition.read.iter().map(|(name, read)| (name.clone(), self.value_of(read))).collect();
        condition.check.judge(&bindings)
    }

    fn value_of(&self, read: &Read) -> Value {
        match read {
            Read::Metric { metric, labels, window } => {
                let samples = self
                    .samples(metric, window.map_or(0, |window| window.duration().as_secs() as u32));
                let is_wanted = |sample: &&cluster::Sample| {
                    labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
                };
                samples.iter().filter(is_wanted).map(|sample| Value::from(sample.value)).collect()
            }
            Read::Object { kind, namespace, name, .. } => {
                let kind = Kind::builtin(kind).and_then(|kind| served(&kind));
                let object = kind.and_then(|kind| {
                    self.objects.get(&Key::new(
                        kind,
                        namespace.as_deref().unwrap_or_default(),
                        name,
                    ))
                });
                object.map_or(Value::Null, Object::to_value)
            }
            Read::Objects { kind, namespace, selector, .. } => {
                let Ok(selector) = selector.parse::<Selector>() else { return Value::Null };
                let objects = self.objects.of_kind(kind, Some(namespace));
                objects
                    .filter(|object| selector.matches(&object.metadata().labels))
                    .map(Object::to_value)
                    .collect()
            }
        }
    }

    /// The health of every Deployment and Service now; their cluster is the empty name.
    pub fn healths(&self) -> BTreeMap<ObjectRef, Health> {
        let mut healths = BTreeMap::new();
        for kind in ["Deployment", "Service"] {
            for object in self.objects.of_kind(kind, None) {
                let around: Vec<Object> = match kind {
                    "Deployment" => {
                        let pods = self.objects.of_kind("Pod", object.namespace());
                        pods.filter(|pod| self.workload_of(pod) == object.name()).cloned().collect()
                    }
                    _ => {
                        let slices = self.objects.of_kind("EndpointSlice", object.namespace());
                        slices
                            .filter(|slice| {
                                slice
                                    .controller()
                                    .is_some_and(|owner| owner.uid == object.metadata().uid)
                            })
                            .cloned()
                            .collect()
                    }
                };
                healths
                    .insert(object.reference("").without_uid(), health(object, &around, self.now));
            }
        }
        healths
    }
}
