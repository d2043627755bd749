//! Rows of budgets, quotas, leases, RBAC objects and other policies.

use cluster::Object;
use jiff::Timestamp;
use serde_json::Value;

use super::cell::{age, list, number, number_or_string, or, selector, text};
use super::column::{Column, always, integer, wide};

pub(super) const BUDGET: &[Column] = &[
    always("Name"),
    always("Min Available"),
    always("Max Unavailable"),
    integer("Allowed Disruptions"),
    always("Age"),
];

pub(super) fn budget(object: &Object, now: Timestamp) -> Vec<Value> {
    let bound = |pointer: &str| number_or_string(object, pointer).unwrap_or_else(|| "N/A".into());
    vec![
        object.name().into(),
        bound("/spec/minAvailable").into(),
        bound("/spec/maxUnavailable").into(),
        number(object, "/status/disruptionsAllowed").into(),
        age(object, now),
    ]
}

pub(super) const QUOTA: &[Column] =
    &[always("Name"), always("Request"), always("Limit"), always("Age")];

pub(super) fn quota(object: &Object, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in
        object.at("/status/hard").and_then(Value::as_object).into_iter().flatten()
    {
        let used = object.at("/status/used").and_then(|used| used.get(resource));
        let used = used.and_then(Value::as_str).unwrap_or("0");
        let entry = format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default());
        if resource.starts_with("limits.") { limits.push(entry) } else { requests.push(entry) }
    }
    vec![
        object.name().into(),
        requests.join(", ").into(),
        limits.join(", ").into(),
        age(object, now),
    ]
}

pub(super) const LEASE: &[Column] = &[always("Name"), always("Holder"), always("Age")];

pub(super) fn lease(object: &Object, now: Timestamp) -> Vec<Value> {
    vec![object.name().into(), text(object, "/spec/holderIdentity").into(), age(object, now)]
}

pub(super) const BINDING: &[Column] = &[
    always("Name"),
    always("Role"),
    always("Age"),
    wide("Users"),
    wide("Groups"),
    wide("ServiceAccounts"),
];

pub(super) fn binding(object: &Object, now: Timestamp) -> Vec<Value> {
    let subjects =
        object.field("subjects").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let named = |kind: &str| -> Value {
        let wanted = subjects.iter().filter(|one| one["kind"] == kind);
        let names = wanted.map(|one| {
            let name = one["name"].as_str().unwrap_or_default();
            match one["namespace"].as_str().filter(|_| kind == "ServiceAccount") {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.into(),
            }
        });
        names.collect::<Vec<_>>().join(", ").into()
    };
    let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
    vec![
        object.name().into(),
        role.into(),
        age(object, now),
        named("User"),
        named("Group"),
        named("ServiceAccount"),
    ]
}

pub(super) const CREATED_AT: &[Column] =
    &[always("Name"), Column { kind: "date", ..always("Created At") }];

pub(super) fn created_at(object: &Object, _: Timestamp) -> Vec<Value> {
    let created_at = object.metadata().creation_timestamp.map(|created_at| created_at.to_string());
    vec![object.name().into(), created_at.unwrap_or_default().into()]
}

pub(super) const NETWORK_POLICY: &[Column] =
    &[always("Name"), always("Pod-Selector"), always("Age")];

pub(super) fn network_policy(object: &Object, now: Timestamp) -> Vec<Value> {
    vec![object.name().into(), selector(object, "/spec/podSelector"), age(object, now)]
}

pub(super) const INGRESS: &[Column] = &[
    always("Name"),
    always("Class"),
    always("Hosts"),
    always("Address"),
    always("Ports"),
    always("Age"),
];

pub(super) fn ingress(object: &Object, now: Timestamp) -> Vec<Value> {
    let hosts = list(object, "/spec/rules").iter().filter_map(|rule| rule["host"].as_str());
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let addresses = list(object, "/status/loadBalancer/ingress").iter();
    let addresses = addresses.filter_map(|one| one["ip"].as_str().or(one["hostname"].as_str()));
    let ports = if list(object, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        object.name().into(),
        or(text(object, "/spec/ingressClassName"), "<none>").into(),
        or(&hosts, "*").into(),
        addresses.collect::<Vec<_>>().join(",").into(),
        ports.into(),
        age(object, now),
    ]
}

pub(super) const PRIORITY: &[Column] = &[
    always("Name"),
    integer("Value"),
    Column { kind: "boolean", ..always("Global-Default") },
    always("Age"),
    always("PreemptionPolicy"),
];

pub(super) fn priority(object: &Object, now: Timestamp) -> Vec<Value> {
    let field = |name: &str| object.field(name).cloned();
    vec![
        object.name().into(),
        field("value").unwrap_or_else(|| 0.into()),
        field("globalDefault").unwrap_or_else(|| false.into()),
        age(object, now),
        field("preemptionPolicy").unwrap_or_default(),
    ]
}

pub(super) const WEBHOOKS: &[Column] = &[always("Name"), integer("Webhooks"), always("Age")];

pub(super) fn webhooks(object: &Object, now: Timestamp) -> Vec<Value> {
    let count = object.field("webhooks").and_then(Value::as_array).map_or(0, Vec::len);
    vec![object.name().into(), count.into(), age(object, now)]
}
