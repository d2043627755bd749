//! What each input means to the engine, and what it is answered once that is durable. Deliveries and experiments have rooms
//! of their own.

use std::collections::BTreeMap;

use planner::Retrieval as _;
use serde_json::json;
use workflow::entry::Review;
use workflow::experiment::{Experiment, ExperimentStatus};
use workflow::id::{ExperimentId, FeedbackId, IncidentId};
use workflow::input::{Query, RefusedBecause};
use workflow::run::RunInput;
use workflow::{Answer, Entry, Feedback, Incident, Input, RequestKey};

use crate::case::Stage;
use crate::engine::{Engine, Failure, Message};

impl Engine {
    /// Takes messages: deliveries together in one append, the rest one by one in their order.
    pub(crate) async fn take(&mut self, messages: Vec<Message>) -> Result<(), Failure> {
        let (mut deliveries, mut others) = (Vec::new(), Vec::new());
        for (input, back) in messages {
            match input {
                Input::Deliver(delivery) => deliveries.push((delivery, back)),
                other => others.push((other, back)),
            }
        }
        self.deliver(deliveries).await?;
        for (input, back) in others {
            let answer = self.answer(input).await?;
            // Whoever asked may have gone away; what they asked for is done all the same.
            let _ = back.send(answer);
        }
        Ok(())
    }

