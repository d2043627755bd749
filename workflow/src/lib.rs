//! The domain types shared by every part of Chiron.
//!
//! In processing order: an alert opens an incident, evidence is gathered for the incident, candidates are proposed from
//! the evidence, a decision chooses one, the chosen candidate is frozen as a plan, the plan is run, the run has an
//! outcome, and the learner is trained with outcomes and feedback. All types are plain data, and every function is pure.

#![warn(missing_docs)]

pub mod alert;
pub mod alertmanager;
pub mod catalogue;
pub mod condition;
pub mod decision;
pub mod diagnostic;
pub mod duration;
pub mod emergency_stop;
pub mod entry;
pub mod error_code;
pub mod estimates;
pub mod evidence;
pub mod experiment;
pub mod expression;
pub mod fact;
pub mod features;
pub mod feedback;
pub mod guardrail;
pub mod history;
pub mod id;
pub mod incident;
pub mod input;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod outcome;
pub mod plan;
pub mod run;
pub mod seed;
pub mod step_graph;
pub mod text;
pub mod validate;

// Types of `cluster` that are part of this API. Crates that need no other Kubernetes types depend on `workflow` alone.
pub use cluster::{
    Difference, Digest, Health, HealthLevel, Object, ObjectRef, canonical_json, digest_of_parts,
};

pub use alert::{Alert, AlertStatus, AlertSubject, Defect, Delivery};
pub use catalogue::{ActionClass, ActionSpec, Args, Catalogue, Reversibility};
pub use condition::{Condition, Read};
pub use decision::{Decision, Mask};
pub use diagnostic::{Diagnostic, Severity};
pub use emergency_stop::{EmergencyStop, EmergencyStops};
pub use entry::{Draft, Entry};
pub use error_code::ErrorCode;
pub use estimates::{Estimate, Estimates, StepEstimate};
pub use evidence::Evidence;
pub use expression::{Expression, Truth};
pub use fact::{Fact, FactPattern, Facts, Predicate};
pub use features::{FeatureSchema, Features};
pub use feedback::Feedback;
pub use guardrail::{ChangeLog, Guardrails, Impact};
pub use history::{PastExecution, Provenance};
pub use incident::{Episode, Incident, Incidents};
pub use input::{EngineResponse, Input, Refusal, RequestKey};
pub use limits::Limits;
pub use manifest::{Step, Template, Workflow};
pub use outcome::Outcome;
pub use plan::{Candidate, OptimizationReport, Plan, PlanState, PlanStatus, Source};
pub use run::{Effect, Event, RunInput, RunStatus, RunView};
pub use step_graph::StepGraph;
