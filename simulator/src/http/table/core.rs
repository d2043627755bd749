//! Rows of Services, Nodes, configuration and Events.

use cluster::Object;
use jiff::Timestamp;
use serde_json::Value;

use super::cell::{age, first_three, labels, list, or, since, text};
use super::column::{Column, always, wide};

pub(super) const SERVICE: &[Column] = &[
    always("Name"),
    always("Type"),
    always("Cluster-IP"),
    always("External-IP"),
    always("Port(s)"),
    always("Age"),
    wide("Selector"),
];

pub(super) fn service(object: &Object, now: Timestamp) -> Vec<Value> {
    let kind = or(text(object, "/spec/type"), "ClusterIP");
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (&port["port"], port["protocol"].as_str().unwrap_or("TCP"));
            match port["nodePort"].as_i64().filter(|node| *node > 0) {
                Some(node) => format!("{number}:{node}/{protocol}"),
                None => format!("{number}/{protocol}"),
            }
        })
        .collect();
    let address = list(object, "/spec/clusterIPs").first().and_then(Value::as_str);
    vec![
        object.name().into(),
        kind.into(),
        or(address.unwrap_or(text(object, "/spec/clusterIP")), "<none>").into(),
        external_address(object, kind).into(),
        or(&ports.join(","), "<none>").into(),
        age(object, now),
        labels(object, "/spec/selector"),
    ]
}

fn external_address(object: &Object, kind: &str) -> String {
    let given = list(object, "/spec/externalIPs").iter().filter_map(Value::as_str);
    let balanced = list(object, "/status/loadBalancer/ingress").iter();
    let balanced =
        balanced.filter_map(|one| one["ip"].as_str().or_else(|| one["hostname"].as_str()));
    let joined = match kind {
        "ExternalName" => return text(object, "/spec/externalName").into(),
        "LoadBalancer" => balanced.chain(given).collect::<Vec<_>>().join(","),
        _ => given.collect::<Vec<_>>().join(","),
    };
    or(&joined, if kind == "LoadBalancer" { "<pending>" } else { "<none>" }).into()
}

pub(super) const ENDPOINTS: &[Column] = &[always("Name"), always("Endpoints"), always("Age")];