    async fn answer(&mut self, input: Input) -> Result<Answer, Failure> {
        let now = self.time.now();
        let (input, request) = match input {
            Input::Once { request, input } => match self.answered(&request, now).await? {
                Some(answer) => return Ok(answer),
                None => (*input, Some(request)),
            },
            other => (other, None),
        };
        match input {
            // Deliveries are taken together, and a request has one name: both above.
            Input::Deliver(_) | Input::Once { .. } => Ok(Answer::Done),
            Input::Review { plan, digest, is_approved, by, reason } => {
                let review = Review { plan, digest, is_approved, by, reason };
                if let Some(refused) = self.cannot_be_reviewed(&review) {
                    return Ok(refused);
                }
                self.conclude(now, request, Entry::PlanReviewed(review), Answer::Done).await
            }
            Input::Control { run, control, by, reason } => {
                self.steer(RunInput::Control { run, control, by, reason }).await
            }
            Input::Stop { scope, level, by, reason } => {
                self.steer(RunInput::Stop { scope, level, by, reason }).await
            }
            Input::Resume { scope, by, reason } => {
                self.steer(RunInput::Resume { scope, by, reason }).await
            }
            Input::Feedback { plan, opinion, correction, comment, by } => {
                if self.folds.cases.of_plan(&plan).is_none() {
                    return Ok(no_such("plan", plan.as_str()));
                }
                let version = self.store.version(plan.as_str()).await?;
                let id = FeedbackId::derive(now, plan.as_str(), version);
                let feedback =
                    Feedback { id: id.clone(), plan, opinion, correction, comment, by, at: now };
                let answer = Answer::Feedback { id };
                self.conclude(now, request, Entry::FeedbackGiven(feedback), answer).await
            }
            Input::Guardrails(guardrails) => {
                self.record(now, vec![Entry::GuardrailsLoaded(guardrails.clone())]).await?;
                self.rules.guardrails = guardrails;
                Ok(Answer::Done)
            }
            Input::Replan { incident, by } => self.replan(incident, &by, request).await,
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

    /// Why a plan cannot be approved or rejected as somebody asks, if it cannot.
    fn cannot_be_reviewed(&self, review: &Review) -> Option<Answer> {
        let Some(case) = self.folds.cases.of_plan(&review.plan) else {
            return Some(no_such("plan", review.plan.as_str()));
        };
        let Some(frozen) = case.plan.as_ref().filter(|frozen| frozen.id == review.plan) else {
            return Some(refused(
                RefusedBecause::Conflict,
                "plan_superseded",
                "a newer plan took its place",
                "review the newer plan",
            ));
        };
        if frozen.digest != review.digest {
            let message =
                format!("the plan's digest is {}, not the one that was reviewed", frozen.digest);
            return Some(refused(
                RefusedBecause::Changed,
                "plan_changed",
                &message,
                "read the plan again",
            ));
        }
        if case.stage != Stage::AwaitingApproval {
            return Some(refused(
                RefusedBecause::Conflict,
                "not_awaiting_approval",
                "the plan does not wait for approval",
                "look at its status",
            ));
        }
        let may_run = !review.is_approved || self.rules.guardrails.spec.autonomy.lets_run();
        (!may_run).then(|| {
            refused(
                RefusedBecause::Conflict,
                "suggested_only",
                "under the guardrails in force plans are shown, and nothing runs",
                "raise `autonomy` to `approve` or higher, then approve it",
            )
        })
    }

    /// Makes another plan for an open incident because somebody asked for it.
    async fn replan(
        &mut self,
        incident: IncidentId,
        by: &str,
        request: Option<RequestKey>,
    ) -> Result<Answer, Failure> {
        let now = self.time.now();
        let Some(case) = self.folds.cases.cases.get(&incident) else {
            return Ok(no_such("incident", incident.as_str()));
        };
        if matches!(case.stage, Stage::Running | Stage::Ready) {
            return Ok(refused(
                RefusedBecause::Conflict,
                "running",
                "a plan of it runs",
                "wait for its end, or cancel it",
            ));
        }
        let itself = |open: &&Incident| open.id == incident;
        let Some(open) = self.folds.incidents.current(&incident).filter(itself).cloned() else {
            return Ok(refused(
                RefusedBecause::Conflict,
                "incident_over",
                "the incident is closed, or was merged into another",
                "ask for a plan for an open incident",
            ));
        };
        tracing::info!(%incident, %by, "a new plan was asked for");
        let plan = case.plan.clone().filter(|_| case.stage == Stage::AwaitingApproval);
        // The plan that waits stands until there is evidence for another one.
        let Some(evidence) = self.patiently(self.evidence(&open, now)).await else {
            return Ok(refused(
                RefusedBecause::Conflict,
                "no_evidence",
                "the cluster did not show in time what the incident is about",
                "ask again when the cluster answers",
            ));
        };
        if let Some(plan) = plan {
            let why = format!("{by} asked for another plan");
            let withdrawn = Entry::PlanWithdrawn { plan: plan.id, why };
            self.record(now, vec![withdrawn]).await?;
        }
        match self.plan_on(evidence, request).await? {
            Some(plan) => Ok(Answer::Planned { plan }),
            None => Ok(refused(
                RefusedBecause::Conflict,
                "no_plan",
                "nothing was proposed: evidence showed that the incident belongs to another one, or `autonomy` is `observe`",
                "show the incident, and the guardrails in force",
            )),
        }
    }

    /// Gives a person's word to the fleet and answers what came of it.
    async fn steer(&mut self, input: RunInput) -> Result<Answer, Failure> {
        if let Some(rejected) = self.step(vec![input]).await?.into_iter().next() {
            let because = match rejected {
                executor::Rejected::UnknownRun { .. } => RefusedBecause::NotFound,
                executor::Rejected::NoReason => RefusedBecause::Invalid,
                executor::Rejected::AlreadySubmitted { .. }
                | executor::Rejected::Ended { .. }
                | executor::Rejected::Ending { .. }
                | executor::Rejected::NotOpen { .. }
                | executor::Rejected::NotAsked { .. }
                | executor::Rejected::NotPaused { .. }
                | executor::Rejected::NotStopped { .. }
                | executor::Rejected::BadPlan { .. }
                | executor::Rejected::Runaway { .. } => RefusedBecause::Conflict,
            };
            return Ok(refused(because, "rejected", &rejected.to_string(), rejected.hint()));
        }
        Ok(Answer::Done)
    }

    fn query(&self, query: &Query) -> Answer {
        let value = match query {
            Query::ExperimentResults { id } => match self.folds.experiments.results(id) {
                Some(results) => json!(results),
                None => return no_such("experiment", id.as_str()),
            },
            Query::Similar { incident, top_k } => {
                let Some(case) = self.folds.cases.cases.get(incident) else {
                    return no_such("incident", incident.as_str());
                };
                json!(self.folds.retrieval.similar(&case.signature, *top_k))
            }
            Query::Learner => {
                let model = self.folds.learner.model();
                let arms: BTreeMap<&str, _> = model.arms().collect();
                json!({"observations": model.outcomes(), "digest": model.digest(), "policy": self.policy.name(), "arms": arms})
            }
        };
        Answer::Result { value }
    }
}

pub(crate) fn no_such(what: &str, id: &str) -> Answer {
    let id: String = id.chars().take(64).collect();
    refused(
        RefusedBecause::NotFound,
        "not_found",
        &format!("there is no {what} {id}"),
        "list to find its id",
    )
}

pub(crate) fn refused(because: RefusedBecause, code: &str, message: &str, hint: &str) -> Answer {
    Answer::Refused { because, code: code.into(), message: message.into(), hint: hint.into() }
}
