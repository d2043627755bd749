use std::collections::BTreeMap;

use serde_json::Value;

use super::container::protocol;
use super::{PortRef, items, text, texts};
use crate::Object;

/// Reads a Service.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    object: &'a Object,
}

/// One port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePort<'a> {
    /// Its name; empty if it has none.
    pub name: &'a str,
    /// Where clients connect.
    pub port: u16,
    /// Where the pods listen; the same number where the field is absent.
    pub target_port: PortRef<'a>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// Reads an EndpointSlice: the pods behind a Service, as the cluster found them.
#[derive(Clone, Copy, Debug)]
pub struct EndpointSlice<'a> {
    object: &'a Object,
}

/// One endpoint of a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Endpoint<'a> {
    value: &'a Value,
}

impl<'a> Service<'a> {
    /// Views `object`, if it is a Service.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "Service").then_some(Self { object })
    }

    /// The object itself.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// The labels of the pods behind it; empty if its endpoints are kept by hand.
    pub fn selector(&self) -> BTreeMap<String, String> {
        texts(self.object.at("/spec/selector"))
    }

    /// Whether it sends traffic to pods with these labels. An empty selector selects nothing, unlike a
    /// [`crate::Selector`].
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let Some(Value::Object(selector)) = self.object.at("/spec/selector") else { return false };
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
    }

    /// Its ports.
    pub fn ports(&self) -> impl Iterator<Item = ServicePort<'a>> + use<'a> {
        items(self.object.field("spec"), "ports").filter_map(|value| {
            let port = u16::try_from(value.get("port")?.as_u64()?).ok()?;
            let target_port =
                value.get("targetPort").and_then(PortRef::of).unwrap_or(PortRef::Number(port));
            Some(ServicePort {
                name: text(value, "name"),
                port,
                target_port,
                protocol: protocol(value),
            })
        })
    }

    /// Its type: `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub fn service_type(&self) -> &'a str {
        self.object.at("/spec/type").and_then(Value::as_str).unwrap_or("ClusterIP")
    }
}

impl<'a> EndpointSlice<'a> {
    /// Views `object`, if it is an EndpointSlice.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "EndpointSlice").then_some(Self { object })
    }

    /// The object itself.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Name of the Service that it belongs to.
    pub fn service(&self) -> Option<&'a str> {
        self.object.metadata().labels.get("kubernetes.io/service-name").map(String::as_str)
    }

    /// The ports of its endpoints, by name (empty where unnamed) and number.
    pub fn ports(&self) -> impl Iterator<Item = (&'a str, u16)> + use<'a> {
        items_at(self.object, "ports").filter_map(|port| {
            Some((text(port, "name"), u16::try_from(port.get("port")?.as_u64()?).ok()?))
        })
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'a>> + use<'a> {
        items_at(self.object, "endpoints").map(|value| Endpoint { value })
    }
}

fn items_at<'a>(object: &'a Object, field: &str) -> std::slice::Iter<'a, Value> {
    object.field(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

impl<'a> Endpoint<'a> {
    /// Whether it takes traffic; an unsaid condition counts as ready, as Kubernetes has it.
    pub fn is_ready(&self) -> bool {
        let conditions = self.value.get("conditions");
        conditions.and_then(|all| all.get("ready")).and_then(Value::as_bool).unwrap_or(true)
    }

    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "addresses").filter_map(Value::as_str)
    }

    /// Name of the pod behind it.
    pub fn pod(&self) -> Option<&'a str> {
        let target = self.value.get("targetRef")?;
        (text(target, "kind") == "Pod").then(|| text(target, "name"))
    }
}
