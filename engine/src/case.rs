//! Progress of each incident from decision to outcome. A pure fold of the record, so that a restarted process continues
//! where the last one stopped.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Digest, Health, ObjectRef};
use jiff::Timestamp;
use workflow::experiment::ExperimentEvent;
use workflow::guardrail::Autonomy;
use workflow::id::{AlertId, CandidateId, ExperimentId, IncidentId, PlanId, RunId};
use workflow::incident::IncidentEvent;
use workflow::outcome::ObservationWindow;
use workflow::plan::Candidate;
use workflow::run::RunStatus;
use workflow::{
    Decision, Entry, Event, Facts, Feedback, Outcome, PastExecution, Plan, Provenance, Source,
};

use crate::Settings;

/// Stage of an incident's handling.
#[derive(Clone, Debug, PartialEq)]
pub enum IncidentStage {
    /// A decision is due at this time.
    NeedsDecision(Timestamp),
    /// A plan awaits approval by an operator.
    AwaitingApproval,
    /// A plan is ready to be submitted.
    Ready,
    /// A plan is being executed.
    Running,
    /// The run ended, or the plan has no steps. The outcome is determined at this time at the latest.
    Stabilizing(Timestamp),
    /// The outcome is determined immediately, because the next decision depends on it.
    EvaluatingOutcome,
    /// The incident is resolved; a recurrence until this time counts against the plan.
    RecurrenceWatch(Timestamp),
    /// An operator must act; nothing happens automatically.
    Escalated,
    /// The handling has ended.
    Closed,
}

/// Handling of one incident: the plans, runs and outcomes so far.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentCase {
    pub incident: IncidentId,
    /// Number of earlier cases. Of the cases that are due, the oldest is processed first.
    pub sequence: usize,
    pub stage: IncidentStage,
    /// Whether the incident was closed or merged into another one: what is in progress is finished, nothing new is started.
    pub is_incident_closed: bool,
    /// Number of decisions made.
    pub attempt: u32,
    /// Number of runs started.
    pub runs: u32,
    /// Alerts that fired again during the recurrence window, with the time since which each fires.
    pub refired: BTreeMap<AlertId, Timestamp>,
    /// Content digests of the plans tried so far; a candidate with the same content is not tried again.
    pub tried_plans: BTreeSet<Digest>,
    /// Content digest of the last plan.
    pub plan_fingerprint: Option<Digest>,
    /// Whether the last run sent any change.
    pub has_acted: bool,
    /// Candidates of the current proposal, until one is chosen.
    candidates: BTreeMap<CandidateId, Candidate>,
    pub decision: Option<Decision>,
    pub plan: Option<Plan>,
    /// Run of the last plan.
    pub run: Option<RunId>,
    /// Target object according to the evidence.
    pub target: Option<ObjectRef>,
    /// Facts of the evidence.
    pub facts: Facts,
    /// Terms of the evidence by which similar past executions are retrieved.
    pub signature: Vec<String>,
    /// Name of the first alert.
    pub alert: String,
    /// Health before the decision, according to the evidence.
    pub health_before: Vec<(ObjectRef, Health)>,
    pub outcome: Option<Outcome>,
    /// Experiment and variant to which the incident is exposed.
    pub exposure: Option<(ExperimentId, String)>,
}

/// Cases of all incidents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncidentCases {
    /// By incident.
    pub cases: BTreeMap<IncidentId, IncidentCase>,
    /// Cases that are not closed.
    live: BTreeSet<IncidentId>,
    plans: BTreeMap<PlanId, IncidentId>,
    runs: BTreeMap<RunId, IncidentId>,
    /// Autonomy of the active guardrails.
    autonomy: Autonomy,
}

impl IncidentCases {
    /// Returns the case that a plan belongs to.
    pub fn by_plan(&self, plan: &PlanId) -> Option<&IncidentCase> {
        self.cases.get(self.plans.get(plan)?)
    }

