use std::collections::{BTreeMap, BTreeSet};

use cluster::{
    Container, ContainerState, Deployment, EndpointSlice, EnvSource, Object, ObjectRef, Pod,
    PortRef, ProbeCheck, ReplicaSet, Service, containers,
};
use serde_json::Value;

use super::{Fact, Facts, Predicate};

/// What a set of objects shows, all of it read off the objects themselves.
///
/// What pods show (why they wait, how they ended, restarts, probes) is said of the workload that owns them, where that
/// is among the objects, else of the pod. Of what is not among the objects nothing is said: a Service has no number of
/// endpoints unless one of its EndpointSlices was given, and a key is missing only from a ConfigMap that was given.
/// What needs more than objects (`firing`, `health`, `changed`, `known-good`) is added by whoever knows it.
pub fn observe(cluster: &str, objects: &[Object]) -> Facts {
    let mut seen = Seen { cluster, objects, by_name: BTreeMap::new(), facts: Vec::new() };
    for object in objects {
        seen.by_name
            .insert(place(object.kind().kind.as_str(), object.namespace(), object.name()), object);
    }
    let mut restarts: BTreeMap<ObjectRef, u64> = BTreeMap::new();
    for object in objects {
        seen.say(object, Predicate::Exists, "", true);
        match object.kind().kind.as_str() {
            "Deployment" => {
                seen.deployment(object);
                seen.template(object);
            }
            "StatefulSet" | "DaemonSet" => {
                seen.counted(object);
                seen.template(object);
            }
            "Pod" => seen.pod(object, &mut restarts),
            "Service" => seen.service(object),
            "ConfigMap" | "Secret" => seen.keys(object),
            "Node" => {
                if let Some(ready) =
                    cluster::Condition::of(object, "Ready").and_then(|condition| condition.holds)
                {
                    seen.say(object, Predicate::Ready, "", ready);
                }
            }
            _ => {}
        }
    }
    let restarts = restarts.into_iter().map(|(subject, n)| Fact {
        subject,
        predicate: Predicate::Restarts,
        key: String::new(),
        value: n.into(),
    });
    seen.facts.extend(restarts);
    Facts::new(seen.facts)
}

/// The workload that an object belongs to, among `objects`: itself, or the end of its chain of managing owners.
pub fn workload_of<'a>(object: &'a Object, objects: &'a [Object]) -> Option<&'a Object> {
    let mut at = object;
    // Pod, ReplicaSet, Deployment: no chain of built-in kinds is longer than four.
    for _ in 0..4 {
        if is_workload(at) {
            return Some(at);
        }
        let owner = at.controller()?;
        let is_owner = |other: &&Object| {
            other.kind().kind == owner.kind
                && other.name() == owner.name
                && other.namespace() == at.namespace()
                && (owner.uid.is_empty()
                    || other.metadata().uid.is_empty()
                    || owner.uid == other.metadata().uid)
        };
        at = objects.iter().find(is_owner)?;
    }
    None
}

/// Whether an object keeps pods by a template and is owned by a person, not by another workload.
pub fn is_workload(object: &Object) -> bool {
    matches!(object.kind().kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet")
}

type Place<'a> = (&'a str, &'a str, &'a str);

fn place<'a>(kind: &'a str, namespace: Option<&'a str>, name: &'a str) -> Place<'a> {
    (kind, namespace.unwrap_or_default(), name)
}

/// The objects while they are read.
struct Seen<'a> {
    cluster: &'a str,
    objects: &'a [Object],
    by_name: BTreeMap<Place<'a>, &'a Object>,
    facts: Vec<Fact>,
}

impl<'a> Seen<'a> {
    fn say(&mut self, object: &Object, predicate: Predicate, key: &str, value: impl Into<Value>) {
        let subject = object.reference(self.cluster);
        self.facts.push(Fact { subject, predicate, key: key.into(), value: value.into() });
    }

