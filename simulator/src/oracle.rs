use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Health, Kind, Object, ObjectRef, Selector, health};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use workflow::condition::Read;
use workflow::expression::{Truth, Variables};
use workflow::fact::{Binding, match_all, observe};
use workflow::{Condition, FactPattern};

use crate::file::WorkloadEntry;
use crate::objects::{Key, builtin_storage_kind};
use crate::scenario::{OracleSpec, ScenarioFile};
use crate::world::World;

/// How often the oracle evaluates the conditions.
const POLL_INTERVAL: SignedDuration = SignedDuration::from_secs(5);
/// Time limit for the replacement of a deleted pod.
const RECREATION_GRACE: SignedDuration = SignedDuration::from_mins(3);

/// Fact patterns that must never match in a world, each with its target and start time, and the first one that
/// matched.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForbiddenPatterns {
    patterns: Arc<Vec<(FactPattern, ObjectRef, Timestamp)>>,
    violated: Option<String>,
}

/// Evaluates the response to a scenario's fault. It knows the fault, so it is never accessible to a planner.
#[derive(Clone, Debug)]
pub struct Oracle {
    spec: OracleSpec,
    family: String,
    expected_alerts: Vec<String>,
    reference_fix: Vec<workflow::Step>,
    expect_no_action: bool,
    target: ObjectRef,
    service: Option<String>,
    fault_at: Timestamp,
}

/// Result of [`Oracle::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleResult {
    /// Whether the fault is fixed permanently and no forbidden pattern matched.
    pub mitigated: bool,
    /// Why the fault does not count as mitigated; empty if it does.
    pub message: String,
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
            reference_fix: spec.reference_fix.clone(),
            expect_no_action: spec.expect_no_action,
            target: target.deployment(),
            service: target.text("service").map(Into::into),
            fault_at,
        }
    }

    /// Returns the fault family.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Returns the target Deployment; its cluster is empty.
    pub fn target(&self) -> &ObjectRef {
        &self.target
    }

    /// Returns the time of the fault.
    pub fn fault_at(&self) -> Timestamp {
        self.fault_at
    }

    /// Returns the names of alerts of which the fault fires at least one.
    pub fn expected_alerts(&self) -> &[String] {
        &self.expected_alerts
    }

    /// Returns the steps of one way to fix the fault.
    pub fn reference_fix(&self) -> &[workflow::Step] {
        &self.reference_fix
    }

    /// Returns whether the correct response is to take no action.
    pub fn expects_no_action(&self) -> bool {
        self.expect_no_action
    }

    /// Returns the first forbidden pattern that matched, if any.
    pub fn violated_pattern<'a>(&self, world: &'a World) -> Option<&'a str> {
        world.forbidden_patterns.violated.as_deref()
    }

    /// Waits for the world to settle and evaluates the conditions: all must be true, stay true, become true again
    /// after a pod is deleted, and requests must succeed.
    pub fn check(&self, world: &mut World) -> OracleResult {
        match self.find_failure(world) {
            None => OracleResult { mitigated: true, message: String::new() },
            Some(message) => OracleResult { mitigated: false, message },
        }
    }

    fn find_failure(&self, world: &mut World) -> Option<String> {
        let until = world.now() + self.spec.settle.signed();
        world.advance_fully(until);
        if let Some(message) = self.first_unmet(world) {
            return Some(format!("after the settle time, {message}"));
        }
        if let Some(message) = self.check_hold_period(world) {
            return Some(message);
        }
        if self.spec.check_recreation {
            world.kill_pods(
                self.target.namespace.as_deref().unwrap_or_default(),
                &self.target.name,
                Some(1),
            );
            let deadline = world.now() + RECREATION_GRACE;
            let begin = world.now() + POLL_INTERVAL;
            world.advance_fully(begin);
            while let Some(message) = self.first_unmet(world) {
                if world.now() >= deadline {
                    return Some(format!("after a pod was deleted, {message}"));
                }
                let next = world.now() + POLL_INTERVAL;
                world.advance_fully(next);
            }
            if let Some(message) = self.check_hold_period(world) {
                return Some(message);
            }
        }
        if self.spec.check_requests
            && let Some(service) = &self.service
        {
            let samples = world.samples("http_request_error_ratio", 30);
            let sample =
                samples.iter().find(|sample| sample.labels.get("service") == Some(service));
            match sample {
                None => return Some(format!("no requests reach the service {service}")),
                Some(sample) if sample.value > 0.01 => {
                    return Some(format!(
                        "requests to the service {service} fail: {:.2}",
                        sample.value
                    ));
                }
                Some(_) => {}
            }
        }
        self.violated_pattern(world)
            .map(|pattern| format!("a forbidden pattern matched: {pattern}"))
    }

    /// Evaluates the conditions repeatedly during the hold time. Returns a message if one becomes false.
    fn check_hold_period(&self, world: &mut World) -> Option<String> {
        let until = world.now() + self.spec.hold_for.signed();
        while world.now() < until {
            let next = (world.now() + POLL_INTERVAL).min(until);
            world.advance_fully(next);
            if let Some(message) = self.first_unmet(world) {
                return Some(format!("during the hold time, {message}"));
            }
        }
        None
    }

    /// Returns a message about the first condition that is not true.
    fn first_unmet(&self, world: &World) -> Option<String> {
        self.spec.all.iter().find_map(|condition| match world.evaluate_condition(condition) {
            Truth::True => None,
            Truth::False => Some(format!("`{}` is false", condition_label(condition))),
            Truth::Unknown { message } => {
                Some(format!("`{}` is unknown: {message}", condition_label(condition)))
            }
        })
    }
}