    /// Returns the cases that are not closed, ordered by incident.
    pub fn live(&self) -> impl Iterator<Item = &IncidentCase> {
        self.live.iter().filter_map(|incident| self.cases.get(incident))
    }

    /// Returns an operator's correction of a plan as an execution to learn from.
    pub fn correction_execution(&self, feedback: &Feedback) -> Option<PastExecution> {
        let case = self.by_plan(&feedback.plan)?;
        let plan = case.plan.as_ref().filter(|plan| plan.id == feedback.plan)?;
        let workflow = feedback.correction.clone()?;
        Some(PastExecution {
            id: feedback.id.to_string(),
            outcome: workflow::outcome::OutcomeStatus::Resolved,
            reward: None,
            steps: Vec::new(),
            seconds_to_resolve: None,
            at: feedback.at,
            origin: Provenance::Feedback(feedback.actor.clone()),
            ..case.execution(plan, workflow)?
        })
    }

    /// Folds one entry.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry, settings: &Settings) {
        match entry {
            Entry::Incident(event) => self.apply_incident(at, event, settings),
            Entry::GuardrailsLoaded(guardrails) => self.autonomy = guardrails.spec.autonomy,
            Entry::EvidenceGathered(evidence) => {
                let autonomy = self.autonomy;
                self.update(&evidence.incident, |case| {
                    case.target.clone_from(&evidence.target);
                    case.facts.clone_from(&evidence.facts);
                    case.signature = planner::signature(evidence);
                    case.health_before.clone_from(&evidence.health);
                    // With `autonomy: observe` nothing is proposed; the operator gets the evidence only.
                    if autonomy == Autonomy::Observe
                        && matches!(case.stage, IncidentStage::NeedsDecision(_))
                    {
                        case.stage = IncidentStage::Escalated;
                    }
                })
            }
            Entry::Proposed { incident, candidates } => self.update(incident, |case| {
                case.candidates = candidates
                    .iter()
                    .map(|candidate| (candidate.id.clone(), candidate.clone()))
                    .collect();
            }),
            Entry::Decided(decision) => self.update(&decision.incident, |case| {
                case.attempt = decision.attempt;
                case.plan_fingerprint =
                    case.candidates.remove(&decision.chosen).map(|chosen| chosen.content_digest());
                case.tried_plans.extend(case.plan_fingerprint);
                // The other candidates are in the record and are not needed here.
                case.candidates.clear();
                case.decision = Some(decision.clone());
            }),
            Entry::PlanFrozen(plan) => {
                self.plans.insert(plan.id.clone(), plan.incident.clone());
                self.update(&plan.incident, |case| {
                    case.stage = if plan.source == Source::Escalate {
                        IncidentStage::Escalated
                    } else if plan.workflow.spec.steps.is_empty() {
                        IncidentStage::Stabilizing(at + settings.observation_timeout.signed())
                    } else if plan.needs_approval.is_some() {
                        IncidentStage::AwaitingApproval
                    } else {
                        IncidentStage::Ready
                    };
                    case.run = None;
                    case.plan = Some(plan.clone());
                });
            }
            Entry::PlanReviewed(review) => self.update_plan(&review.plan, |case| {
                if case.stage == IncidentStage::AwaitingApproval {
                    case.stage = if review.is_approved {
                        IncidentStage::Ready
                    } else {
                        IncidentStage::Escalated
                    };
                }
            }),
            Entry::PlanWithdrawn { plan, .. } => {
                self.update_plan(plan, |case| case.stage = IncidentStage::Closed)
            }
            Entry::Run { run, event } => self.apply_run(at, run, event, settings),
            Entry::Observed(outcome) => self.update(&outcome.incident, |case| {
                case.stage = match outcome.window {
                    // An escalated incident stays with the operator until it closes.
                    ObservationWindow::Stabilization if case.stage == IncidentStage::Escalated => {
                        IncidentStage::Escalated
                    }
                    ObservationWindow::Stabilization if outcome.resolved => {
                        IncidentStage::RecurrenceWatch(at + settings.recurrence_window.signed())
                    }
                    ObservationWindow::Recurrence if outcome.resolved => IncidentStage::Closed,
                    ObservationWindow::Stabilization | ObservationWindow::Recurrence
                        if case.is_incident_closed =>
                    {
                        IncidentStage::Closed
                    }
                    ObservationWindow::Stabilization | ObservationWindow::Recurrence => {
                        IncidentStage::NeedsDecision(at)
                    }
                };
                case.refired.clear();
                case.outcome = Some(outcome.clone());
            }),
            Entry::Experiment(ExperimentEvent::Exposed { id, incident, variant, .. }) => {
                self.update(incident, |case| case.exposure = Some((id.clone(), variant.clone())));
            }
            Entry::Experiment(
                ExperimentEvent::Created { .. }
                | ExperimentEvent::Started { .. }
                | ExperimentEvent::Stopped { .. },
            )
            | Entry::EpochClaimed { .. }
            | Entry::ClockJumped { .. }
            | Entry::Fleet(_)
            | Entry::FeedbackGiven(_)
            | Entry::RequestAnswered { .. }
            | Entry::ObjectHealthy { .. }
            | Entry::Executed(_)
            | Entry::HistoryImported { .. } => {}
        }
    }

    fn apply_incident(&mut self, at: Timestamp, event: &IncidentEvent, settings: &Settings) {
        match event {
            IncidentEvent::Opened { incident } => {
                let case = IncidentCase {
                    incident: incident.id.clone(),
                    sequence: self.cases.len(),
                    stage: IncidentStage::NeedsDecision(
                        incident.opened_at + settings.evidence_delay.signed(),
                    ),
                    is_incident_closed: false,
                    attempt: 0,
                    runs: 0,
                    refired: BTreeMap::new(),
                    tried_plans: BTreeSet::new(),
                    plan_fingerprint: None,
                    has_acted: false,
                    candidates: BTreeMap::new(),
                    decision: None,
                    plan: None,
                    run: None,
                    target: None,
                    facts: Facts::default(),
                    signature: Vec::new(),
                    alert: incident.first.name.clone(),
                    health_before: Vec::new(),
                    outcome: None,
                    exposure: None,
                };
                self.live.insert(incident.id.clone());
                self.cases.insert(incident.id.clone(), case);
            }
            // What is in progress continues under this incident; nothing new is started.
            IncidentEvent::Merged { incident, .. } | IncidentEvent::Closed { incident, .. } => self
                .update(incident, |case| {
                    case.is_incident_closed = true;
                    // The outcome of an escalation is determined before the case is closed.
                    let is_escalation =
                        case.plan.as_ref().is_some_and(|plan| plan.source == Source::Escalate);
                    match case.stage {
                        IncidentStage::NeedsDecision(_) => case.stage = IncidentStage::Closed,
                        IncidentStage::Escalated if !is_escalation => {
                            case.stage = IncidentStage::Closed
                        }
                        _ => {}
                    }
                }),
            IncidentEvent::AlertFired { incident, alert, .. } => self.update(incident, |case| {
                if matches!(case.stage, IncidentStage::RecurrenceWatch(_)) {
                    case.refired.entry(alert.id.clone()).or_insert(at);
                }
            }),
            IncidentEvent::AlertResolved { incident, alert, .. } => self.update(incident, |case| {
                case.refired.remove(alert);
            }),
            IncidentEvent::AlertRepeated { .. }
            | IncidentEvent::ResolvedWithoutFiring { .. }
            | IncidentEvent::OwnerFound { .. } => {}
        }
    }

    fn apply_run(&mut self, at: Timestamp, run: &RunId, event: &Event, settings: &Settings) {
        if let Event::Started { plan, .. } = event {
            self.runs.insert(run.clone(), plan.incident.clone());
            self.update(&plan.incident, |case| {
                case.stage = IncidentStage::Running;
                case.run = Some(run.clone());
                case.runs += 1;
                case.has_acted = false;
            });
        }
        if let Event::IntentWritten { .. } = event
            && let Some(incident) = self.runs.get(run).cloned()
        {
            self.update(&incident, |case| case.has_acted = true);
        }
        if let Event::Ended { status, requests_replan, .. } = event
            && let Some(incident) = self.runs.get(run).cloned()
        {
            self.update(&incident, |case| {
                // A plan whose run was cancelled before it changed anything counts as not tried.
                if *status == RunStatus::Cancelled
                    && !case.has_acted
                    && let Some(fingerprint) = &case.plan_fingerprint
                {
                    case.tried_plans.remove(fingerprint);
                }
                case.stage = if *status == RunStatus::Cancelled {
                    // An operator who cancels a run does not want another one to start automatically.
                    IncidentStage::Escalated
                } else if *requests_replan || *status == RunStatus::RolledBack {
                    // A rolled-back run cannot resolve the incident later, so there is nothing to wait for.
                    IncidentStage::EvaluatingOutcome
                } else {
                    IncidentStage::Stabilizing(at + settings.observation_timeout.signed())
                };
            });
        }
    }

    fn update(&mut self, incident: &IncidentId, change: impl FnOnce(&mut IncidentCase)) {
        let Some(case) = self.cases.get_mut(incident) else { return };
        change(case);
        if case.stage == IncidentStage::Closed {
            self.live.remove(incident);
        } else {
            self.live.insert(incident.clone());
        }
    }

    fn update_plan(&mut self, plan: &PlanId, change: impl FnOnce(&mut IncidentCase)) {
        let Some(incident) = self.plans.get(plan).cloned() else { return };
        self.update(&incident, |case| {
            // Only the last plan of a case affects it.
            if case.plan.as_ref().is_some_and(|last| last.id == *plan) {
                change(case);
            }
        });
    }
}

