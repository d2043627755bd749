use std::collections::BTreeMap;

use serde_json::Value;

use super::container::protocol;
use super::{PortRef, items, text, texts};
use crate::Object;

/// A view of a Service.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    object: &'a Object,
}

/// One port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePort<'a> {
    /// Port name; empty if unnamed.
    pub name: &'a str,
    /// Port on which the Service accepts connections.
    pub port: u16,
    /// Port on which the pods listen. Default: the same number as `port`.
    pub target_port: PortRef<'a>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// A view of an EndpointSlice, which lists the backends of a Service.
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
    /// Returns a view of `object` if it is a Service.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "Service").then_some(Self { object })
    }

    /// Returns the underlying object.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Returns the pod selector; empty if the endpoints are managed manually.
    pub fn selector(&self) -> BTreeMap<String, String> {
        texts(self.object.at("/spec/selector"))
    }

    /// Returns whether the selector matches pods with these labels. An empty selector matches nothing, unlike an empty
    /// [`crate::Selector`].
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let Some(Value::Object(selector)) = self.object.at("/spec/selector") else { return false };
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
    }

    /// Returns the ports.
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

    /// Returns the type: `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub fn service_type(&self) -> &'a str {
        self.object.at("/spec/type").and_then(Value::as_str).unwrap_or("ClusterIP")
    }
}

impl<'a> EndpointSlice<'a> {
    /// Returns a view of `object` if it is an EndpointSlice.
    pub fn of(object: &'a Object) -> Option<Self> {
        (object.kind().kind == "EndpointSlice").then_some(Self { object })
    }

    /// Returns the underlying object.
    pub fn object(&self) -> &'a Object {
        self.object
    }

    /// Returns the name of the Service that the slice belongs to.
    pub fn service(&self) -> Option<&'a str> {
        self.object.metadata().labels.get("kubernetes.io/service-name").map(String::as_str)
    }

    /// Returns name (empty if unnamed) and number of the ports of the endpoints.
    pub fn ports(&self) -> impl Iterator<Item = (&'a str, u16)> + use<'a> {
        items_at(self.object, "ports").filter_map(|port| {
            Some((text(port, "name"), u16::try_from(port.get("port")?.as_u64()?).ok()?))
        })
    }

    /// Returns the endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'a>> + use<'a> {
        items_at(self.object, "endpoints").map(|value| Endpoint { value })
    }
}

fn items_at<'a>(object: &'a Object, field: &str) -> std::slice::Iter<'a, Value> {
    object.field(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

impl<'a> Endpoint<'a> {
    /// Returns whether the endpoint accepts traffic. A missing condition counts as ready, as in Kubernetes.
    pub fn is_ready(&self) -> bool {
        let conditions = self.value.get("conditions");
        conditions.and_then(|all| all.get("ready")).and_then(Value::as_bool).unwrap_or(true)
    }

    /// Returns the IP addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "addresses").filter_map(Value::as_str)
    }

    /// Returns the name of the target pod.
    pub fn pod(&self) -> Option<&'a str> {
        let target = self.value.get("targetRef")?;
        (text(target, "kind") == "Pod").then(|| text(target, "name"))
    }
}
