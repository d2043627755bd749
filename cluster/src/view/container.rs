use serde_json::Value;

use super::{count, items, text};
use crate::{Object, Quantity};

/// A view of one container of a pod or pod template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Container<'a> {
    value: &'a Value,
}

/// An environment variable of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvVar<'a> {
    /// Variable name.
    pub name: &'a str,
    /// Source of the value.
    pub source: EnvSource<'a>,
}

/// The source of the value of an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvSource<'a> {
    /// A literal value; empty if absent.
    Value(&'a str),
    /// A key of a ConfigMap in the same namespace.
    ConfigMap {
        /// Name of the ConfigMap.
        name: &'a str,
        /// Key within `data`.
        key: &'a str,
        /// Whether the container starts if the key does not exist.
        is_optional: bool,
    },
    /// A key of a Secret in the same namespace.
    Secret {
        /// Name of the Secret.
        name: &'a str,
        /// Key within `data`.
        key: &'a str,
        /// Whether the container starts if the key does not exist.
        is_optional: bool,
    },
    /// A field of the pod or a resource quantity of the container (downward API).
    Pod,
}

/// A declared port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerPort<'a> {
    /// Port name; empty if unnamed.
    pub name: &'a str,
    /// Port number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// A reference to a port by number or by the name of a container port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortRef<'a> {
    /// Port number.
    Number(u16),
    /// Name of a container port.
    Name(&'a str),
}

/// A health check of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe<'a> {
    /// Kind of the check.
    pub check: ProbeCheck<'a>,
    /// Seconds from the start of the container to the first check.
    pub initial_delay_seconds: u32,
    /// Seconds between two checks.
    pub period_seconds: u32,
    /// Timeout of a check in seconds.
    pub timeout_seconds: u32,
    /// Consecutive failures after which the probe counts as failed.
    pub failure_threshold: u32,
    /// Consecutive successes after which the probe counts as successful again.
    pub success_threshold: u32,
}

/// The kind of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeCheck<'a> {
    /// An HTTP GET request, successful for status 200 to 399.
    HttpGet {
        /// URL path.
        path: &'a str,
        /// Port; `None` if the field is malformed.
        port: Option<PortRef<'a>>,
    },
    /// A TCP connection, successful if it is established.
    TcpSocket {
        /// Port; `None` if the field is malformed.
        port: Option<PortRef<'a>>,
    },
    /// A command in the container, successful for exit code 0.
    Exec,
    /// Another kind (gRPC).
    Other,
}

/// Returns the containers of a pod, or of the pod template of a workload; empty for other objects.
///
/// Init containers are not included: see [`Container::all_init`].
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
    /// Returns a view of `value`, an element of `containers`.
    pub fn of(value: &'a Value) -> Self {
        Self { value }
    }

    /// Returns the init containers of a pod, or of the pod template of a workload.
    pub fn all_init(object: &'a Object) -> impl Iterator<Item = Container<'a>> {
        items(pod_spec(object), "initContainers").map(Container::of)
    }

    /// Returns the container of `object` with this name.
    pub fn named(object: &'a Object, name: &str) -> Option<Container<'a>> {
        containers(object).find(|container| container.name() == name)
    }

    /// Returns the underlying JSON value.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns the name.
    pub fn name(&self) -> &'a str {
        text(self.value, "name")
    }

    /// Returns the image.
    pub fn image(&self) -> &'a str {
        text(self.value, "image")
    }

    /// Returns the command; empty for the default of the image.
    pub fn command(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "command").filter_map(Value::as_str)
    }

    /// Returns the arguments of the command; empty for the default of the image.
    pub fn args(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "args").filter_map(Value::as_str)
    }

    /// Returns the environment variables in order. If a name is repeated, the last one is effective.
    pub fn env(&self) -> impl Iterator<Item = EnvVar<'a>> + use<'a> {
        items(Some(self.value), "env")
            .map(|variable| EnvVar { name: text(variable, "name"), source: source(variable) })
    }

    /// Returns the names of the ConfigMaps whose keys all become environment variables (`envFrom`).
    pub fn env_from_config_maps(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "envFrom")
            .filter_map(|from| from.pointer("/configMapRef/name")?.as_str())
    }

    /// Returns the names of the Secrets whose keys all become environment variables (`envFrom`).
    pub fn env_from_secrets(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        items(Some(self.value), "envFrom")
            .filter_map(|from| from.pointer("/secretRef/name")?.as_str())
    }

    /// Returns the request for `resource` (`cpu`, `memory`); `None` if it is absent or malformed.
    pub fn request(&self, resource: &str) -> Option<Quantity> {
        self.resource("requests", resource)
    }

    /// Returns the limit of `resource` (`cpu`, `memory`); `None` if it is absent or malformed.
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

    /// Returns the declared ports; the container may listen on others.
    pub fn ports(&self) -> impl Iterator<Item = ContainerPort<'a>> + use<'a> {
        items(Some(self.value), "ports").filter_map(|port| {
            let number = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
            Some(ContainerPort { name: text(port, "name"), port: number, protocol: protocol(port) })
        })
    }

    /// Returns the readiness probe.
    pub fn readiness_probe(&self) -> Option<Probe<'a>> {
        self.value.get("readinessProbe").map(Probe::of)
    }

    /// Returns the liveness probe.
    pub fn liveness_probe(&self) -> Option<Probe<'a>> {
        self.value.get("livenessProbe").map(Probe::of)
    }

    /// Returns the startup probe.
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
    /// Parses a port: a number or a name; `None` if it is neither.
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

    /// Resolves the port number in `container`; a number resolves to itself.
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
    /// Parses a probe from its JSON form.
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
        let number = |field, default| count(Some(value), field, default);
        Self {
            check,
            initial_delay_seconds: number("initialDelaySeconds", 0),
            period_seconds: number("periodSeconds", 10),
            timeout_seconds: number("timeoutSeconds", 1),
            failure_threshold: number("failureThreshold", 3),
            success_threshold: number("successThreshold", 1),
        }
    }

    /// Returns the port of an HTTP or TCP probe.
    pub fn port(&self) -> Option<PortRef<'a>> {
        match self.check {
            ProbeCheck::HttpGet { port, .. } | ProbeCheck::TcpSocket { port } => port,
            ProbeCheck::Exec | ProbeCheck::Other => None,
        }
    }
}
