use serde_json::Value;

use super::{count, items, text};
use crate::{Object, Quantity};

/// One container of a pod, or of a template of pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Container<'a> {
    value: &'a Value,
}

/// One environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvVar<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its value comes from.
    pub source: EnvSource<'a>,
}

/// Where the value of an environment variable comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvSource<'a> {
    /// It is written here; an absent value is the empty text.
    Value(&'a str),
    /// From a key of a ConfigMap of the same namespace.
    ConfigMap {
        /// Name of the ConfigMap.
        name: &'a str,
        /// The key.
        key: &'a str,
        /// Whether the container starts without it.
        is_optional: bool,
    },
    /// From a key of a Secret of the same namespace.
    Secret {
        /// Name of the Secret.
        name: &'a str,
        /// The key.
        key: &'a str,
        /// Whether the container starts without it.
        is_optional: bool,
    },
    /// From the pod itself: a field or a resource figure.
    Pod,
}

/// One port that a container names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerPort<'a> {
    /// Its name; empty if it has none.
    pub name: &'a str,
    /// Its number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// A port by number, or by the name that a container gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortRef<'a> {
    /// By number.
    Number(u16),
    /// By name.
    Name(&'a str),
}

/// How a container is asked whether it is alive or ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe<'a> {
    /// The question.
    pub check: ProbeCheck<'a>,
    /// Seconds from the container's start to the first question.
    pub initial_delay_seconds: u32,
    /// Seconds between questions.
    pub period_seconds: u32,
    /// Seconds to wait for an answer.
    pub timeout_seconds: u32,
    /// Bad answers in a row that count as failed.
    pub failure_threshold: u32,
    /// Good answers in a row that count as well again.
    pub success_threshold: u32,
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeCheck<'a> {
    /// An HTTP GET that answers 200 to 399.
    HttpGet {
        /// The path.
        path: &'a str,
        /// The port; absent where the field is unreadable.
        port: Option<PortRef<'a>>,
    },
    /// A TCP connection.
    TcpSocket {
        /// The port; absent where the field is unreadable.
        port: Option<PortRef<'a>>,
    },
    /// A command in the container that ends with 0.
    Exec,
    /// Another way (gRPC).
    Other,
}

/// The containers of a pod, or of the pod template of a workload; empty for other objects.
///
/// Init containers are not among them: see [`Container::all_init`].
pub fn containers(object: &Object) -> impl Iterator<Item = Container<'_>> {
    items(pod_spec(object), "containers").map(Container::of)
}

fn pod_spec(object: &Object) -> Option<&Value> {
    match object.kind().kind.as_str() {
        "Pod" => object.field("spec"),
        "CronJob" => object.at("/spec/jobTemplate/spec/template/spec"),
        _ => object.at("/spec/template/spec"),
    }
}

impl<'a> Container<'a> {
    /// Views `value`, one element of `containers` as on the wire.
    pub fn of(value: &'a Value) -> Self {
        Self { value }
    }

    /// The init containers of a pod, or of the pod template of a workload.
    pub fn all_init(object: &'a Object) -> impl Iterator<Item = Container<'a>> {
        items(pod_spec(object), "initContainers").map(Container::of)
    }

    /// The container of `object` with this name.
    pub fn named(object: &'a Object, name: &str) -> Option<Container<'a>> {
        containers(object).find(|container| container.name() == name)
    }

    /// The container as on the wire.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        text(self.value, "name")
    }

    /// Its image.
    pub fn image(&self) -> &'a str {
        text(self.value, "image")
    }

