/// A class of symptoms that the facts of an incident show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symptom {
    /// Containers crash repeatedly.
    Crash,
    /// An image cannot be pulled.
    Image,
    /// Configuration is missing.
    Config,
    /// Containers are killed because they exceed their memory limit.
    Memory,
    /// A readiness probe fails.
    Unready,
    /// Requests do not reach a Service.
    Service,
    /// A workload is scaled to zero.
    Replicas,
}

impl Symptom {
    /// Every symptom, in the order of the learner's features.
    pub const ALL: [Self; 7] = [
        Self::Crash,
        Self::Image,
        Self::Config,
        Self::Memory,
        Self::Unready,
        Self::Service,
        Self::Replicas,
    ];

    /// Name in features.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Image => "image",
            Self::Config => "config",
            Self::Memory => "memory",
            Self::Unready => "unready",
            Self::Service => "service",
            Self::Replicas => "replicas",
        }
    }
}
