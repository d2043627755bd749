//! Evidence collection: resolves the target of an incident and reads the objects around it.

mod log_excerpts;
mod reader;
mod summary;
mod target;

use std::collections::BTreeMap;

use actions::FieldClass;
use cluster::{
    Cluster, Difference, Health, HealthLevel, Metrics, Object, ObjectChange, ObjectKey, ObjectRef,
};
use jiff::Timestamp;
use serde_json::Value;
use workflow::{Evidence, Fact, Facts, Incident, Predicate, fact};

use crate::relation::{EdgeFilter, MAX_HOPS, distances};
use crate::reversal::known_good_facts;
use crate::{KnownGood, ReadLimits};
use reader::Reader;

/// Collects the evidence for an incident.
///
/// The alert's labels are untrusted: the object that they name is looked up, and if it does not exist the evidence has
/// no target. Without a target only "do nothing" and "escalate" are proposed. Never fails: what could not be read is
/// listed in `missing`. Makes at most [`ReadLimits::calls`] calls.
pub async fn collect(
    cluster: &dyn Cluster,
    metrics: &dyn Metrics,
    incident: &Incident,
    known_good: &KnownGood,
    limits: &ReadLimits,
    now: Timestamp,
) -> Evidence {
    let mut reader = Reader::new(cluster, metrics, limits);
    let found = target::resolve(&mut reader, incident).await;
    let mut evidence = Evidence::empty(incident, now);
    match found {
        Ok(target) => {
            read_related(&mut reader, &mut evidence, target, known_good, limits, now).await;
        }
        Err(message) => {
            evidence.summary.push(message.clone());
            reader.missing.push(message);
        }
    }
    // The many pods, ReplicaSets and events of other workloads are left out: no action targets them.
    let is_listed = |object: &&Object| {
        fact::is_workload(object)
            || matches!(object.kind().kind.as_str(), "Service" | "ConfigMap" | "Secret")
            || evidence
                .objects
                .iter()
                .any(|kept| kept.kind() == object.kind() && kept.name() == object.name())
    };
    evidence.inventory = reader
        .objects
        .iter()
        .filter(is_listed)
        .map(|object| object.reference(cluster.name()))
        .collect();
    evidence.inventory.sort();
    evidence.inventory.dedup();
    evidence.missing = reader.missing;
    evidence.api_calls = reader.api_calls;
    evidence
}

/// Fills in everything in the evidence that depends on its target.
async fn read_related(
    reader: &mut Reader<'_>,
    evidence: &mut Evidence,
    target: ObjectRef,
    known_good: &KnownGood,
    limits: &ReadLimits,
    now: Timestamp,
) {
    let name = reader.cluster.name().to_string();
    reader.read_secrets(&target).await;
    let mut facts = fact::observe(&name, &reader.objects);
    facts.extend(selector_mismatches(&name, &reader.objects, &facts, known_good));
    reader.measure_reachability(&mut facts).await;
    let near = distances(&reader.objects, &facts, &target, EdgeFilter::OwnershipAndCalls);
    let distance = |object: &ObjectRef| {
        near.get(&ObjectKey::from(object)).copied().filter(|distance| *distance <= MAX_HOPS)
    };
    let own = distances(&reader.objects, &facts, &target, EdgeFilter::Ownership);

    let mut kept: Vec<(u32, &Object)> = reader
        .objects
        .iter()
        .filter(|object| object.kind().kind != "Event")
        .filter_map(|object| Some((distance(&object.reference(&name))?, object)))
        // The state of other workloads' pods is covered by the facts about those workloads.
        .filter(|(_, object)| {
            object.kind().kind != "Pod"
                || own.contains_key(&ObjectKey::from(&object.reference(&name)))
        })
        .collect();
    kept.sort_by_key(|(distance, object)| (*distance, object.reference(&name)));
    kept.truncate(limits.objects_kept);
    evidence.objects = kept.iter().map(|(_, object)| strip_bookkeeping(object)).collect();

    evidence.health = collect_health(&name, &reader.objects, &facts, now);
    evidence.differences =
        collect_differences(&name, &reader.objects, known_good, &facts, &target, &distance);
    let is_kept = |object: &ObjectRef| {
        evidence.objects.iter().any(|kept| kept.reference(&name).is_same(object))
    };
    let mut kept_facts = Facts::new(facts.iter().filter(|fact| is_kept(&fact.subject)).cloned());
    kept_facts.extend(derived_facts(evidence, &target, known_good, &name));
    evidence.facts = kept_facts;

    let belongs = |object: &ObjectRef| own.contains_key(&ObjectKey::from(object));
    evidence.log_excerpts = log_excerpts::gather(reader, &target, &belongs, limits).await;
    evidence.target = Some(target);
    let known = known_good_facts(evidence);
    evidence.facts.extend(known);
    evidence.summary = summary::summarize(evidence);
}