pub(super) fn endpoints(object: &Object, now: Timestamp) -> Vec<Value> {
    let mut pairs = Vec::new();
    for subset in list(object, "/subsets") {
        let addresses = subset["addresses"].as_array().map_or(&[][..], Vec::as_slice);
        let ports = subset["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let ip = |address: &Value| address["ip"].as_str().unwrap_or_default().to_string();
        if ports.is_empty() {
            pairs.extend(addresses.iter().map(ip));
        }
        for port in ports {
            pairs.extend(
                addresses.iter().map(|address| format!("{}:{}", ip(address), port["port"])),
            );
        }
    }
    vec![object.name().into(), first_three(&pairs, "<none>").into(), age(object, now)]
}

pub(super) const ENDPOINT_SLICE: &[Column] =
    &[always("Name"), always("AddressType"), always("Ports"), always("Endpoints"), always("Age")];

pub(super) fn endpoint_slice(object: &Object, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/ports")
        .iter()
        .map(|port| match (&port["port"], port["name"].as_str()) {
            (Value::Number(number), _) => number.to_string(),
            (_, Some(name)) => name.into(),
            (_, None) => "*".into(),
        })
        .collect();
    let addresses =
        list(object, "/endpoints").iter().flat_map(|one| one["addresses"].as_array()).flatten();
    let addresses: Vec<String> =
        addresses.filter_map(|one| one.as_str().map(String::from)).collect();
    vec![
        object.name().into(),
        text(object, "/addressType").into(),
        first_three(&ports, "<unset>").into(),
        first_three(&addresses, "<unset>").into(),
        age(object, now),
    ]
}

pub(super) const NODE: &[Column] = &[
    always("Name"),
    always("Status"),
    always("Roles"),
    always("Age"),
    always("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];

pub(super) fn node(object: &Object, now: Timestamp) -> Vec<Value> {
    let ready = list(object, "/status/conditions").iter().find(|one| one["type"] == "Ready");
    let mut status = match ready {
        Some(ready) if ready["status"] == "True" => "Ready".to_string(),
        Some(_) => "NotReady".into(),
        None => "Unknown".into(),
    };
    if object.at("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = &object.metadata().labels;
    let roles = labels.iter().filter_map(|(key, value)| {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role),
            None if key == "kubernetes.io/role" && !value.is_empty() => Some(value),
            Some(_) | None => None,
        }
    });
    let roles =
        roles.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",");
    let address = |kind: &str| {
        let found = list(object, "/status/addresses").iter().find(|one| one["type"] == kind);
        found.and_then(|one| one["address"].as_str()).unwrap_or("<none>").to_string()
    };
    let info = |field: &str| text(object, &format!("/status/nodeInfo/{field}")).to_string();
    let architecture = match info("architecture") {
        none if none.is_empty() => none,
        architecture => format!(" ({architecture})"),
    };
    vec![
        object.name().into(),
        status.into(),
        or(&roles, "<none>").into(),
        age(object, now),
        info("kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        or(&info("osImage"), "<unknown>").into(),
        format!("{}{architecture}", or(&info("kernelVersion"), "<unknown>")).into(),
        or(&info("containerRuntimeVersion"), "<unknown>").into(),
    ]
}

pub(super) const NAMESPACE: &[Column] = &[always("Name"), always("Status"), always("Age")];

pub(super) fn namespace(object: &Object, now: Timestamp) -> Vec<Value> {
    vec![object.name().into(), text(object, "/status/phase").into(), age(object, now)]
}

pub(super) const CONFIG_MAP: &[Column] = &[always("Name"), always("Data"), always("Age")];

pub(super) fn config_map(object: &Object, now: Timestamp) -> Vec<Value> {
    let count = members(object, "data") + members(object, "binaryData");
    vec![object.name().into(), count.into(), age(object, now)]
}

fn members(object: &Object, field: &str) -> usize {
    object.field(field).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

pub(super) const SECRET: &[Column] =
    &[always("Name"), always("Type"), always("Data"), always("Age")];

pub(super) fn secret(object: &Object, now: Timestamp) -> Vec<Value> {
    let kind = object.field("type").and_then(Value::as_str).unwrap_or("Opaque");
    vec![object.name().into(), kind.into(), members(object, "data").into(), age(object, now)]
}

pub(super) const EVENT: &[Column] = &[
    always("Last Seen"),
    always("Type"),
    always("Reason"),
    always("Object"),
    wide("Subobject"),
    wide("Source"),
    always("Message"),
    wide("First Seen"),
    wide("Count"),
    wide("Name"),
];

pub(super) fn event(object: &Object, now: Timestamp) -> Vec<Value> {
    let top = |field: &str| object.field(field).and_then(Value::as_str).unwrap_or_default();
    let first = since(or(top("firstTimestamp"), top("eventTime")), now);
    let series = text(object, "/series/lastObservedTime");
    let last = match (series, top("lastTimestamp")) {
        ("", "") => first.clone(),
        ("", last) => since(last, now),
        (series, _) => since(series, now),
    };
    let count = object.at("/series/count").or(object.field("count")).and_then(Value::as_i64);
    let kind = text(object, "/involvedObject/kind").to_lowercase();
    let target = match text(object, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = [
        or(text(object, "/source/component"), top("reportingComponent")),
        or(text(object, "/source/host"), top("reportingInstance")),
    ];
    let source: Vec<&str> = source.into_iter().filter(|part| !part.is_empty()).collect();
    vec![
        last.into(),
        top("type").into(),
        top("reason").into(),
        target.into(),
        text(object, "/involvedObject/fieldPath").into(),
        source.join(", ").into(),
        top("message").trim().into(),
        first.into(),
        count.filter(|count| *count > 0).unwrap_or(1).into(),
        object.name().into(),
    ]
}

pub(super) const CLAIM: &[Column] = &[
    always("Name"),
    always("Status"),
    always("Volume"),
    always("Capacity"),
    always("Access Modes"),
    always("StorageClass"),
    always("VolumeAttributesClass"),
    always("Age"),
    wide("VolumeMode"),
];

pub(super) fn claim(object: &Object, now: Timestamp) -> Vec<Value> {
    let volume = text(object, "/spec/volumeName");
    let modes =
        list(object, "/status/accessModes").iter().filter_map(Value::as_str).map(
            |mode| match mode {
                "ReadWriteOnce" => "RWO",
                "ReadOnlyMany" => "ROX",
                "ReadWriteMany" => "RWX",
                "ReadWriteOncePod" => "RWOP",
                other => other,
            },
        );
    let is_terminating = object.metadata().deletion_timestamp.is_some();
    let bound = |text: String| if volume.is_empty() { String::new() } else { text };
    vec![
        object.name().into(),
        if is_terminating { "Terminating" } else { text(object, "/status/phase") }.into(),
        volume.into(),
        bound(text(object, "/status/capacity/storage").into()).into(),
        bound(modes.collect::<Vec<_>>().join(",")).into(),
        text(object, "/spec/storageClassName").into(),
        or(text(object, "/spec/volumeAttributesClassName"), "<unset>").into(),
        age(object, now),
        or(text(object, "/spec/volumeMode"), "<unset>").into(),
    ]
}