    /// The same as [`workload_of`], by name.
    fn workload(&self, object: &'a Object) -> Option<&'a Object> {
        let mut at = object;
        for _ in 0..4 {
            if is_workload(at) {
                return Some(at);
            }
            let owner = at.controller()?;
            at = self.by_name.get(&place(&owner.kind, at.namespace(), &owner.name))?;
        }
        None
    }

    fn deployment(&mut self, object: &'a Object) {
        let Some(deployment) = Deployment::of(object) else { return };
        let desired = deployment.replicas();
        self.say(object, Predicate::Replicas, "", desired);
        self.say(object, Predicate::ReadyReplicas, "", deployment.ready());
        let is_ready = deployment.observed_generation() >= object.metadata().generation
            && deployment.updated() >= desired
            && deployment.available() >= desired
            && deployment.current() <= desired;
        self.say(object, Predicate::Ready, "", is_ready);
        if let Some(progressing) = deployment.condition("Progressing") {
            self.say(
                object,
                Predicate::RolloutStuck,
                "",
                progressing.holds == Some(false)
                    && progressing.reason == "ProgressDeadlineExceeded",
            );
        }
        let Some(current) = deployment.revision() else { return };
        self.say(object, Predicate::Revision, "", current);
        let owned = |set: &&Object| {
            set.kind().kind == "ReplicaSet"
                && self.workload(set).is_some_and(|owner| owner.is_same_value(object))
        };
        let others: BTreeSet<u64> = self
            .objects
            .iter()
            .filter(owned)
            .filter_map(|set| ReplicaSet::of(set)?.revision())
            .filter(|revision| *revision != current)
            .collect();
        let latest = others.last().copied();
        for revision in others {
            let key = if Some(revision) == latest { "latest" } else { "" };
            self.say(object, Predicate::RevisionAvailable, key, revision);
        }
    }

    /// Replicas of a StatefulSet or a DaemonSet.
    fn counted(&mut self, object: &Object) {
        let number = |pointer: &str| object.at(pointer).and_then(Value::as_u64);
        let is_daemon_set = object.kind().kind == "DaemonSet";
        let desired = if is_daemon_set {
            number("/status/desiredNumberScheduled")
        } else {
            Some(number("/spec/replicas").unwrap_or(1))
        };
        let ready =
            number(if is_daemon_set { "/status/numberReady" } else { "/status/readyReplicas" })
                .unwrap_or(0);
        let Some(desired) = desired else { return };
        self.say(object, Predicate::Replicas, "", desired);
        self.say(object, Predicate::ReadyReplicas, "", ready);
        self.say(object, Predicate::Ready, "", ready >= desired);
    }

    /// What the pod template of a workload asks for.
    fn template(&mut self, object: &'a Object) {
        for container in containers(object) {
            let name = container.name();
            self.say(object, Predicate::Image, name, container.image());
            for port in container.ports() {
                self.say(object, Predicate::ListensOn, name, port.port);
            }
            if let Some(limit) = container.limit("memory") {
                self.say(object, Predicate::MemoryLimit, name, limit.value() as u64);
            }
            self.probe(object, &container);
            for variable in container.env() {
                if let EnvSource::Value(value) = variable.source {
                    self.say(object, Predicate::Env, &format!("{name}/{}", variable.name), value);
                }
            }
        }
        for read in reads(object) {
            self.say(
                object,
                Predicate::ReadsKey,
                &format!("{}/{}/{}", read.kind, read.name, read.key),
                true,
            );
            let held = self.by_name.get(&place(read.kind, object.namespace(), read.name)).copied();
            if let Some(holder) =
                held.filter(|holder| !read.is_optional && !holds(holder, read.key))
            {
                self.say(holder, Predicate::KeyPresent, read.key, false);
            }
        }
    }

    fn probe(&mut self, object: &Object, container: &Container<'_>) {
        let Some(probe) = container.readiness_probe() else { return };
        if let ProbeCheck::HttpGet { path, .. } = probe.check {
            self.say(object, Predicate::ProbePath, container.name(), path);
        }
        if let Some(port) = probe.port().and_then(|port| port.number_in(container)) {
            self.say(object, Predicate::ProbePort, container.name(), port);
        }
    }

    fn pod(&mut self, object: &'a Object, restarts: &mut BTreeMap<ObjectRef, u64>) {
        let Some(pod) = Pod::of(object) else { return };
        self.say(object, Predicate::Ready, "", pod.is_ready());
        self.say(object, Predicate::Scheduled, "", pod.node().is_some());
        // A pod on its way out says nothing of how its workload does.
        if pod.is_terminating() {
            return;
        }
        let subject = self.workload(object).unwrap_or(object);
        *restarts.entry(subject.reference(self.cluster)).or_default() += u64::from(pod.restarts());
        for status in pod.statuses().chain(pod.init_statuses()) {
            let name = status.name();
            if let Some(reason) = status.waiting_reason().filter(|reason| !reason.is_empty()) {
                self.say(subject, Predicate::Waiting, name, reason);
            }
            for state in [status.state(), status.last_state()].into_iter().flatten() {
                if let ContainerState::Terminated { reason, .. } = state {
                    self.say(subject, Predicate::Terminated, name, reason);
                }
            }
            let has_probe = Container::named(object, name)
                .is_some_and(|container| container.readiness_probe().is_some());
            let is_running = matches!(status.state(), Some(ContainerState::Running { .. }));
            // A container that was started again is not ready for a while for reasons of its own.
            if has_probe && is_running && (status.is_ready() || status.restarts() == 0) {
                self.say(subject, Predicate::ProbePasses, name, status.is_ready());
            }
        }
    }

    fn keys(&mut self, object: &Object) {
        let keys: BTreeSet<&String> = ["data", "binaryData"]
            .iter()
            .filter_map(|field| object.field(field)?.as_object())
            .flat_map(|map| map.keys())
            .collect();
        for key in keys {
            self.say(object, Predicate::KeyPresent, key, true);
        }
    }

    fn service(&mut self, object: &'a Object) {
        let Some(service) = Service::of(object) else { return };
        let behind: Vec<&Object> = self
            .objects
            .iter()
            .filter(|other| is_workload(other) && selects_pods_of(object, other))
            .collect();
        for workload in &behind {
            self.say(object, Predicate::Selects, workload.name(), true);
        }
        let targets: Vec<(String, Option<u16>)> = service
            .ports()
            .map(|port| {
                let key = if port.name.is_empty() {
                    port.port.to_string()
                } else {
                    port.name.to_string()
                };
                let number = match port.target_port {
                    PortRef::Number(number) => Some(number),
                    PortRef::Name(_) => behind
                        .iter()
                        .flat_map(|workload| containers(workload))
                        .find_map(|container| port.target_port.number_in(&container)),
                };
                (key, number)
            })
            .collect();
        for (key, number) in &targets {
            if let Some(number) = number {
                self.say(object, Predicate::TargetPort, key, *number);
            }
        }
        let Some(ready) = ready_endpoints(object, self.objects) else { return };
        self.say(object, Predicate::Endpoints, "", ready);
        if ready == 0 {
            if !service.selector().is_empty() {
                self.say(object, Predicate::Reachable, "", false);
            }
            return;
        }
        let listened: BTreeSet<u16> = behind
            .iter()
            .flat_map(|workload| containers(workload))
            .flat_map(|c| c.ports().map(|port| port.port).collect::<Vec<_>>())
            .collect();
        // Containers may listen on ports that they do not name; where none is named, nothing is known.
        if !listened.is_empty() {
            let arrives = targets
                .iter()
                .all(|(_, number)| number.is_some_and(|number| listened.contains(&number)));
            self.say(object, Predicate::Reachable, "", arrives);
        }
    }
}

/// Whether a Service sends traffic to the pods that a workload makes.
pub fn selects_pods_of(service: &Object, workload: &Object) -> bool {
    let Some(service_view) = Service::of(service) else { return false };
    let labels = workload.at("/spec/template/metadata/labels").and_then(Value::as_object);
    let labels: BTreeMap<String, String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string())))
        .collect();
    service.namespace() == workload.namespace() && service_view.selects(&labels)
}

