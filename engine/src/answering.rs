//! What each input means to the engine, and what it is answered once that is durable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use planner::Retrieval as _;
use serde_json::json;
use tokio::sync::oneshot;
use workflow::entry::Review;
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::{ExperimentId, FeedbackId};
use workflow::incident::IncidentEvent;
use workflow::input::{Query, RefusedBecause};
use workflow::run::RunInput;
use workflow::{Answer, Delivery, Entry, Feedback, Incident, Input};

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

    async fn deliver(
        &mut self,
        deliveries: Vec<(Delivery, oneshot::Sender<Answer>)>,
    ) -> Result<(), Failure> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let now = self.time.now();
        let (mut events, mut answers) = (Vec::new(), Vec::new());
        for (delivery, back) in deliveries {
            let (mut alerts, mut incidents) = (Vec::new(), Vec::new());
            for alert in delivery.alerts {
                for event in self.folds.run_ahead(alert, now) {
                    match &event {
                        IncidentEvent::AlertFired { alert, .. } => alerts.push(alert.id.clone()),
                        IncidentEvent::AlertRepeated { alert, .. }
                        | IncidentEvent::AlertResolved { alert, .. } => alerts.push(alert.clone()),
                        IncidentEvent::ResolvedUnseen { alert, .. } => {
                            alerts.push(alert.id.clone())
                        }
                        IncidentEvent::Opened { .. }
                        | IncidentEvent::OwnerFound { .. }
                        | IncidentEvent::Merged { .. }
                        | IncidentEvent::Closed { .. } => {}
                    }
                    if let Some(incident) = event.incident()
                        && !incidents.contains(incident)
                    {
                        incidents.push(incident.clone());
                    }
                    events.push(event);
                }
            }
            answers.push((Answer::Received { alerts, incidents }, back));
        }
        let events = counted(events);
        self.folds.ran_ahead(events.len());
        self.record(now, events.into_iter().map(Entry::Incident).collect()).await?;
        for (answer, back) in answers {
            let _ = back.send(answer);
        }
        // Before anything else happens to a run: what it is for may have ended.
        self.tell_runs().await
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
                let Some(case) = self.folds.cases.of_plan(&plan) else {
                    return Ok(no_such("plan", plan.as_str()));
                };
                let Some(frozen) = case.plan.as_ref().filter(|frozen| frozen.id == plan) else {
                    return Ok(refused(
                        RefusedBecause::Conflict,
                        "plan_superseded",
                        "a newer plan took its place",
                        "review the newer plan",
                    ));
                };
                if frozen.digest != digest {
                    let message = format!(
                        "the plan's digest is {}, not the one that was reviewed",
                        frozen.digest
                    );
                    return Ok(refused(
                        RefusedBecause::Changed,
                        "plan_changed",
                        &message,
                        "read the plan again",
                    ));
                }
                if case.stage != Stage::AwaitingApproval {
                    return Ok(refused(
                        RefusedBecause::Conflict,
                        "not_awaiting_approval",
                        "the plan does not wait for approval",
                        "look at its status",
                    ));
                }
                if is_approved && !self.rules.guardrails.spec.autonomy.lets_run() {
                    return Ok(refused(
                        RefusedBecause::Conflict,
                        "suggested_only",
                        "under the guardrails in force plans are shown, and nothing runs",
                        "raise `autonomy` to `approve` or higher, then approve it",
                    ));
                }
                let review = Review { plan, digest, is_approved, by, reason };
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
            Input::Replan { incident, by } => {
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
                let Some(open) = self.folds.incidents.current(&incident).filter(itself).cloned()
                else {
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
            Input::ExperimentCreate { name, hypothesis, variants, alerts, alpha, minimum } => {
                let id = ExperimentId::derive(
                    now,
                    &name,
                    self.folds.experiments.experiments.len() as u64,
                );
                let status = ExperimentStatus::Draft;
                let experiment = Experiment {
                    id,
                    name,
                    hypothesis,
                    variants,
                    alerts,
                    alpha,
                    minimum,
                    status,
                    created_at: now,
                    started_at: None,
                    stopped_at: None,
                };
                if let Err(bad) = learner::experiment::check(&experiment) {
                    return Ok(refused(
                        RefusedBecause::Invalid,
                        "bad_experiment",
                        &bad.to_string(),
                        "two variants whose shares sum to 1, alpha in (0, 0.5]",
                    ));
                }
                let made = ExperimentEvent::Created { experiment: experiment.clone() };
                let answer = Answer::Experiment { experiment };
                self.conclude(now, request, Entry::Experiment(made), answer).await
            }
            Input::ExperimentStart { id } => {
                if let Some(other) = self.folds.experiments.in_the_way_of(&id) {
                    let message =
                        format!("the experiment {} runs, and shares alerts with it", other.id);
                    return Ok(refused(
                        RefusedBecause::Conflict,
                        "experiment_overlaps",
                        &message,
                        "stop that one first, or give each experiment alerts of its own",
                    ));
                }
                self.move_experiment(id, ExperimentStatus::Draft, now, |id, at| {
                    ExperimentEvent::Started { id, at }
                })
                .await
            }
            Input::ExperimentStop { id, reason } => {
                self.move_experiment(id, ExperimentStatus::Running, now, |id, at| {
                    ExperimentEvent::Stopped { id, at, reason }
                })
                .await
            }
            Input::Query(query) => Ok(self.query(&query)),
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

    async fn move_experiment(
        &mut self,
        id: ExperimentId,
        from: ExperimentStatus,
        now: Timestamp,
        event: impl FnOnce(ExperimentId, Timestamp) -> ExperimentEvent,
    ) -> Result<Answer, Failure> {
        match self.folds.experiments.experiments.get(&id) {
            None => return Ok(no_such("experiment", id.as_str())),
            Some(experiment) if experiment.status != from => {
                let message = format!("the experiment is {:?}", experiment.status).to_lowercase();
                return Ok(refused(
                    RefusedBecause::Conflict,
                    "experiment_status",
                    &message,
                    "start a draft; stop a running one",
                ));
            }
            Some(_) => {}
        }
        self.record(now, vec![Entry::Experiment(event(id.clone(), now))]).await?;
        let experiment = self.folds.experiments.experiments[&id].clone();
        Ok(Answer::Experiment { experiment })
    }

    fn query(&self, query: &Query) -> Answer {
        let value = match query {
            Query::ExperimentResults { id } => {
                let experiments = &self.folds.experiments;
                let Some(experiment) = experiments.experiments.get(id) else {
                    return no_such("experiment", id.as_str());
                };
                let exposures = experiments.exposures.get(id).cloned().unwrap_or_default();
                let outcomes: Vec<_> = exposures
                    .keys()
                    .filter_map(|incident| experiments.outcomes.get(incident).cloned())
                    .collect();
                let exposures: Vec<_> = exposures.into_iter().collect();
                json!(learner::experiment::results(experiment, &exposures, &outcomes))
            }
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

/// Repeats of one delivery within a batch become one event that counts.
fn counted(events: Vec<IncidentEvent>) -> Vec<IncidentEvent> {
    let mut kept: Vec<IncidentEvent> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        if let IncidentEvent::AlertRepeated { count, delivery, .. } = &event {
            if let Some(place) = places.get(delivery)
                && let IncidentEvent::AlertRepeated { count: kept, .. } = &mut kept[*place]
            {
                *kept += count;
                continue;
            }
            places.insert(delivery.clone(), kept.len());
        }
        kept.push(event);
    }
    kept
}

fn no_such(what: &str, id: &str) -> Answer {
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
