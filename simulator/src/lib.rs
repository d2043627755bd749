//! A seeded discrete-event simulation of Kubernetes that implements the ports of the `cluster` crate.
//!
//! [`World`] is the simulation: objects, controllers, kubelets, requests between services, and alerting rules.
//! [`SimulatedCluster`] is the only interface that a planner or an executor has to it. Worlds and scenarios are
//! files; [`scenario::prepare`] creates a world with a scheduled fault, and the [`Oracle`] that evaluates the
//! response.

mod alertmanager;
pub mod api;
mod authorize;
mod behaviour;
mod controller;
mod dirty;
mod event;
mod file;
#[cfg(feature = "http")]
pub mod http;
mod injected_reply;
mod kubelet;
mod metric;
mod names;
mod objects;
mod oracle;
mod port;
mod queue;
mod recurring;
mod rng;
mod rule;
pub mod scenario;
mod script;
mod tick;
mod timeline;
mod trace;
mod traffic;
mod user;
mod world;

pub use alertmanager::Grouping;
pub use behaviour::{Behaviour, Listener, RequiredConfig, ServiceCall, ValueConstraint};
pub use file::{InvalidFile, WorkloadEntry, WorldFile, WorldSpec};
pub use injected_reply::InjectedReply;
pub use names::Naming;
pub use oracle::{Oracle, OracleResult};
pub use port::SimulatedCluster;
pub use recurring::RecurringEvent;
pub use rule::{FiringAlert, Rule, Threshold};
pub use scenario::{PreparedScenario, ScenarioFile};
pub use timeline::WorldTimeline;
pub use trace::Trace;
pub use traffic::{ClientTraffic, TrafficPattern};
pub use world::{Advance, AlertMode, Emission, LoggedRequest, World};