impl IncidentCase {
    /// Returns the last outcome as a past execution.
    pub fn finished_execution(&self, outcome: &Outcome) -> Option<PastExecution> {
        let plan = self.plan.as_ref().filter(|plan| plan.id == outcome.plan)?;
        let id = outcome.run.as_ref().map_or_else(|| outcome.id.to_string(), ToString::to_string);
        Some(PastExecution {
            id,
            outcome: outcome.status,
            reward: outcome.reward,
            steps: outcome.steps.clone(),
            seconds_to_resolve: outcome.seconds_to_resolve,
            at: outcome.at,
            origin: Provenance::Live,
            ..self.execution(plan, plan.workflow.clone())?
        })
    }

    /// Returns the context of an execution of `workflow`; the caller fills in the result.
    fn execution(&self, plan: &Plan, workflow: workflow::Workflow) -> Option<PastExecution> {
        Some(PastExecution {
            id: String::new(),
            alert: self.alert.clone(),
            target: self.target.clone()?,
            facts: self.facts.clone(),
            signature: self.signature.clone(),
            workflow,
            features: plan.features.clone(),
            outcome: workflow::outcome::OutcomeStatus::Unknown,
            reward: None,
            steps: Vec::new(),
            seconds_to_resolve: None,
            at: plan.created_at,
            origin: Provenance::Live,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::{Agent, Mode, Preconditions, Request, Verb};
    use serde_json::json;

    const INCIDENT: &str = "inc_01KDVFCY8R0WFBA0GDK9M9D8C7";
    const RUN: &str = "run_01KDVFCY8R2FH5C7GX3B9F9PP4";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    /// Cases with one incident whose run is in progress.
    fn running() -> IncidentCases {
        let mut cases = IncidentCases::default();
        let delivery = json!({"version": "4", "alerts": [{"status": "firing", "startsAt": at(0).to_string(),
            "labels": {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "a"}}]});
        let alert = workflow::alertmanager::parse(
            delivery.to_string().as_bytes(),
            &workflow::Limits::default(),
            at(0),
        );
        let mut opened = workflow::incident::decide(
            &workflow::Incidents::default(),
            &workflow::incident::IncidentInput::Alert(alert.unwrap().alerts.remove(0)),
            at(0),
        );
        if let IncidentEvent::Opened { incident } = &mut opened[0] {
            incident.id = INCIDENT.parse().unwrap();
        }
        cases.apply(at(0), &Entry::Incident(opened.remove(0)), &Settings::default());
        let run: RunId = RUN.parse().unwrap();
        cases.runs.insert(run.clone(), INCIDENT.parse().unwrap());
        let case = cases.cases.get_mut(&INCIDENT.parse().unwrap()).unwrap();
        (case.stage, case.run, case.runs) = (IncidentStage::Running, Some(run), 1);
        cases
    }

    fn stage_after(status: RunStatus, requests_replan: bool) -> IncidentStage {
        let mut cases = running();
        let event = Event::Ended { status, message: String::new(), requests_replan, at: at(60) };
        cases.apply(at(60), &Entry::Run { run: RUN.parse().unwrap(), event }, &Settings::default());
        cases.cases[&INCIDENT.parse().unwrap()].stage.clone()
    }

    #[test]
    fn cancelled_run_leaves_incident_escalated() {
        assert_eq!(stage_after(RunStatus::Cancelled, false), IncidentStage::Escalated);
        assert_eq!(stage_after(RunStatus::Cancelled, true), IncidentStage::Escalated);
    }

    #[test]
    fn plan_cancelled_before_any_change_is_not_tried() {
        let incident: IncidentId = INCIDENT.parse().unwrap();
        let fingerprint = Digest::of(b"a plan");
        let intent = Event::IntentWritten {
            step: "evict".into(),
            effect: "eff_01KDVFCY8R2FH5C7GX3B9F9PP4".parse().unwrap(),
            key: String::new(),
            attempt: 1,
            request: Request {
                target: ObjectRef::builtin("c", "Pod", Some("shop"), "a"),
                verb: Verb::Evict,
                preconditions: Preconditions::default(),
                mode: Mode::Commit,
                agent: Agent::default(),
            },
            at: at(30),
        };
        let tried_after = |events: Vec<Event>| {
            let mut cases = running();
            let case = cases.cases.get_mut(&incident).unwrap();
            (case.plan_fingerprint, case.tried_plans) = (Some(fingerprint), [fingerprint].into());
            for event in events {
                let entry = Entry::Run { run: RUN.parse().unwrap(), event };
                cases.apply(at(60), &entry, &Settings::default());
            }
            cases.cases[&incident].tried_plans.contains(&fingerprint)
        };
        let ended = |status| Event::Ended {
            status,
            message: String::new(),
            requests_replan: false,
            at: at(60),
        };
        assert!(!tried_after(vec![ended(RunStatus::Cancelled)]));
        assert!(tried_after(vec![intent, ended(RunStatus::Cancelled)]));
        assert!(tried_after(vec![ended(RunStatus::Failed)]));
    }

    #[test]
    fn closed_case_is_not_live() {
        let mut cases = running();
        let incident: IncidentId = INCIDENT.parse().unwrap();
        assert_eq!(cases.live().count(), 1);
        let closed = IncidentEvent::Closed { incident: incident.clone(), at: at(60) };
        cases.update(&incident, |case| case.stage = IncidentStage::NeedsDecision(at(60)));
        cases.apply(at(60), &Entry::Incident(closed), &Settings::default());
        assert_eq!(
            (cases.live().count(), &cases.cases[&incident].stage),
            (0, &IncidentStage::Closed)
        );
    }

    /// A rolled-back run is evaluated immediately, a successful one after the observation timeout.
    #[test]
    fn rolled_back_run_is_evaluated_immediately() {
        assert_eq!(stage_after(RunStatus::RolledBack, true), IncidentStage::EvaluatingOutcome);
        assert_eq!(stage_after(RunStatus::RolledBack, false), IncidentStage::EvaluatingOutcome);
        assert_eq!(
            stage_after(RunStatus::Succeeded, false),
            IncidentStage::Stabilizing(at(60) + Settings::default().observation_timeout.signed())
        );
    }
}