fn condition_label(condition: &Condition) -> &str {
    condition.name.as_deref().unwrap_or(condition.check.source())
}

impl World {
    /// Forbids `patterns` from `from` on.
    pub(crate) fn forbid_patterns(
        &mut self,
        patterns: &[FactPattern],
        target: &ObjectRef,
        from: Timestamp,
    ) {
        let watched = Arc::make_mut(&mut self.forbidden_patterns.patterns);
        watched.extend(patterns.iter().map(|pattern| (pattern.clone(), target.clone(), from)));
    }

    /// Checks after a request whether a forbidden pattern matches.
    pub(crate) fn check_forbidden_patterns(&mut self) {
        if self.forbidden_patterns.patterns.is_empty() || self.forbidden_patterns.violated.is_some()
        {
            return;
        }
        let objects: Vec<Object> = self
            .objects
            .all()
            .filter(|object| !matches!(object.kind().kind.as_str(), "Event" | "Node"))
            .cloned()
            .collect();
        let facts = observe("", &objects);
        let matches = |(pattern, target, from): &&(FactPattern, ObjectRef, Timestamp)| {
            let bindings = [("$target".to_string(), Binding::Object(target.clone()))].into();
            self.now >= *from
                && !match_all(std::slice::from_ref(pattern), &facts, &bindings, 1).is_empty()
        };
        self.forbidden_patterns.violated = self
            .forbidden_patterns
            .patterns
            .iter()
            .find(matches)
            .map(|(pattern, _, _)| format!("{pattern:?}"));
    }

    /// Evaluates a condition on the current state of the world.
    pub(crate) fn evaluate_condition(&self, condition: &Condition) -> Truth {
        let bindings: Variables = condition
            .read
            .iter()
            .map(|(name, read)| (name.clone(), self.read_value(read)))
            .collect();
        condition.check.evaluate_condition(&bindings)
    }

    fn read_value(&self, read: &Read) -> Value {
        match read {
            Read::Metric { metric, labels, window } => {
                let samples = self
                    .samples(metric, window.map_or(0, |window| window.to_std().as_secs() as u32));
                let is_wanted = |sample: &&cluster::Sample| {
                    labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
                };
                samples.iter().filter(is_wanted).map(|sample| Value::from(sample.value)).collect()
            }
            Read::Object { kind, namespace, name, .. } => {
                let kind = Kind::builtin(kind).and_then(|kind| builtin_storage_kind(&kind));
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

    /// Returns the current health of every Deployment and Service; their cluster is empty.
    pub fn health_by_object(&self) -> BTreeMap<ObjectRef, Health> {
        let mut health_of = BTreeMap::new();
        for kind in ["Deployment", "Service"] {
            for object in self.objects.of_kind(kind, None) {
                let related: Vec<Object> = match kind {
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
                health_of
                    .insert(object.reference("").without_uid(), health(object, &related, self.now));
            }
        }
        health_of
    }
}
