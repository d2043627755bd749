//! The request and response types of the HTTP API.
//!
//! The server writes what the command line and the tests read, so all of them use these types. A list returns
//! [`ListResponse`] with short items; the route of a single resource returns everything. [`openapi`] turns the types into
//! components of the OpenAPI document.

#![warn(missing_docs)]

mod alert;
mod emergency_stop;
mod event;
mod experiment;
mod guardrail;
mod incident;
mod ingest;
mod learner;
mod list;
mod manifest;
pub mod openapi;
mod plan;
mod problem;
mod reason;
mod run;

pub use alert::{AlertItem, AlertResponse, AlertState};
pub use emergency_stop::{
    ClearEmergencyStopRequest, EmergencyStopItem, EmergencyStopsResponse, SetEmergencyStopRequest,
};
pub use event::{EventItem, RunEventItem};
pub use experiment::{
    CreateExperimentRequest, CreateExperimentResponse, DifferenceItem, ExperimentConclusion,
    ExperimentItem, ExperimentResponse, ExperimentResultsResponse, VariantItem,
};
pub use guardrail::{GuardrailItem, GuardrailResponse};
pub use incident::{
    IncidentItem, IncidentResponse, IncidentState, SimilarExecutionItem, SimilarExecutionsResponse,
    SimilarStepItem,
};
pub use ingest::{AlertmanagerRequest, IngestResponse};
pub use learner::{ArmItem, LearnerResponse};
pub use list::ListResponse;
pub use manifest::ValidateManifestResponse;
pub use openapi::OpenApiResponse;
pub use plan::{
    CandidateItem, CreatePlanRequest, DecisionItem, EvidenceItem, ExplainPlanResponse,
    FeedbackRequest, FeedbackResponse, PlanItem, PlanResponse,
};
pub use problem::ProblemResponse;
pub use reason::ReasonRequest;
pub use run::{RunItem, RunResponse};
