//! The error codes of the HTTP API, of rejected candidates and of actions.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stable error code: its meaning does not change, and it is not reused. `docs/errors.md` says for each how to fix the error.
///
/// Findings of the validator have codes of their own ([`crate::validate::Code`]), and so have errors of expressions
/// ([`crate::expression::ExpressionCode`]).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    // Request.
    /// `Host` is not a name of this server.
    UnknownHost,
    /// The bearer token is missing or wrong.
    Unauthorized,
    /// The path does not exist.
    RouteNotFound,
    /// The path does not support the method.
    MethodNotAllowed,
    /// The path is not percent-encoded UTF-8.
    InvalidPath,
    /// The id in the path has the wrong form.
    InvalidId,
    /// A query parameter is unknown or out of range.
    InvalidParameter,
    /// The cursor is not one of this list.
    InvalidCursor,
    /// `Last-Event-ID` is not a number.
    InvalidEventId,
    /// `Idempotency-Key` is empty, too long or not ASCII.
    InvalidIdempotencyKey,
    /// The key was used for another request within 24 hours.
    IdempotencyKeyReused,
    /// `If-Match` is missing.
    IfMatchMissing,
    /// `If-Match` is not a digest.
    InvalidIfMatch,
    // Body.
    /// The `Content-Type` is not the expected one.
    UnsupportedMediaType,
    /// The `Content-Encoding` is not gzip or identity.
    UnsupportedEncoding,
    /// The body is not valid gzip.
    InvalidGzip,
    /// The decoded body exceeds the limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body ended early.
    BodyIncomplete,
    /// The body is empty.
    EmptyBody,
    /// The body is not JSON in UTF-8.
    NotJson,
    /// The JSON is nested too deep.
    Depth,
    /// An object has a key twice.
    DuplicateKey,
    /// The body is not a delivery of Alertmanager.
    NotAlertmanager,
    /// A field is missing, unknown or of the wrong type.
    InvalidBody,
    /// `reason` is empty.
    ReasonMissing,
    /// `actor` is empty or longer than 128 characters.
    InvalidActor,
    /// A text is longer than 4,096 characters.
    TextTooLong,
    /// The scope of an emergency stop is invalid.
    InvalidScope,
    /// The feedback has no content.
    EmptyFeedback,
    /// The correction is not a valid workflow.
    InvalidWorkflow,
    // State.
    /// The resource does not exist.
    NotFound,
    /// The plan has another digest than the one that was reviewed.
    PlanChanged,
    /// A newer plan replaced the plan.
    PlanSuperseded,
    /// The plan does not wait for approval.
    NotAwaitingApproval,
    /// The guardrails allow no execution of plans.
    SuggestedOnly,
    /// Another client requested a plan for the incident.
    Planning,
    /// A plan of the incident is being executed.
    Running,
    /// The incident is closed or was merged.
    IncidentClosed,
    /// No plan was made: the incident belongs to another one, or `autonomy` is `observe`.
    NoPlan,
    /// Evidence could not be collected in time.
    NoEvidence,
    /// The run or emergency stop does not allow the command; `detail` says why.
    Rejected,
    /// The variants, shares or `alpha` are invalid.
    InvalidExperiment,
    /// A running experiment includes the same alerts.
    ExperimentOverlaps,
    /// The status does not allow the command.
    ExperimentStatus,
    // Server.
    /// The queue of inputs is full; nothing was recorded.
    QueueFull,
    /// The engine did not respond in time.
    EngineTimeout,
    /// The engine accepts no more inputs.
    EngineStopped,
    /// The record cannot be read.
    StoreUnavailable,
    /// A bug.
    InternalError,
    /// Demo only: the fault family does not exist.
    UnknownFamily,
    /// Demo only: no workload can have the fault.
    FaultNotApplicable,
    /// Demo only: the journal cannot be written.
    FaultInjectionFailed,
    // Rejected candidates.
    /// The workflow has no steps.
    NoSteps,
    /// The workflow has more than 256 steps.
    TooManySteps,
    /// Two steps have the same id.
    DuplicateStep,
    /// `needs` names a step that does not exist.
    UnknownNeed,
    /// The steps depend on each other in a cycle.
    Cycle,
    /// The action is not in the catalogue.
    UnknownAction,
    /// The arguments do not match the action's schema, or the target has the wrong kind.
    InvalidArguments,
    /// The target is a placeholder that only the run can resolve.
    UnresolvedArgument,
    /// The object that the alert is about was not found.
    NoTarget,
    /// The target and its neighbours are healthy, so there is nothing to fix.
    TargetHealthy,
    /// A step acts on an object that the evidence does not contain.
    TargetUnknown,
    /// A step acts on an object that is not related to the target of the alert.
    TargetUnrelated,
    /// No fact meets a precondition of the action.
    PreconditionUnmet,
    /// The workload has not run this image before.
    ImageUnknown,
    /// A guardrail denies a step; the message names its field or rule.
    GuardrailDenied,
    /// The API server refused the change in a dry run, for example for a missing permission.
    DryRunRefused,
    /// The result of the dry run is unknown.
    DryRunUnknown,
    /// The dry run took too long.
    DryRunTimeout,
    /// The same plan was tried for this incident before.
    AlreadyTried,
    /// The incident reached `maxRunsPerIncident`.
    TooManyRuns,
    // Actions.
    /// The target is being deleted.
    Terminating,
    /// The value is not the expected one: another writer changed it; it is not modified.
    ChangedConcurrently,
    /// Another writer changed the object before each of three retries.
    Conflict,
    /// The API server rejected the request.
    Refused,
    /// The request was not sent: it is for another cluster, it is invalid, or the journal of the simulated world cannot be written.
    NotSent,
    /// What the read returned is too large for the record, so no decision may depend on it.
    NotRecordable,
    /// The API server throttles requests.
    Throttled,
    /// The API server cannot be reached, or did not respond; an unknown outcome is resolved by a read.
    Unavailable,
    /// The API server sent an unexpected response.
    UnexpectedReply,
    /// The rollout is paused, so a change has no effect.
    Paused,
    /// The pod template has no such container.
    NoContainer,
    /// The Service has no such port.
    NoPort,
    /// The rollout revision does not exist.
    NoRevision,
    /// The ReplicaSets could not be listed, so the revisions are unknown.
    Unreadable,
    /// The ConfigMap is immutable.
    Immutable,
    /// The key is in `binaryData`.
    Binary,
}

