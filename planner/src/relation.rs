use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::{EndpointSlice, Kind, Object, ObjectKey, ObjectRef};
use workflow::{Evidence, Facts, Predicate};

/// Maximum number of relations between the target and an object that a plan may change.
pub const MAX_HOPS: u32 = 3;

/// Which relations between objects [`distances`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeFilter {
    /// Owner references, selectors and references to configuration.
    Ownership,
    /// Ownership, plus the Services that a workload calls.
    OwnershipAndCalls,
}

/// Returns the number of relations between `from` and each related object, by key.
///
/// Relations exist between an object and its owner, between a Service and the workload that it selects (or selected
/// when it was last healthy), between a workload and the ConfigMaps and Secrets that it reads, and from a workload to
/// the Services that its environment variables name. The search stops at a ConfigMap or Secret, because unrelated
/// workloads may read the same one, and it never leaves the namespace of `from`.
pub fn distances(
    objects: &[Object],
    facts: &Facts,
    from: &ObjectRef,
    filter: EdgeFilter,
) -> BTreeMap<ObjectKey, u32> {
    let edges = edges(objects, facts, from, filter);
    let mut found = BTreeMap::from([(ObjectKey::from(from), 0)]);
    let mut queue = VecDeque::from([(ObjectKey::from(from), 0)]);
    while let Some((at, distance)) = queue.pop_front() {
        let is_config = at.group.is_empty() && matches!(at.kind.as_str(), "ConfigMap" | "Secret");
        if is_config && distance > 0 {
            continue;
        }
        for next in edges.get(&at).into_iter().flatten() {
            if !found.contains_key(next) {
                found.insert(next.clone(), distance + 1);
                queue.push_back((next.clone(), distance + 1));
            }
        }
    }
    found
}

/// Returns the target and the workloads and Services one relation away from it.
///
/// For a Service these are the workloads behind it, for a workload the Services in front of it. The target comes first,
/// the others follow in order of their references. Empty if the evidence has no target.
pub fn target_and_neighbours(evidence: &Evidence) -> Vec<ObjectRef> {
    let Some(target) = &evidence.target else { return Vec::new() };
    let near = distances(&evidence.objects, &evidence.facts, target, EdgeFilter::Ownership);
    let mut others: Vec<ObjectRef> = evidence
        .objects
        .iter()
        .filter(|object| {
            matches!(
                object.kind().kind.as_str(),
                "Deployment" | "StatefulSet" | "DaemonSet" | "Service"
            )
        })
        .map(|object| object.reference(&target.cluster))
        .filter(|object| !object.is_same(target) && near.get(&ObjectKey::from(object)) == Some(&1))
        .collect();
    others.sort();
    others.dedup();
    std::iter::once(target.clone()).chain(others).collect()
}

type Edges = BTreeMap<ObjectKey, BTreeSet<ObjectKey>>;

fn edges(objects: &[Object], facts: &Facts, from: &ObjectRef, filter: EdgeFilter) -> Edges {
    let mut edges = Edges::new();
    let both = |edges: &mut Edges, a: ObjectKey, b: ObjectKey| {
        edges.entry(a.clone()).or_default().insert(b.clone());
        edges.entry(b).or_default().insert(a);
    };
    let named = |kind: &str, namespace: Option<&str>, name: &str| {
        let kind = Kind::builtin(kind).unwrap_or_else(|| Kind::new("", kind));
        ObjectKey::new(&from.cluster, &kind, namespace, name)
    };
    for object in objects.iter().filter(|object| object.namespace() == from.namespace.as_deref()) {
        let key = ObjectKey::from(&object.reference(&from.cluster));
        if let Some(owner) = object.controller() {
            let kind = Kind::new(owner.api_version.clone(), owner.kind.clone());
            let owner = ObjectKey::new(&from.cluster, &kind, object.namespace(), &owner.name);
            both(&mut edges, key.clone(), owner);
        }
        if let Some(service) = EndpointSlice::of(object).and_then(|slice| slice.service()) {
            both(&mut edges, key, named("Service", object.namespace(), service));
        }
    }
    let services: BTreeSet<&str> = objects
        .iter()
        .filter(|object| {
            object.kind().kind == "Service" && object.namespace() == from.namespace.as_deref()
        })
        .map(Object::name)
        .collect();
    for fact in facts.iter().filter(|fact| fact.subject.namespace == from.namespace) {
        let key = ObjectKey::from(&fact.subject);
        let namespace = fact.subject.namespace.as_deref();
        if fact.predicate == Predicate::Selects {
            for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
                both(&mut edges, key.clone(), named(kind, namespace, &fact.key));
            }
        } else if fact.predicate == Predicate::ReferencesKey {
            let mut parts = fact.key.splitn(3, '/');
            if let (Some(kind), Some(name)) = (parts.next(), parts.next()) {
                both(&mut edges, key, named(kind, namespace, name));
            }
        } else if fact.predicate == Predicate::Env && filter == EdgeFilter::OwnershipAndCalls {
            let text = fact.value.as_str().unwrap_or_default();
            for service in service_names(text, namespace.unwrap_or_default())
                .filter(|host| services.contains(host))
            {
                edges.entry(key.clone()).or_default().insert(named("Service", namespace, service));
            }
        }
    }
    edges
}

/// Returns the words of `text` that may name a Service of `namespace`: `cart`, `cart.shop`, `cart.shop.svc`.
fn service_names<'a>(text: &'a str, namespace: &'a str) -> impl Iterator<Item = &'a str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
    words.filter_map(move |word| {
        let mut labels = word.split('.');
        let host = labels.next().filter(|host| !host.is_empty())?;
        labels.next().is_none_or(|second| second == namespace).then_some(host)
    })
}
