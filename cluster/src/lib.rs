//! Kubernetes as data, and the two ports through which the rest of Chiron meets a cluster.
//!
//! Everything here is a value: objects, references, patches, requests and the answers to them. The two traits at the
//! end, [`Cluster`] and [`Metrics`], are the edge of the world; [`contract`] holds the promises that every
//! implementation of them keeps.

mod agent;
mod canonical;
pub mod contract;
mod difference;
mod digest;
mod health;
#[cfg(feature = "kube")]
mod kube;
mod object;
mod pages;
mod patch;
mod port;
mod quantity;
mod reference;
mod request;
mod secret;
mod selector;
mod view;

pub use agent::Agent;
pub use canonical::{NotCanonical, canonical_json};
pub use difference::{Change, Difference, difference};
pub use digest::{BadDigest, Digest, digest_of_parts};
pub use health::{Health, HealthLevel, health};
pub use object::{BadObject, Metadata, Object, OwnerReference};
pub use pages::list_all;
pub use patch::{JsonOp, Patch, PatchRefused};
pub use port::{
    Cluster, Consistency, ListQuery, LogQuery, MetricQuery, Metrics, Page, ReadFailure, Sample,
    WatchEvent,
};
pub use quantity::{BadQuantity, Quantity};
pub use reference::{Kind, ObjectRef};
pub use request::{Mode, Preconditions, Reply, Request, Verb};
pub use secret::SecretKey;
pub use selector::{BadSelector, Requirement, Selector};
pub use view::{
    Condition, Container, ContainerPort, ContainerState, ContainerStatus, Deployment, Endpoint,
    EndpointSlice, EnvSource, EnvVar, Pod, PodPhase, PortRef, Probe, ProbeCheck, ReplicaSet,
    Service, ServicePort, Strategy, containers,
};

#[cfg(feature = "kube")]
pub use crate::kube::{ConnectError, KubeCluster, KubeLimits, KubeSource};