impl ErrorCode {
    /// All codes, in the order of `docs/errors.md`.
    pub const ALL: [Self; 89] = [
        Self::UnknownHost,
        Self::Unauthorized,
        Self::RouteNotFound,
        Self::MethodNotAllowed,
        Self::InvalidPath,
        Self::InvalidId,
        Self::InvalidParameter,
        Self::InvalidCursor,
        Self::InvalidEventId,
        Self::InvalidIdempotencyKey,
        Self::IdempotencyKeyReused,
        Self::IfMatchMissing,
        Self::InvalidIfMatch,
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::InvalidGzip,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::BodyIncomplete,
        Self::EmptyBody,
        Self::NotJson,
        Self::Depth,
        Self::DuplicateKey,
        Self::NotAlertmanager,
        Self::InvalidBody,
        Self::ReasonMissing,
        Self::InvalidActor,
        Self::TextTooLong,
        Self::InvalidScope,
        Self::EmptyFeedback,
        Self::InvalidWorkflow,
        Self::NotFound,
        Self::PlanChanged,
        Self::PlanSuperseded,
        Self::NotAwaitingApproval,
        Self::SuggestedOnly,
        Self::Planning,
        Self::Running,
        Self::IncidentClosed,
        Self::NoPlan,
        Self::NoEvidence,
        Self::Rejected,
        Self::InvalidExperiment,
        Self::ExperimentOverlaps,
        Self::ExperimentStatus,
        Self::QueueFull,
        Self::EngineTimeout,
        Self::EngineStopped,
        Self::StoreUnavailable,
        Self::InternalError,
        Self::UnknownFamily,
        Self::FaultNotApplicable,
        Self::FaultInjectionFailed,
        Self::NoSteps,
        Self::TooManySteps,
        Self::DuplicateStep,
        Self::UnknownNeed,
        Self::Cycle,
        Self::UnknownAction,
        Self::InvalidArguments,
        Self::UnresolvedArgument,
        Self::NoTarget,
        Self::TargetHealthy,
        Self::TargetUnknown,
        Self::TargetUnrelated,
        Self::PreconditionUnmet,
        Self::ImageUnknown,
        Self::GuardrailDenied,
        Self::DryRunRefused,
        Self::DryRunUnknown,
        Self::DryRunTimeout,
        Self::AlreadyTried,
        Self::TooManyRuns,
        Self::Terminating,
        Self::ChangedConcurrently,
        Self::Conflict,
        Self::Refused,
        Self::NotSent,
        Self::NotRecordable,
        Self::Throttled,
        Self::Unavailable,
        Self::UnexpectedReply,
        Self::Paused,
        Self::NoContainer,
        Self::NoPort,
        Self::NoRevision,
        Self::Unreadable,
        Self::Immutable,
        Self::Binary,
    ];

