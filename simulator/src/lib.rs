//! A seeded Kubernetes in virtual time behind the ports of the cluster crate.
//!
//! [`World`] is the running thing: objects, controllers, kubelets, requests between services and alerting rules, moved
//! by discrete events. [`SimulatedCluster`] is all that a planner or an executor sees of it. Worlds and scenarios are
//! files; [`scenario::prepare`] makes a world with a fault in its future and the [`Oracle`] that judges what became of it.

mod alertmanager;
pub mod api;
mod authorize;
mod behaviour;
mod chance;
mod controller;
mod event;
mod file;
#[cfg(feature = "http")]
pub mod http;
mod interference;
mod kubelet;
mod metric;
mod names;
mod objects;
mod oracle;
mod port;
mod queue;
mod record;
mod routine;
mod rule;
pub mod scenario;
mod script;
mod stale;
mod tick;
mod traffic;
mod user;
mod world;

pub use alertmanager::Grouping;
pub use behaviour::{Behaviour, Call, Listener, Setting, Shape};
pub use file::{BadFile, WorkloadEntry, WorldFile, WorldSpec};
pub use interference::Interference;
pub use names::Naming;
pub use oracle::{Oracle, Verdict};
pub use port::SimulatedCluster;
pub use record::Record;
pub use routine::Routine;
pub use rule::{Comparison, FiringAlert, Rule};
pub use scenario::{Prepared, ScenarioFile};
pub use traffic::{Rhythm, Visitors};
pub use world::{Advance, AlertMode, Emission, Logged, World};
