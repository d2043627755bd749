//! The words that every part of Chiron speaks.
//!
//! In the order of the line: an alert becomes an incident, an incident gathers evidence, evidence suggests candidates,
//! a decision chooses one, the chosen one is frozen as a plan, a plan runs, a run has an outcome, and outcome and
//! feedback teach. Everything is plain data, and every function here is pure.

pub mod alert;
pub mod alertmanager;
pub mod catalogue;
pub mod condition;
pub mod decision;
pub mod diagnostic;
pub mod duration;
pub mod entry;
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
pub mod validate;

// Kubernetes' words that the line speaks too; crates that name no more of Kubernetes than these depend on `workflow` alone.
pub use cluster::{
    Difference, Digest, Health, HealthLevel, Object, ObjectRef, canonical_json, digest_of_parts,
};

pub use alert::{Alert, AlertStatus, Defect, Delivery, Hints};
pub use catalogue::{ActionClass, ActionSpec, Args, Catalogue, Reversibility};
pub use condition::{Condition, Read};
pub use decision::{Decision, Mask};
pub use diagnostic::{Diagnostic, Severity};
pub use entry::{Draft, Entry};
pub use estimates::{Estimate, Estimates, StepEstimate};
pub use evidence::Evidence;
pub use expression::{Expression, Verdict};
pub use fact::{Fact, FactPattern, Facts, Predicate};
pub use features::{FeatureSchema, Features};
pub use feedback::Feedback;
pub use guardrail::{Footprint, Guardrails, Ledger};
pub use history::{PastExecution, Provenance};
pub use incident::{Incident, Incidents};
pub use input::{Answer, Input, RequestKey};
pub use limits::Limits;
pub use manifest::{Step, Template, Workflow};
pub use outcome::Outcome;
pub use plan::{Account, Candidate, Plan, Source};
pub use run::{Effect, Event, RunInput, RunStatus, RunView};
