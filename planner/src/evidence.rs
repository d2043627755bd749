//! Evidence: from an incident's hints to its target, and to what is known around it.

mod lines;
mod notes;
mod reader;
mod target;

use std::collections::BTreeMap;

use cluster::{Change, Cluster, Difference, Health, HealthLevel, Metrics, Object, ObjectRef};
use jiff::Timestamp;
use serde_json::Value;
use workflow::{Evidence, Fact, Facts, Incident, Ledger, Predicate, fact};

use crate::relation::{Following, REACH, distances};
use crate::reversal::{field_of, known_facts};
use crate::{KnownGood, ReadLimits};
use reader::Reader;

/// Gathers what is known around an incident.
///
/// The alert's labels are hints: each is looked up, none is believed. What they name and is not there leads to no
/// target, and without a target nothing but doing nothing and asking a person is ever proposed. Never fails: what could
/// not be read stands in `gaps`. At most [`ReadLimits::calls`] calls.
pub async fn collect(
    cluster: &dyn Cluster,
    metrics: &dyn Metrics,
    incident: &Incident,
    known_good: &KnownGood,
    limits: &ReadLimits,
    now: Timestamp,
) -> Evidence {
    let mut reader = Reader::new(cluster, metrics, limits);
    let found = target::find(&mut reader, incident).await;
    let mut evidence = Evidence::unseen(incident, now);
    match found {
        Ok(target) => around(&mut reader, &mut evidence, target, known_good, limits, now).await,
        Err(why) => {
            evidence.lines.push(why.clone());
            reader.gaps.push(why);
        }
    }
    // Pods, revisions and reports of others are many, and nobody acts on them.
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
    evidence.gaps = reader.gaps;
    evidence.calls = reader.calls;
    evidence
}

/// Fills in what stands around the target.
async fn around(
    reader: &mut Reader<'_>,
    evidence: &mut Evidence,
    target: ObjectRef,
    known_good: &KnownGood,
    limits: &ReadLimits,
    now: Timestamp,
) {
    let name = reader.cluster.name().to_string();
    reader.configuration(&target).await;
    let mut facts = fact::observe(&name, &reader.objects);
    facts.extend(lost_services(&name, &reader.objects, &facts, known_good));
    reader.unanswered(&mut facts).await;
    let near = distances(&reader.objects, &facts, &target, Following::Calls);
    let distance = |object: &ObjectRef| {
        near.get(&Ledger::key(object)).copied().filter(|distance| *distance <= REACH)
    };
    let own = distances(&reader.objects, &facts, &target, Following::Belonging);

    let mut kept: Vec<(u32, &Object)> = reader
        .objects
        .iter()
        .filter(|object| object.kind().kind != "Event")
        .filter_map(|object| Some((distance(&object.reference(&name))?, object)))
        // Pods of other workloads say what they have to say by their workload's facts.
        .filter(|(_, object)| {
            object.kind().kind != "Pod" || own.contains_key(&Ledger::key(&object.reference(&name)))
        })
        .collect();
    kept.sort_by_key(|(distance, object)| (*distance, object.reference(&name)));
    kept.truncate(limits.objects_kept);
    evidence.objects = kept.iter().map(|(_, object)| tidied(object)).collect();

    evidence.health = healths(&name, &reader.objects, &facts, now);
    evidence.differences = changes(&name, &reader.objects, known_good, &facts, &target, &distance);
    let is_kept = |object: &ObjectRef| {
        evidence.objects.iter().any(|kept| kept.reference(&name).is_same(object))
    };
    let mut kept_facts = Facts::new(facts.iter().filter(|fact| is_kept(&fact.subject)).cloned());
    kept_facts.extend(more_facts(evidence, &target, known_good, &name));
    evidence.facts = kept_facts;

    let belongs = |object: &ObjectRef| own.contains_key(&Ledger::key(object));
    evidence.notes = notes::gather(reader, &target, &belongs, limits).await;
    evidence.target = Some(target);
    let known = known_facts(evidence);
    evidence.facts.extend(known);
    evidence.lines = lines::tell(evidence);
}

