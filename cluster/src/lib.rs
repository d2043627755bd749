//! Kubernetes data types, and the two ports through which the rest of Chiron accesses a cluster.
//!
//! Objects, references, patches, requests and replies are plain values. The two traits [`Cluster`] and [`Metrics`] are
//! the only way to do I/O; `contract` (feature `testing`) contains the tests that every implementation of them
//! has to pass.

#![warn(missing_docs)]

mod agent;
mod canonical;
#[cfg(feature = "testing")]
pub mod contract;
mod delegate;
mod difference;
mod digest;
mod health;
#[cfg(feature = "kube")]
mod kube;
mod list_all;
mod object;
mod object_key;
mod patch;
mod port;
mod quantity;
mod read;
mod reference;
mod reply;
mod request;
mod secret;
mod selector;
mod view;

pub use agent::Agent;
pub use canonical::{CanonicalJsonError, canonical_json};
pub use delegate::Delegate;
pub use difference::{Difference, ObjectChange, difference};
pub use digest::{Digest, ParseDigestError, digest_of_parts};
pub use health::{Health, HealthLevel, health};
pub use list_all::list_all;
pub use object::{InvalidObject, Metadata, Object, OwnerReference};
pub use object_key::{ObjectKey, ParseObjectKeyError};
pub use patch::{JsonOp, Patch, PatchError};
pub use port::{
    Cluster, Consistency, ListQuery, LogQuery, MetricQuery, Metrics, Page, ReadFailure, Sample,
    WatchEvent,
};
pub use quantity::{ParseQuantityError, Quantity};
pub use read::{ObjectQuery, check_target_cluster, read};
pub use reference::{Kind, ObjectRef};
pub use reply::{NotSent, ReadReply, WriteReply};
pub use request::{Mode, Preconditions, Request, Verb};
pub use secret::SecretKey;
pub use selector::{ParseSelectorError, Requirement, Selector};
pub use view::{
    Container, ContainerPort, ContainerState, ContainerStatus, Deployment, DeploymentStrategy,
    Endpoint, EndpointSlice, EnvSource, EnvVar, ObjectCondition, Pod, PodPhase, PortRef, Probe,
    ProbeCheck, ReplicaSet, Service, ServicePort, containers,
};

#[cfg(feature = "kube")]
pub use crate::kube::{ConnectError, KubeCluster, KubeLimits, KubeSource};
