//! Handles inputs; the response is sent once the result is durable. Deliveries are in `ingest`, experiments in
//! `experiments`.

use std::collections::BTreeMap;

use planner::Retrieval as _;
use serde_json::json;
use tokio::sync::oneshot;
use workflow::entry::Review;
use workflow::experiment::{Experiment, ExperimentStatus};
use workflow::id::{ExperimentId, FeedbackId, IncidentId};
use workflow::input::{ErrorKind, Query};
use workflow::run::RunInput;
use workflow::{EngineResponse, Entry, Feedback, Input, RequestKey};

use crate::case::IncidentStage;
use crate::engine::{Engine, EngineError, InboxMessage};
use crate::planning::PlanRequest;

impl Engine {
    /// Handles messages: deliveries together in one append, the others one by one in order.
    pub(crate) async fn handle_messages(
        &mut self,
        messages: Vec<InboxMessage>,
    ) -> Result<(), EngineError> {
        let (mut deliveries, mut others) = (Vec::new(), Vec::new());
        for (input, reply_to) in messages {
            match input {
                Input::IngestAlerts(delivery) => deliveries.push((delivery, reply_to)),
                other => others.push((other, reply_to)),
            }
        }
        self.ingest(deliveries).await?;
        for (input, reply_to) in others {
            self.handle_controls().await?;
            self.handle(input, reply_to).await?;
        }
        Ok(())
    }

    /// Handles one input and sends the response; that to a requested plan is sent when the plan is made.
    pub(crate) async fn handle(
        &mut self,
        input: Input,
        reply_to: oneshot::Sender<EngineResponse>,
    ) -> Result<(), EngineError> {
        let now = self.runtime.now();
        let (input, request) = match input {
            Input::Idempotent { request, input } => {
                if let Some(response) = self.recorded_response(&request, now).await? {
                    let _ = reply_to.send(response);
                    return Ok(());
                }
                (*input, Some(request))
            }
            other => (other, None),
        };
        if let Input::Replan { incident, actor } = input {
            let runs = self.folds.cases.cases.get(&incident).map_or(0, |case| case.runs);
            self.replan(
                incident,
                PlanRequest { actor, key: request, reply_to: vec![reply_to], runs },
            );
            return Ok(());
        }
        let response = self.respond(input, request).await?;
        // The client may have disconnected; its request is processed anyway.
        let _ = reply_to.send(response);
        Ok(())
    }

    async fn respond(
        &mut self,
        input: Input,
        request: Option<RequestKey>,
    ) -> Result<EngineResponse, EngineError> {
        let now = self.runtime.now();
        match input {
            // All are handled above: deliveries in `handle_messages`, and an idempotent request never contains another.
            Input::IngestAlerts(_) | Input::Idempotent { .. } | Input::Replan { .. } => {
                Ok(EngineResponse::Done)
            }
            Input::Review { plan, digest, is_approved, actor, reason } => {
                let review = Review { plan, digest, is_approved, actor, reason };
                if let Some(response) = self.review_error(&review) {
                    return Ok(response);
                }
                self.conclude(now, request, Entry::PlanReviewed(review), EngineResponse::Done).await
            }
            Input::Control { run, control, actor, reason } => {
                self.control_run(RunInput::Control { run, control, actor, reason }).await
            }
            Input::Stop { scope, level, actor, reason } => {
                self.control_run(RunInput::Stop { scope, level, actor, reason }).await
            }
            Input::ClearStop { scope, actor, reason } => {
                self.control_run(RunInput::ClearStop { scope, actor, reason }).await
            }
            Input::Feedback { plan, rating, correction, comment, actor } => {
                if self.folds.cases.by_plan(&plan).is_none() {
                    return Ok(not_found("plan", plan.as_str()));
                }
                let version = self.store.version(plan.as_str()).await?;
                let id = FeedbackId::derive(now, plan.as_str(), version);
                let feedback =
                    Feedback { id: id.clone(), plan, rating, correction, comment, actor, at: now };
                let response = EngineResponse::Feedback { id };
                self.conclude(now, request, Entry::FeedbackGiven(feedback), response).await
            }
            Input::Guardrails(guardrails) => {
                self.record(now, vec![Entry::GuardrailsLoaded(guardrails.clone())]).await?;
                self.rules.guardrails = guardrails;
                Ok(EngineResponse::Done)
            }
            Input::ExperimentCreate { name, hypothesis, variants, alerts, alpha, minimum } => {
                let id = ExperimentId::derive(
                    now,
                    &name,
                    self.folds.experiments.experiments.len() as u64,
                );
                let status = ExperimentStatus::Draft;
                let (created_at, started_at, stopped_at) = (now, None, None);
                self.create_experiment(
                    Experiment {
                        id,
                        name,
                        hypothesis,
                        variants,
                        alerts,
                        alpha,
                        minimum,
                        status,
                        created_at,
                        started_at,
                        stopped_at,
                    },
                    request,
                )
                .await
            }
            Input::ExperimentStart { id } => self.start_experiment(id).await,
            Input::ExperimentStop { id, reason } => self.stop_experiment(id, reason).await,
            Input::Query(query) => Ok(self.query(&query)),
        }
    }

