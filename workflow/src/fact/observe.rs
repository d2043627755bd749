use std::collections::{BTreeMap, BTreeSet};

use cluster::{
    Container, ContainerState, Deployment, EndpointSlice, EnvSource, Object, ObjectRef, Pod,
    PortRef, ProbeCheck, ReplicaSet, Service, containers,
};
use serde_json::Value;

use super::{Fact, Facts, Predicate};

/// Returns the facts that can be derived from a set of objects alone.
///
/// Facts from pod status (waiting and termination reasons, restarts, probes) are attributed to the workload that owns the
/// pod if it is in the set, otherwise to the pod. Missing objects cause no facts: the number of endpoints of a Service is
/// known only if one of its EndpointSlices is in the set, and a key is missing only from a ConfigMap in the set. Facts
/// that need other sources (`firing`, `health`, `changed`, `knownGood`) are added by the caller.
pub fn observe(cluster: &str, objects: &[Object]) -> Facts {
    let mut collector =
        FactCollector { cluster, objects, by_name: BTreeMap::new(), facts: Vec::new() };
    for object in objects {
        collector.by_name.insert(
            name_key(object.kind().kind.as_str(), object.namespace(), object.name()),
            object,
        );
    }
    let mut restarts: BTreeMap<ObjectRef, u64> = BTreeMap::new();
    for object in objects {
        collector.add(object, Predicate::Exists, "", true);
        match object.kind().kind.as_str() {
            "Deployment" => {
                collector.deployment(object);
                collector.template(object);
            }
            "StatefulSet" | "DaemonSet" => {
                collector.replicated(object);
                collector.template(object);
            }
            "Pod" => collector.pod(object, &mut restarts),
            "Service" => collector.service(object),
            "ConfigMap" | "Secret" => collector.keys(object),
            "Node" => {
                if let Some(ready) = cluster::ObjectCondition::of(object, "Ready")
                    .and_then(|condition| condition.status)
                {
                    collector.add(object, Predicate::Ready, "", ready);
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
    collector.facts.extend(restarts);
    Facts::new(collector.facts)
}

/// Returns the workload in `objects` that an object belongs to: the object itself, or the last of its controlling owners.
pub fn workload_of<'a>(object: &'a Object, objects: &'a [Object]) -> Option<&'a Object> {
    let mut at = object;
    // The longest chain of built-in kinds (Pod, ReplicaSet, Deployment) is shorter than four.
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

/// Returns whether an object is a top-level workload: one that manages pods and has no controlling owner.
pub fn is_workload(object: &Object) -> bool {
    matches!(object.kind().kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet")
}

/// Kind, namespace and name.
type ObservedField<'a> = (&'a str, &'a str, &'a str);

fn name_key<'a>(kind: &'a str, namespace: Option<&'a str>, name: &'a str) -> ObservedField<'a> {
    (kind, namespace.unwrap_or_default(), name)
}

/// Collects facts from a set of objects.
struct FactCollector<'a> {
    cluster: &'a str,
    objects: &'a [Object],
    by_name: BTreeMap<ObservedField<'a>, &'a Object>,
    facts: Vec<Fact>,
}

impl<'a> FactCollector<'a> {
    fn add(&mut self, object: &Object, predicate: Predicate, key: &str, value: impl Into<Value>) {
        let subject = object.reference(self.cluster);
        self.facts.push(Fact { subject, predicate, key: key.into(), value: value.into() });
    }

    /// Like [`workload_of`], but finds owners by name.
    fn workload(&self, object: &'a Object) -> Option<&'a Object> {
        let mut at = object;
        for _ in 0..4 {
            if is_workload(at) {
                return Some(at);
            }
            let owner = at.controller()?;
            at = self.by_name.get(&name_key(&owner.kind, at.namespace(), &owner.name))?;
        }
        None
    }

    fn deployment(&mut self, object: &'a Object) {
        let Some(deployment) = Deployment::of(object) else { return };
        let desired = deployment.replicas();
        self.add(object, Predicate::Replicas, "", desired);
        self.add(object, Predicate::ReadyReplicas, "", deployment.ready());
        let is_ready = deployment.observed_generation() >= object.metadata().generation
            && deployment.updated() >= desired
            && deployment.available() >= desired
            && deployment.current() <= desired;
        self.add(object, Predicate::Ready, "", is_ready);
        if let Some(progressing) = deployment.condition("Progressing") {
            self.add(
                object,
                Predicate::RolloutStuck,
                "",
                progressing.status == Some(false)
                    && progressing.reason == "ProgressDeadlineExceeded",
            );
        }
        let Some(current) = deployment.revision() else { return };
        self.add(object, Predicate::Revision, "", current);
        let owned = |set: &&Object| {
            set.kind().kind == "ReplicaSet"
                && self.workload(set).is_some_and(|owner| owner.ptr_eq(object))
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
            self.add(object, Predicate::RevisionAvailable, key, revision);
        }
    }

    /// Adds the replica counts of a StatefulSet or DaemonSet.
    fn replicated(&mut self, object: &Object) {
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
        self.add(object, Predicate::Replicas, "", desired);
        self.add(object, Predicate::ReadyReplicas, "", ready);
        self.add(object, Predicate::Ready, "", ready >= desired);
    }

    /// Adds the facts of the pod template of a workload.
    fn template(&mut self, object: &'a Object) {
        for container in containers(object) {
            let name = container.name();
            self.add(object, Predicate::Image, name, container.image());
            for port in container.ports() {
                self.add(object, Predicate::ListensOn, name, port.port);
            }
            if let Some(limit) = container.limit("memory") {
                self.add(object, Predicate::MemoryLimit, name, limit.value() as u64);
            }
            self.probe(object, &container);
            for variable in container.env() {
                if let EnvSource::Value(value) = variable.source {
                    self.add(object, Predicate::Env, &format!("{name}/{}", variable.name), value);
                }
            }
        }
        for read in key_references(object) {
            self.add(
                object,
                Predicate::ReferencesKey,
                &format!("{}/{}/{}", read.kind, read.name, read.key),
                true,
            );
            let object_read =
                self.by_name.get(&name_key(read.kind, object.namespace(), read.name)).copied();
            if let Some(source) =
                object_read.filter(|source| !read.is_optional && !has_key(source, read.key))
            {
                self.add(source, Predicate::HasKey, read.key, false);
            }
        }
    }

    fn probe(&mut self, object: &Object, container: &Container<'_>) {
        let Some(probe) = container.readiness_probe() else { return };
        if let ProbeCheck::HttpGet { path, .. } = probe.check {
            self.add(object, Predicate::ProbePath, container.name(), path);
        }
        if let Some(port) = probe.port().and_then(|port| port.number_in(container)) {
            self.add(object, Predicate::ProbePort, container.name(), port);
        }
    }

    fn pod(&mut self, object: &'a Object, restarts: &mut BTreeMap<ObjectRef, u64>) {
        let Some(pod) = Pod::of(object) else { return };
        self.add(object, Predicate::Ready, "", pod.is_ready());
        self.add(object, Predicate::Scheduled, "", pod.node().is_some());
        // A terminating pod is no evidence of the health of its workload.
        if pod.is_terminating() {
            return;
        }
        let subject = self.workload(object).unwrap_or(object);
        *restarts.entry(subject.reference(self.cluster)).or_default() += u64::from(pod.restarts());
        for status in pod.container_statuses().chain(pod.init_container_statuses()) {
            let name = status.name();
            if let Some(reason) = status.waiting_reason().filter(|reason| !reason.is_empty()) {
                self.add(subject, Predicate::Waiting, name, reason);
            }
            for state in [status.state(), status.last_state()].into_iter().flatten() {
                if let ContainerState::Terminated { reason, .. } = state {
                    self.add(subject, Predicate::Terminated, name, reason);
                }
            }
            let has_probe = Container::named(object, name)
                .is_some_and(|container| container.readiness_probe().is_some());
            let is_running = matches!(status.state(), Some(ContainerState::Running { .. }));
            // A restarted container is not ready for a while, whatever its probe is.
            if has_probe && is_running && (status.is_ready() || status.restarts() == 0) {
                self.add(subject, Predicate::ProbePasses, name, status.is_ready());
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
            self.add(object, Predicate::HasKey, key, true);
        }
    }

    fn service(&mut self, object: &'a Object) {
        let Some(service) = Service::of(object) else { return };
        let backing_workloads: Vec<&Object> = self
            .objects
            .iter()
            .filter(|other| is_workload(other) && selects_pods_of(object, other))
            .collect();
        for workload in &backing_workloads {
            self.add(object, Predicate::Selects, workload.name(), true);
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
                    PortRef::Name(_) => backing_workloads
                        .iter()
                        .flat_map(|workload| containers(workload))
                        .find_map(|container| port.target_port.number_in(&container)),
                };
                (key, number)
            })
            .collect();
        for (key, number) in &targets {
            if let Some(number) = number {
                self.add(object, Predicate::TargetPort, key, *number);
            }
        }
        let Some(ready) = ready_endpoints(object, self.objects) else { return };
        self.add(object, Predicate::Endpoints, "", ready);
        if ready == 0 {
            if !service.selector().is_empty() {
                self.add(object, Predicate::Reachable, "", false);
            }
            return;
        }
        let declared_ports: BTreeSet<u16> = backing_workloads
            .iter()
            .flat_map(|workload| containers(workload))
            .flat_map(|c| c.ports().map(|port| port.port).collect::<Vec<_>>())
            .collect();
        // Containers may listen on undeclared ports. If no port is declared, reachability is unknown.
        if !declared_ports.is_empty() {
            let is_reachable = targets
                .iter()
                .all(|(_, number)| number.is_some_and(|number| declared_ports.contains(&number)));
            self.add(object, Predicate::Reachable, "", is_reachable);
        }
    }
}

/// Returns whether a Service selects the pods of a workload.
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

/// Returns the number of ready endpoints of a Service. `None` if no slice of it is in `objects`.
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

/// A reference of a workload to a key of a ConfigMap or Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyReference<'a> {
    /// `ConfigMap` or `Secret`.
    pub kind: &'static str,
    /// Name of the object, in the workload's namespace.
    pub name: &'a str,
    /// The key, or `*` for all keys.
    pub key: &'a str,
    /// Whether pods start if the key is missing.
    pub is_optional: bool,
}

/// Returns all references of a pod template to keys of ConfigMaps and Secrets, in the order of the template.
pub fn key_references(workload: &Object) -> Vec<KeyReference<'_>> {
    let mut found = Vec::new();
    for container in containers(workload).chain(Container::all_init(workload)) {
        for variable in container.env() {
            match variable.source {
                EnvSource::ConfigMap { name, key, is_optional } => {
                    found.push(KeyReference { kind: "ConfigMap", name, key, is_optional })
                }
                EnvSource::Secret { name, key, is_optional } => {
                    found.push(KeyReference { kind: "Secret", name, key, is_optional })
                }
                EnvSource::Value(_) | EnvSource::Pod => {}
            }
        }
        let all_keys = |kind| move |name| KeyReference { kind, name, key: "*", is_optional: true };
        found.extend(container.env_from_config_maps().map(all_keys("ConfigMap")));
        found.extend(container.env_from_secrets().map(all_keys("Secret")));
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
                None => found.push(KeyReference { kind, name, key: "*", is_optional: true }),
                Some(items) => found.extend(
                    items
                        .iter()
                        .filter_map(|item| item.get("key")?.as_str())
                        .map(|key| KeyReference { kind, name, key, is_optional }),
                ),
            }
        }
    }
    found
}

fn has_key(object: &Object, key: &str) -> bool {
    key == "*"
        || ["data", "binaryData", "stringData"]
            .iter()
            .any(|field| object.field(field).is_some_and(|map| map.get(key).is_some()))
}

#[cfg(test)]
mod tests;
