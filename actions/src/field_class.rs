use cluster::{Difference, ObjectChange};

/// Class of a field that an action sets. The order is the one in which changes are reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldClass {
    /// A key of a ConfigMap.
    Config,
    /// The image of a container.
    Image,
    /// An environment variable of a container.
    Env,
    /// Requests and limits of a container.
    Resources,
    /// A probe of a container.
    Probe,
    /// Any other field of a pod template. Only a rollout undo reverts it.
    Template,
    /// The number of replicas of a workload.
    Replicas,
    /// The selector of a Service.
    Selector,
    /// The target port of a Service.
    Port,
}

impl FieldClass {
    /// Name in signatures of incidents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Image => "image",
            Self::Env => "env",
            Self::Resources => "resources",
            Self::Probe => "probe",
            Self::Template => "template",
            Self::Replicas => "replicas",
            Self::Selector => "selector",
            Self::Port => "port",
        }
    }

    /// Returns the class of the field that changed. `None` for a field that no action sets and no template matches.
    pub fn of(difference: &Difference) -> Option<Self> {
        let ObjectChange::Field { pointer, .. } = &difference.change else { return None };
        let parts: Vec<&str> = pointer.split('/').skip(1).collect();
        match (difference.object.kind.as_str(), parts.as_slice()) {
            ("ConfigMap", ["data", _]) => Some(Self::Config),
            ("Service", ["spec", "selector", ..]) => Some(Self::Selector),
            ("Service", ["spec", "ports", _, "targetPort"]) => Some(Self::Port),
            ("Deployment" | "StatefulSet", ["spec", "replicas"]) => Some(Self::Replicas),
            (
                "Deployment" | "StatefulSet" | "DaemonSet",
                ["spec", "template", "spec", "containers", _, rest @ ..],
            ) => Some(match rest {
                ["image"] => Self::Image,
                ["env", ..] => Self::Env,
                ["resources", ..] => Self::Resources,
                ["readinessProbe" | "livenessProbe", ..] => Self::Probe,
                _ => Self::Template,
            }),
            ("Deployment" | "StatefulSet" | "DaemonSet", ["spec", "template", ..]) => {
                Some(Self::Template)
            }
            _ => None,
        }
    }
}