    /// Returns the code as it is shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownHost => "unknown_host",
            Self::Unauthorized => "unauthorized",
            Self::RouteNotFound => "route_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::InvalidPath => "invalid_path",
            Self::InvalidId => "invalid_id",
            Self::InvalidParameter => "invalid_parameter",
            Self::InvalidCursor => "invalid_cursor",
            Self::InvalidEventId => "invalid_event_id",
            Self::InvalidIdempotencyKey => "invalid_idempotency_key",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IfMatchMissing => "if_match_missing",
            Self::InvalidIfMatch => "invalid_if_match",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::InvalidGzip => "invalid_gzip",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::EmptyBody => "empty_body",
            Self::NotJson => "not_json",
            Self::Depth => "depth",
            Self::DuplicateKey => "duplicate_key",
            Self::NotAlertmanager => "not_alertmanager",
            Self::InvalidBody => "invalid_body",
            Self::ReasonMissing => "reason_missing",
            Self::InvalidActor => "invalid_actor",
            Self::TextTooLong => "text_too_long",
            Self::InvalidScope => "invalid_scope",
            Self::EmptyFeedback => "empty_feedback",
            Self::InvalidWorkflow => "invalid_workflow",
            Self::NotFound => "not_found",
            Self::PlanChanged => "plan_changed",
            Self::PlanSuperseded => "plan_superseded",
            Self::NotAwaitingApproval => "not_awaiting_approval",
            Self::SuggestedOnly => "suggested_only",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::IncidentClosed => "incident_closed",
            Self::NoPlan => "no_plan",
            Self::NoEvidence => "no_evidence",
            Self::Rejected => "rejected",
            Self::InvalidExperiment => "invalid_experiment",
            Self::ExperimentOverlaps => "experiment_overlaps",
            Self::ExperimentStatus => "experiment_status",
            Self::QueueFull => "queue_full",
            Self::EngineTimeout => "engine_timeout",
            Self::EngineStopped => "engine_stopped",
            Self::StoreUnavailable => "store_unavailable",
            Self::InternalError => "internal_error",
            Self::UnknownFamily => "unknown_family",
            Self::FaultNotApplicable => "fault_not_applicable",
            Self::FaultInjectionFailed => "fault_injection_failed",
            Self::NoSteps => "no_steps",
            Self::TooManySteps => "too_many_steps",
            Self::DuplicateStep => "duplicate_step",
            Self::UnknownNeed => "unknown_need",
            Self::Cycle => "cycle",
            Self::UnknownAction => "unknown_action",
            Self::InvalidArguments => "invalid_arguments",
            Self::UnresolvedArgument => "unresolved_argument",
            Self::NoTarget => "no_target",
            Self::TargetHealthy => "target_healthy",
            Self::TargetUnknown => "target_unknown",
            Self::TargetUnrelated => "target_unrelated",
            Self::PreconditionUnmet => "precondition_unmet",
            Self::ImageUnknown => "image_unknown",
            Self::GuardrailDenied => "guardrail_denied",
            Self::DryRunRefused => "dry_run_refused",
            Self::DryRunUnknown => "dry_run_unknown",
            Self::DryRunTimeout => "dry_run_timeout",
            Self::AlreadyTried => "already_tried",
            Self::TooManyRuns => "too_many_runs",
            Self::Terminating => "terminating",
            Self::ChangedConcurrently => "changed_concurrently",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::NotRecordable => "not_recordable",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::UnexpectedReply => "unexpected_reply",
            Self::Paused => "paused",
            Self::NoContainer => "no_container",
            Self::NoPort => "no_port",
            Self::NoRevision => "no_revision",
            Self::Unreadable => "unreadable",
            Self::Immutable => "immutable",
            Self::Binary => "binary",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_stored_as_it_is_shown() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