    /// Returns the error response for a review that is not possible, if so.
    fn review_error(&self, review: &Review) -> Option<EngineResponse> {
        let Some(case) = self.folds.cases.by_plan(&review.plan) else {
            return Some(not_found("plan", review.plan.as_str()));
        };
        let Some(frozen) = case.plan.as_ref().filter(|frozen| frozen.id == review.plan) else {
            return Some(refused(
                ErrorKind::Conflict,
                "plan_superseded",
                "the plan was superseded by a newer plan",
                "review the newer plan",
            ));
        };
        if frozen.digest != review.digest {
            let message = format!(
                "the plan's digest is {}, which is not the digest that was reviewed",
                frozen.digest
            );
            return Some(refused(
                ErrorKind::Changed,
                "plan_changed",
                &message,
                "read the plan again",
            ));
        }
        if case.stage != IncidentStage::AwaitingApproval {
            return Some(refused(
                ErrorKind::Conflict,
                "not_awaiting_approval",
                "the plan does not await approval",
                "show the plan to see its status",
            ));
        }
        let is_allowed =
            !review.is_approved || self.rules.guardrails.spec.autonomy.allows_execution();
        (!is_allowed).then(|| {
            refused(
                ErrorKind::Conflict,
                "suggested_only",
                "the active guardrails do not allow execution of plans",
                "set `autonomy` to `approve` or higher in the guardrails, then approve the plan",
            )
        })
    }

    /// Starts to make another plan for an open incident. The plan that awaits approval is kept until the evidence for a new one
    /// is available.
    fn replan(&mut self, incident: IncidentId, request: PlanRequest) {
        if let Some(error) = self.replan_error(&incident) {
            request.reply_to.into_iter().for_each(|reply_to| drop(reply_to.send(error.clone())));
            return;
        }
        tracing::info!(%incident, actor = request.actor, "new plan requested");
        match self.planning.get_mut(&incident) {
            None => self.start_planning(&incident, Some(request)),
            Some(requested @ None) => *requested = Some(request),
            // A repetition of the request that is being handled.
            Some(Some(waiting)) if waiting.key.is_some() && waiting.key == request.key => {
                waiting.reply_to.extend(request.reply_to);
            }
            Some(Some(_)) => {
                let busy = refused(
                    ErrorKind::Conflict,
                    "planning",
                    "another client requested a plan for the incident, which is being made",
                    "list the plans of the incident in a few seconds",
                );
                request.reply_to.into_iter().for_each(|reply_to| drop(reply_to.send(busy.clone())));
            }
        }
    }

    /// Passes an operator's command to the fleet and returns the result.
    async fn control_run(&mut self, input: RunInput) -> Result<EngineResponse, EngineError> {
        if let Some(rejected) = self.step(vec![input]).await?.into_iter().next() {
            let kind = match rejected {
                executor::Rejected::UnknownRun { .. } => ErrorKind::NotFound,
                executor::Rejected::MissingReason => ErrorKind::Invalid,
                executor::Rejected::AlreadySubmitted { .. }
                | executor::Rejected::Ended { .. }
                | executor::Rejected::AlreadyEnding { .. }
                | executor::Rejected::NotPending { .. }
                | executor::Rejected::NoApprovalRequested { .. }
                | executor::Rejected::NotPaused { .. }
                | executor::Rejected::NotStopped { .. }
                | executor::Rejected::InvalidPlan { .. }
                | executor::Rejected::Runaway { .. } => ErrorKind::Conflict,
            };
            return Ok(refused(kind, "rejected", &rejected.to_string(), rejected.hint()));
        }
        Ok(EngineResponse::Done)
    }

    fn query(&self, query: &Query) -> EngineResponse {
        let value = match query {
            Query::ExperimentResults { id } => match self.folds.experiments.results(id) {
                Some(results) => json!(results),
                None => return not_found("experiment", id.as_str()),
            },
            Query::Similar { incident, top_k } => {
                let Some(case) = self.folds.cases.cases.get(incident) else {
                    return not_found("incident", incident.as_str());
                };
                json!(self.folds.retrieval.similar(&case.signature, *top_k))
            }
            Query::Learner => {
                let model = self.folds.learner.model();
                let arms: BTreeMap<&str, _> = model.arms().collect();
                json!({"observations": model.outcomes(), "digest": model.digest(), "policy": self.policy.name(), "arms": arms})
            }
        };
        EngineResponse::Result { value }
    }
}

pub(crate) fn not_found(what: &str, id: &str) -> EngineResponse {
    let id: String = id.chars().take(64).collect();
    refused(
        ErrorKind::NotFound,
        "not_found",
        &format!("{what} {id} does not exist"),
        &format!("list the {what}s to find its id"),
    )
}

pub(crate) fn refused(kind: ErrorKind, code: &str, message: &str, hint: &str) -> EngineResponse {
    EngineResponse::Refused { kind, code: code.into(), message: message.into(), hint: hint.into() }
}