/// How many pods behind a Service take traffic; none where no slice of it is among `objects`.
fn ready_endpoints(service: &Object, objects: &[Object]) -> Option<u64> {
    let slices = objects.iter().filter_map(EndpointSlice::of);
    let mut of_service = slices
        .filter(|slice| {
            slice.service() == Some(service.name())
                && slice.object().namespace() == service.namespace()
        })
        .peekable();
    of_service.peek()?;
    let addresses: BTreeSet<String> = of_service
        .flat_map(|slice| slice.endpoints().collect::<Vec<_>>())
        .filter(|endpoint| endpoint.is_ready())
        .flat_map(|endpoint| endpoint.addresses().map(str::to_string).collect::<Vec<_>>())
        .collect();
    Some(addresses.len() as u64)
}

/// One key that a workload reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRead<'a> {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// Name of the object, in the workload's namespace.
    pub name: &'a str,
    /// The key; `*` where all of them are read.
    pub key: &'a str,
    /// Whether the pods start without it.
    pub is_optional: bool,
}

/// Every key of a ConfigMap or Secret that the pods of a workload read, in the order of the template.
pub fn reads(workload: &Object) -> Vec<KeyRead<'_>> {
    let mut found = Vec::new();
    for container in containers(workload).chain(Container::all_init(workload)) {
        for variable in container.env() {
            match variable.source {
                EnvSource::ConfigMap { name, key, is_optional } => {
                    found.push(KeyRead { kind: "ConfigMap", name, key, is_optional })
                }
                EnvSource::Secret { name, key, is_optional } => {
                    found.push(KeyRead { kind: "Secret", name, key, is_optional })
                }
                EnvSource::Value(_) | EnvSource::Pod => {}
            }
        }
        let whole = |kind| move |name| KeyRead { kind, name, key: "*", is_optional: true };
        found.extend(container.env_from_config_maps().map(whole("ConfigMap")));
        found.extend(container.env_from_secrets().map(whole("Secret")));
    }
    let volumes = workload.at("/spec/template/spec/volumes").and_then(Value::as_array);
    for volume in volumes.into_iter().flatten() {
        for (kind, field, name_field) in
            [("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")]
        {
            let Some(source) = volume.get(field) else { continue };
            let Some(name) = source.get(name_field).and_then(Value::as_str) else { continue };
            let is_optional = source.get("optional").and_then(Value::as_bool).unwrap_or(false);
            match source.get("items").and_then(Value::as_array) {
                None => found.push(KeyRead { kind, name, key: "*", is_optional: true }),
                Some(items) => {
                    found.extend(
                        items
                            .iter()
                            .filter_map(|item| item.get("key")?.as_str())
                            .map(|key| KeyRead { kind, name, key, is_optional }),
                    )
                }
            }
        }
    }
    found
}

fn holds(holder: &Object, key: &str) -> bool {
    key == "*"
        || ["data", "binaryData", "stringData"]
            .iter()
            .any(|field| holder.field(field).is_some_and(|map| map.get(key).is_some()))
}

#[cfg(test)]
mod tests;