/// Returns a `selects` fact with the value false for each Service whose selector no longer matches its workload.
///
/// The expected workload is the one in the known-good state. A Service that selects nothing and has no known-good state
/// is expected to select the workload of its own name.
fn selector_mismatches(
    cluster: &str,
    objects: &[Object],
    facts: &Facts,
    known_good: &KnownGood,
) -> Vec<Fact> {
    let mut lost = Vec::new();
    for service in objects.iter().filter(|object| object.kind().kind == "Service") {
        let reference = service.reference(cluster);
        let selected: Vec<String> =
            facts.of(&reference, Predicate::Selects).map(|fact| fact.key.clone()).collect();
        let mut wanted: Vec<String> = known_good
            .backing_workloads(&reference)
            .map(|workload| workload.name.clone())
            .collect();
        if wanted.is_empty() && selected.is_empty() {
            wanted.push(service.name().to_string());
        }
        let is_there = |name: &String| {
            objects.iter().any(|object| {
                fact::is_workload(object)
                    && object.name() == name
                    && object.namespace() == service.namespace()
            })
        };
        for name in wanted.into_iter().filter(|name| !selected.contains(name) && is_there(name)) {
            lost.push(Fact {
                subject: reference.clone(),
                predicate: Predicate::Selects,
                key: name,
                value: false.into(),
            });
        }
    }
    lost
}

