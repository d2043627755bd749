use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::{EndpointSlice, Object, ObjectRef};
use workflow::{Evidence, Facts, Ledger, Predicate};

/// How many relations away from the target an object may be for a plan to touch it.
pub const REACH: u32 = 3;

/// Which relations are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// Owners, selectors and references to configuration: what belongs together.
    Belonging,
    /// These, and the services that a workload calls.
    Calls,
}

/// How many relations each object is away from `from`, by [`Ledger::key`]; what is not related is absent.
///
/// Related are an object and its owner, a Service and the workload that it selects (or did when it was last well), a
/// workload and the ConfigMaps and Secrets that it reads, and a workload and the Services that its environment names,
/// in this direction only. Configuration leads no further, for many may read it; nothing leads out of a namespace.
pub fn distances(
    objects: &[Object],
    facts: &Facts,
    from: &ObjectRef,
    following: Following,
) -> BTreeMap<String, u32> {
    let edges = edges(objects, facts, from, following);
    let mut found = BTreeMap::from([(Ledger::key(from), 0)]);
    let mut queue = VecDeque::from([(Ledger::key(from), 0)]);
    while let Some((at, distance)) = queue.pop_front() {
        let is_config = at.contains("/ConfigMap/") || at.contains("/Secret/");
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

/// The target and what is nearest to it: the workload behind a Service, the Services in front of a workload.
///
/// Target first, then in order of reference; only workloads and Services.
pub fn focus(evidence: &Evidence) -> Vec<ObjectRef> {
    let Some(target) = &evidence.target else { return Vec::new() };
    let near = distances(&evidence.objects, &evidence.facts, target, Following::Belonging);
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
        .filter(|object| !object.is_same(target) && near.get(&Ledger::key(object)) == Some(&1))
        .collect();
    others.sort();
    others.dedup();
    std::iter::once(target.clone()).chain(others).collect()
}

type Edges = BTreeMap<String, BTreeSet<String>>;

fn edges(objects: &[Object], facts: &Facts, from: &ObjectRef, following: Following) -> Edges {
    let mut edges = Edges::new();
    let both = |edges: &mut Edges, a: String, b: String| {
        edges.entry(a.clone()).or_default().insert(b.clone());
        edges.entry(b).or_default().insert(a);
    };
    let named = |kind: &str, namespace: Option<&str>, name: &str| {
        format!("{}/{kind}/{}/{name}", from.cluster, namespace.unwrap_or_default())
    };
    for object in objects.iter().filter(|object| object.namespace() == from.namespace.as_deref()) {
        let key = Ledger::key(&object.reference(&from.cluster));
        if let Some(owner) = object.controller() {
            both(&mut edges, key.clone(), named(&owner.kind, object.namespace(), &owner.name));
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
        let key = Ledger::key(&fact.subject);
        let namespace = fact.subject.namespace.as_deref();
        if fact.predicate == Predicate::Selects {
            for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
                both(&mut edges, key.clone(), named(kind, namespace, &fact.key));
            }
        } else if fact.predicate == Predicate::ReadsKey {
            let mut parts = fact.key.splitn(3, '/');
            if let (Some(kind), Some(name)) = (parts.next(), parts.next()) {
                both(&mut edges, key, named(kind, namespace, name));
            }
        } else if fact.predicate == Predicate::Env && following == Following::Calls {
            let text = fact.value.as_str().unwrap_or_default();
            for service in
                hosts(text, namespace.unwrap_or_default()).filter(|host| services.contains(host))
            {
                edges.entry(key.clone()).or_default().insert(named("Service", namespace, service));
            }
        }
    }
    edges
}

/// The words of a text that may name a Service of `namespace`: `cart`, `cart.shop`, `cart.shop.svc`.
fn hosts<'a>(text: &'a str, namespace: &'a str) -> impl Iterator<Item = &'a str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
    words.filter_map(move |word| {
        let mut labels = word.split('.');
        let host = labels.next().filter(|host| !host.is_empty())?;
        labels.next().is_none_or(|second| second == namespace).then_some(host)
    })
}
