//! Handles inputs. Each command has a pure handler in a file of its own, which returns the entries to record and the
//! response, or a refusal; this module records the entries and sends the response once they are durable.

mod control;
mod experiment;
mod feedback;
mod ingest;
mod query;
pub(crate) mod replan;
mod review;

use jiff::Timestamp;
use tokio::sync::oneshot;
use workflow::entry::Review;
use workflow::experiment::{Experiment, ExperimentStatus};
use workflow::id::{ExperimentId, FeedbackId, IncidentId};
use workflow::run::RunInput;
use workflow::{Delivery, EngineResponse, Entry, Feedback, Guardrails, Input, Refusal, RequestKey};

use crate::engine::{Engine, EngineError, InboxMessage};
use replan::PlanRequest;

/// What a command leads to: the entries to record in one append and the response, or its refusal.
pub(crate) type Handled = Result<(Vec<Entry>, EngineResponse), Refusal>;

impl Engine {
    /// Handles messages: deliveries together in one append, the others one by one in order.
    pub(crate) async fn handle_messages(
        &mut self,
        messages: Vec<InboxMessage>,
    ) -> Result<(), EngineError> {
        let (mut deliveries, mut senders, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (input, reply_to) in messages {
            match input {
                Input::IngestAlerts(delivery) => {
                    deliveries.push(delivery);
                    senders.push(reply_to);
                }
                other => others.push((other, reply_to)),
            }
        }
        self.ingest(deliveries, senders).await?;
        for (input, reply_to) in others {
            self.handle_controls().await?;
            self.handle(input, reply_to).await?;
        }
        Ok(())
    }

    /// Ingests deliveries together and answers each once all are durable.
    async fn ingest(
        &mut self,
        deliveries: Vec<Delivery>,
        senders: Vec<oneshot::Sender<EngineResponse>>,
    ) -> Result<(), EngineError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let now = self.runtime.now();
        let (entries, responses) = ingest::handle(&self.folds.incidents, deliveries, now);
        self.record(now, entries).await?;
        for (response, reply_to) in responses.into_iter().zip(senders) {
            let _ = reply_to.send(response);
        }
        // Runs must learn about resolved alerts before anything else happens to them.
        self.notify_alert_status().await
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
            self.replan(incident, actor, request, reply_to);
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
        let handled = match input {
            // All are handled above: deliveries in `handle_messages`, and an idempotent request never contains another.
            Input::IngestAlerts(_) | Input::Idempotent { .. } | Input::Replan { .. } => {
                return Ok(EngineResponse::Done);
            }
            Input::Review { plan, digest, is_approved, actor, reason } => {
                let review = Review { plan, digest, is_approved, actor, reason };
                review::handle(&self.folds.cases, self.rules.guardrails.spec.autonomy, review)
            }
            Input::Control { run, control, actor, reason } => {
                return self.control(RunInput::Control { run, control, actor, reason }).await;
            }
            Input::Stop { scope, level, actor, reason } => {
                return self.control(RunInput::Stop { scope, level, actor, reason }).await;
            }
            Input::ClearStop { scope, actor, reason } => {
                return self.control(RunInput::ClearStop { scope, actor, reason }).await;
            }
            Input::Feedback { plan, rating, correction, comment, actor } => {
                let version = self.store.version(plan.as_str()).await?;
                let id = FeedbackId::derive(now, plan.as_str(), version);
                let feedback = Feedback { id, plan, rating, correction, comment, actor, at: now };
                feedback::handle(&self.folds.cases, feedback)
            }
            Input::Guardrails(guardrails) => return self.load_guardrails(now, guardrails).await,
            Input::ExperimentCreate { name, hypothesis, variants, alerts, alpha, minimum } => {
                let known = self.folds.experiments.experiments.len() as u64;
                experiment::create(Experiment {
                    id: ExperimentId::derive(now, &name, known),
                    name,
                    hypothesis,
                    variants,
                    alerts,
                    alpha,
                    minimum,
                    status: ExperimentStatus::Draft,
                    created_at: now,
                    started_at: None,
                    stopped_at: None,
                })
            }
            Input::ExperimentStart { id } => experiment::start(&self.folds.experiments, id, now),
            Input::ExperimentStop { id, reason } => {
                experiment::stop(&self.folds.experiments, id, reason, now)
            }
            Input::Query(query) => query::handle(&self.folds, self.policy.name(), &query)
                .map(|response| (Vec::new(), response)),
        };
        self.conclude(now, request, handled).await
    }

    /// Records what a command led to and returns its response. If the request has an idempotency key, the response is
    /// recorded in the same append; a refusal changes nothing and is not recorded.
    async fn conclude(
        &mut self,
        now: Timestamp,
        request: Option<RequestKey>,
        handled: Handled,
    ) -> Result<EngineResponse, EngineError> {
        let (mut entries, response) = match handled {
            Ok(handled) => handled,
            Err(refusal) => return Ok(refusal.into()),
        };
        entries.extend(
            request.map(|request| Entry::RequestAnswered { request, response: response.clone() }),
        );
        self.record(now, entries).await?;
        Ok(response)
    }

    /// Records guardrails, which are active from then on.
    async fn load_guardrails(
        &mut self,
        now: Timestamp,
        guardrails: Guardrails,
    ) -> Result<EngineResponse, EngineError> {
        self.record(now, vec![Entry::GuardrailsLoaded(guardrails.clone())]).await?;
        self.rules.guardrails = guardrails;
        Ok(EngineResponse::Done)
    }

    /// Starts to make another plan for an open incident. The plan that awaits approval is kept until a new one is frozen.
    fn replan(
        &mut self,
        incident: IncidentId,
        actor: String,
        key: Option<RequestKey>,
        reply_to: oneshot::Sender<EngineResponse>,
    ) {
        let waiting = self.planning.get(&incident).and_then(Option::as_ref);
        let (cases, incidents) = (&self.folds.cases, &self.folds.incidents);
        if let Err(refusal) = replan::handle(cases, incidents, waiting, &incident, key.as_ref()) {
            let _ = reply_to.send(refusal.into());
            return;
        }
        tracing::info!(%incident, actor, "new plan requested");
        let runs = cases.cases.get(&incident).map_or(0, |case| case.runs);
        let request = PlanRequest { actor, key, reply_to: vec![reply_to], runs };
        match self.planning.get_mut(&incident) {
            None => self.start_planning(&incident, Some(request)),
            Some(requested @ None) => *requested = Some(request),
            // A repetition of the request that is being handled.
            Some(Some(waiting)) => waiting.reply_to.extend(request.reply_to),
        }
    }

    /// Passes an operator's command to the fleet and returns the result.
    async fn control(&mut self, input: RunInput) -> Result<EngineResponse, EngineError> {
        let rejected = self.step(vec![input]).await?;
        Ok(match rejected.first() {
            Some(rejected) => control::refusal(rejected).into(),
            None => EngineResponse::Done,
        })
    }
}