/// Returns the health of every workload and Service of the namespace, in order of their references.
///
/// A Service with ready endpoints is still failing if requests do not reach it, for example because of a wrong
/// `targetPort`.
fn collect_health(
    cluster: &str,
    objects: &[Object],
    facts: &Facts,
    now: Timestamp,
) -> Vec<(ObjectRef, Health)> {
    let mut pods: BTreeMap<ObjectKey, Vec<Object>> = BTreeMap::new();
    for pod in objects.iter().filter(|object| object.kind().kind == "Pod") {
        if let Some(workload) = fact::workload_of(pod, objects) {
            pods.entry(ObjectKey::from(&workload.reference(cluster)))
                .or_default()
                .push(pod.clone());
        }
    }
    let slices: Vec<Object> =
        objects.iter().filter(|object| object.kind().kind == "EndpointSlice").cloned().collect();
    let mut found = Vec::new();
    for object in objects {
        let reference = object.reference(cluster);
        let health = if fact::is_workload(object) {
            cluster::health(
                object,
                pods.get(&ObjectKey::from(&reference)).map_or(&[], Vec::as_slice),
                now,
            )
        } else if object.kind().kind == "Service" {
            let health = cluster::health(object, &slices, now);
            let is_reachable =
                facts.value(&reference, Predicate::Reachable, "").and_then(Value::as_bool);
            if health.is_healthy() && is_reachable == Some(false) {
                Health {
                    level: HealthLevel::Failing,
                    message: "its endpoints are ready but do not receive requests".into(),
                    ..health
                }
            } else {
                health
            }
        } else {
            continue;
        };
        found.push((reference, health));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Returns the differences from the known-good state of every related object, nearest to the target first.
fn collect_differences(
    cluster: &str,
    objects: &[Object],
    known_good: &KnownGood,
    facts: &Facts,
    target: &ObjectRef,
    distance: &dyn Fn(&ObjectRef) -> Option<u32>,
) -> Vec<Difference> {
    let first = backing_workload(objects, cluster, facts, target);
    let mut found: Vec<(u32, Vec<Difference>)> = Vec::new();
    for object in objects {
        let is_asked = fact::is_workload(object)
            || matches!(object.kind().kind.as_str(), "Service" | "ConfigMap" | "Secret");
        let reference = object.reference(cluster);
        let Some(distance) = distance(&reference).filter(|_| is_asked) else { continue };
        if let Some(before) = known_good.state_of(&reference, first.as_ref()) {
            found.push((distance, cluster::difference(cluster, Some(before), Some(object))));
        }
    }
    for before in first.iter().flat_map(|workload| known_good.objects_of(workload)) {
        let reference = before.reference(cluster).without_uid();
        let is_there = objects.iter().any(|object| object.reference(cluster).is_same(&reference));
        // A Secret that is no longer referenced was not read, so its absence here does not mean that it was deleted.
        if !is_there && !matches!(before.kind().kind.as_str(), "ReplicaSet" | "Secret") {
            found.push((1, cluster::difference(cluster, Some(before), None)));
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().flat_map(|(_, differences)| differences).collect()
}

/// Returns the workload whose known-good state takes precedence: the target itself, or the workload behind a Service.
fn backing_workload(
    objects: &[Object],
    cluster: &str,
    facts: &Facts,
    target: &ObjectRef,
) -> Option<ObjectRef> {
    if target.kind != "Service" {
        return Some(target.clone());
    }
    let names: Vec<&str> =
        facts.of(target, Predicate::Selects).map(|fact| fact.key.as_str()).collect();
    let is_behind = |object: &&Object| {
        fact::is_workload(object)
            && names.contains(&object.name())
            && object.namespace() == target.namespace.as_deref()
    };
    objects.iter().find(is_behind).map(|object| object.reference(cluster))
}

/// Returns the workload that an incident is about: its target, or the workload behind a Service.
///
/// If the selector of the Service no longer matches its workload, this is the workload that it selected in the
/// known-good state. `None` if the Service selects several workloads or none.
pub fn owning_workload(evidence: &Evidence) -> Option<ObjectRef> {
    let target = evidence.target.as_ref()?;
    if target.kind != "Service" {
        return Some(target.clone());
    }
    let selected = |is_now: bool| -> Vec<&str> {
        let facts = evidence.facts.of(target, Predicate::Selects);
        facts.filter(|fact| fact.value == is_now).map(|fact| fact.key.as_str()).collect()
    };
    let lost = selected(false);
    let names = if lost.is_empty() { selected(true) } else { lost };
    let mut workloads = evidence.objects.iter().filter(|object| {
        fact::is_workload(object)
            && names.contains(&object.name())
            && object.namespace() == target.namespace.as_deref()
    });
    let only = workloads.next()?;
    workloads.next().is_none().then(|| only.reference(&target.cluster))
}

/// Returns the facts that do not follow from the objects alone: the alert, health, changes and known-good state.
fn derived_facts(
    evidence: &Evidence,
    target: &ObjectRef,
    known_good: &KnownGood,
    cluster: &str,
) -> Vec<Fact> {
    let fact = |subject: &ObjectRef, predicate, key: &str, value: Value| Fact {
        subject: subject.clone(),
        predicate,
        key: key.into(),
        value,
    };
    let mut facts = vec![fact(target, Predicate::Firing, "", evidence.alert.clone().into())];
    for (object, health) in &evidence.health {
        if evidence.objects.iter().any(|kept| kept.reference(cluster).is_same(object)) {
            let level =
                serde_json::to_value(health.level).expect("a health level serializes as a string");
            facts.push(fact(object, Predicate::Health, "", level));
        }
    }
    for difference in &evidence.differences {
        if let ObjectChange::Field { path, .. } = &difference.change {
            facts.push(fact(&difference.object, Predicate::Changed, path, true.into()));
            if let Some(field) = FieldClass::of(difference) {
                facts.push(fact(
                    &difference.object,
                    Predicate::Changed,
                    field.as_str(),
                    true.into(),
                ));
            }
        }
    }
    for object in evidence.objects.iter().filter(|object| fact::is_workload(object)) {
        let reference = object.reference(cluster);
        let before =
            known_good.objects_of(&reference).iter().find(|state| state.kind() == object.kind());
        facts.push(fact(&reference, Predicate::KnownGood, "", before.is_some().into()));
        if let Some(revision) =
            before.and_then(|before| matching_revision(before, object, &evidence.objects))
        {
            facts.push(fact(
                &reference,
                Predicate::RevisionAvailable,
                "known-good",
                revision.into(),
            ));
        }
    }
    facts
}

/// Returns the newest revision, other than the current one, whose pod template equals that of `before`.
fn matching_revision(before: &Object, now: &Object, objects: &[Object]) -> Option<u64> {
    let template = |object: &Object| {
        let template = object.at("/spec/template").cloned().unwrap_or_default();
        Object::new(
            before.kind().clone(),
            cluster::Metadata::default(),
            [("spec".to_string(), serde_json::json!({"template": template}))].into(),
        )
    };
    let current = cluster::Deployment::of(now)?.revision()?;
    let is_owned = |set: &&Object| {
        set.kind().kind == "ReplicaSet"
            && set.namespace() == now.namespace()
            && set
                .controller()
                .is_some_and(|owner| owner.kind == now.kind().kind && owner.name == now.name())
    };
    let has_same_template = |set: &&Object| {
        cluster::difference("", Some(&template(before)), Some(&template(set))).is_empty()
    };
    let revisions = objects
        .iter()
        .filter(is_owned)
        .filter(has_same_template)
        .filter_map(|set| cluster::ReplicaSet::of(set)?.revision());
    revisions.filter(|revision| *revision != current).max()
}

/// Returns the object without the metadata that only the API server and kubectl use.
pub(crate) fn strip_bookkeeping(object: &Object) -> Object {
    let mut metadata = object.metadata().clone();
    metadata.rest.remove("managedFields");
    metadata.annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    object.with_metadata(metadata)
}

/// Returns the desired state of the object: without its status and bookkeeping metadata.
pub(crate) fn desired_state(object: &Object) -> Object {
    strip_bookkeeping(object).without_field("status")
}