/// Services that no longer lead to the workload that they led to: remembered, or of the workload's own name.
fn lost_services(
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
        let mut wanted: Vec<String> =
            known_good.workloads_behind(&reference).into_iter().map(|(_, name)| name).collect();
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

/// Health of every workload and Service of the namespace, in order of reference.
///
/// A Service with ready endpoints is judged by whether requests arrive too: ready pods on a port that nobody asks serve
/// nobody.
fn healths(
    cluster: &str,
    objects: &[Object],
    facts: &Facts,
    now: Timestamp,
) -> Vec<(ObjectRef, Health)> {
    let mut pods: BTreeMap<String, Vec<Object>> = BTreeMap::new();
    for pod in objects.iter().filter(|object| object.kind().kind == "Pod") {
        if let Some(workload) = fact::workload_of(pod, objects) {
            pods.entry(Ledger::key(&workload.reference(cluster))).or_default().push(pod.clone());
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
                pods.get(&Ledger::key(&reference)).map_or(&[], Vec::as_slice),
                now,
            )
        } else if object.kind().kind == "Service" {
            let health = cluster::health(object, &slices, now);
            let arrives =
                facts.value(&reference, Predicate::Reachable, "").and_then(Value::as_bool);
            if health.is_healthy() && arrives == Some(false) {
                Health {
                    level: HealthLevel::Failing,
                    reason: "requests to it do not arrive".into(),
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

/// What differs from the last time that the workloads within reach were healthy, nearest to the target first.
fn changes(
    cluster: &str,
    objects: &[Object],
    known_good: &KnownGood,
    facts: &Facts,
    target: &ObjectRef,
    distance: &dyn Fn(&ObjectRef) -> Option<u32>,
) -> Vec<Difference> {
    let first = behind(objects, cluster, facts, target);
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
    for before in first.iter().flat_map(|workload| known_good.around(workload)) {
        let reference = before.reference(cluster).without_uid();
        let is_there = objects.iter().any(|object| object.reference(cluster).is_same(&reference));
        // Of Secrets only those were looked at that are still asked for.
        if !is_there && !matches!(before.kind().kind.as_str(), "ReplicaSet" | "Secret") {
            found.push((1, cluster::difference(cluster, Some(before), None)));
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().flat_map(|(_, differences)| differences).collect()
}

/// The workload whose memory counts first: the target itself, or the one behind it.
fn behind(
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

/// The workload that an incident is about: its target, or the one workload behind a Service. A Service that lost its
/// workload is about the one that it led to when that was last well. None where a Service leads to several, or to none.
pub fn owner(evidence: &Evidence) -> Option<ObjectRef> {
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

/// Facts that need more than objects: the alert, health, what changed, what is remembered.
fn more_facts(
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
            let level = serde_json::to_value(health.level).expect("a level of health is a word");
            facts.push(fact(object, Predicate::Health, "", level));
        }
    }
    for difference in &evidence.differences {
        if let Change::Field { path, .. } = &difference.change {
            facts.push(fact(&difference.object, Predicate::Changed, path, true.into()));
            if let Some(field) = field_of(difference) {
                facts.push(fact(&difference.object, Predicate::Changed, field.word(), true.into()));
            }
        }
    }
    for object in evidence.objects.iter().filter(|object| fact::is_workload(object)) {
        let reference = object.reference(cluster);
        let before =
            known_good.around(&reference).iter().find(|state| state.kind() == object.kind());
        facts.push(fact(&reference, Predicate::KnownGood, "", before.is_some().into()));
        if let Some(revision) =
            before.and_then(|before| revision_like(before, object, &evidence.objects))
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

/// The revision, other than the present one, whose pod template is that of `before`.
fn revision_like(before: &Object, now: &Object, objects: &[Object]) -> Option<u64> {
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
    let is_like = |set: &&Object| {
        cluster::difference("", Some(&template(before)), Some(&template(set))).is_empty()
    };
    let revisions = objects
        .iter()
        .filter(is_owned)
        .filter(is_like)
        .filter_map(|set| cluster::ReplicaSet::of(set)?.revision());
    revisions.filter(|revision| *revision != current).max()
}

/// The object without what only the cluster's own bookkeeping needs.
pub(crate) fn tidied(object: &Object) -> Object {
    let mut metadata = object.metadata().clone();
    metadata.rest.remove("managedFields");
    metadata.annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    object.with_metadata(metadata)
}

/// The object as asked for: without status and bookkeeping.
pub(crate) fn stripped(object: &Object) -> Object {
    tidied(object).without_field("status")
}