    /// Its command; empty for the image's own.
    pub fn command(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "command").filter_map(Value::as_str)
    }

    /// The arguments of its command; empty for the image's own.
    pub fn args(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "args").filter_map(Value::as_str)
    }

    /// Its environment, in order; where a name stands twice, the later one counts.
    pub fn env(&self) -> impl Iterator<Item = EnvVar<'a>> + use<'a> {
        items(Some(self.value), "env")
            .map(|variable| EnvVar { name: text(variable, "name"), source: source(variable) })
    }

    /// The ConfigMaps whose keys all become its environment (`envFrom`).
    pub fn env_from_config_maps(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "envFrom")
            .filter_map(|from| from.pointer("/configMapRef/name")?.as_str())
    }

    /// The Secrets whose keys all become its environment (`envFrom`).
    pub fn env_from_secrets(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "envFrom")
            .filter_map(|from| from.pointer("/secretRef/name")?.as_str())
    }

    /// What it asks for of `resource` (`cpu`, `memory`); absent if it asks for none or the figure is unreadable.
    pub fn request(&self, resource: &str) -> Option<Quantity> {
        self.resource("requests", resource)
    }

    /// The most it may use of `resource` (`cpu`, `memory`); absent if it is unbounded or the figure is unreadable.
    pub fn limit(&self, resource: &str) -> Option<Quantity> {
        self.resource("limits", resource)
    }

    fn resource(&self, list: &str, resource: &str) -> Option<Quantity> {
        match self.value.get("resources")?.get(list)?.get(resource)? {
            Value::String(text) => Quantity::parse(text).ok(),
            Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The ports that it names; it may listen on others.
    pub fn ports(&self) -> impl Iterator<Item = ContainerPort<'a>> + use<'a> {
        items(Some(self.value), "ports").filter_map(|port| {
            let number = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
            Some(ContainerPort { name: text(port, "name"), port: number, protocol: protocol(port) })
        })
    }

    /// Its readiness probe.
    pub fn readiness_probe(&self) -> Option<Probe<'a>> {
        self.value.get("readinessProbe").map(Probe::of)
    }

    /// Its liveness probe.
    pub fn liveness_probe(&self) -> Option<Probe<'a>> {
        self.value.get("livenessProbe").map(Probe::of)
    }

    /// Its startup probe.
    pub fn startup_probe(&self) -> Option<Probe<'a>> {
        self.value.get("startupProbe").map(Probe::of)
    }
}

fn source(variable: &Value) -> EnvSource<'_> {
    let Some(from) = variable.get("valueFrom") else {
        return EnvSource::Value(text(variable, "value"));
    };
    let optional =
        |reference: &Value| reference.get("optional").and_then(Value::as_bool).unwrap_or(false);
    if let Some(reference) = from.get("configMapKeyRef") {
        EnvSource::ConfigMap {
            name: text(reference, "name"),
            key: text(reference, "key"),
            is_optional: optional(reference),
        }
    } else if let Some(reference) = from.get("secretKeyRef") {
        EnvSource::Secret {
            name: text(reference, "name"),
            key: text(reference, "key"),
            is_optional: optional(reference),
        }
    } else {
        EnvSource::Pod
    }
}

pub(super) fn protocol(port: &Value) -> &str {
    match text(port, "protocol") {
        "" => "TCP",
        protocol => protocol,
    }
}

impl<'a> PortRef<'a> {
    /// Reads a port as on the wire: a number or a name; absent where it is neither.
    pub fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self::Number(u16::try_from(number.as_u64()?).ok()?)),
            Value::String(name) if !name.is_empty() => Some(Self::Name(name)),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
    }

    /// The number that `container` means by this port; a number stands for itself.
    pub fn number_in(&self, container: &Container<'_>) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) => {
                container.ports().find(|port| port.name == *name).map(|port| port.port)
            }
        }
    }
}

impl<'a> Probe<'a> {
    /// Views `value`, a probe as on the wire.
    pub fn of(value: &'a Value) -> Self {
        let port = |check: &'a Value| check.get("port").and_then(PortRef::of);
        let check = if let Some(http) = value.get("httpGet") {
            let path = match text(http, "path") {
                "" => "/",
                path => path,
            };
            ProbeCheck::HttpGet { path, port: port(http) }
        } else if let Some(tcp) = value.get("tcpSocket") {
            ProbeCheck::TcpSocket { port: port(tcp) }
        } else if value.get("exec").is_some() {
            ProbeCheck::Exec
        } else {
            ProbeCheck::Other
        };
        let seconds = |field, absent| count(Some(value), field, absent);
        Self {
            check,
            initial_delay_seconds: seconds("initialDelaySeconds", 0),
            period_seconds: seconds("periodSeconds", 10),
            timeout_seconds: seconds("timeoutSeconds", 1),
            failure_threshold: seconds("failureThreshold", 3),
            success_threshold: seconds("successThreshold", 1),
        }
    }

    /// The port that the probe asks, if it asks one.
    pub fn port(&self) -> Option<PortRef<'a>> {
        match self.check {
            ProbeCheck::HttpGet { port, .. } | ProbeCheck::TcpSocket { port } => port,
            ProbeCheck::Exec | ProbeCheck::Other => None,
        }
    }
}
