//! Folds the record into the cases.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use workflow::experiment::ExperimentEvent;
use workflow::guardrail::Autonomy;
use workflow::id::{IncidentId, PlanId};
use workflow::incident::IncidentEvent;
use workflow::outcome::ObservationWindow;
use workflow::{
    Decision, Entry, Event, Incident, Outcome, Plan, PlanState, PlanStatus, RunStatus, Source,
};

use super::{
    Deciding, EvidenceSummary, IncidentCase, IncidentCases, IncidentStage, PlannedAttempt,
};
use crate::Settings;

impl IncidentCases {
    /// Folds one entry.
    pub fn apply(&mut self, at: Timestamp, entry: &Entry, settings: &Settings) {
        match entry {
            Entry::Incident(event) => self.apply_incident(at, event, settings),
            Entry::GuardrailsLoaded(guardrails) => self.autonomy = guardrails.spec.autonomy,
            Entry::EvidenceGathered(evidence) => {
                let autonomy = self.autonomy;
                self.update(&evidence.incident, |case| {
                    case.evidence = EvidenceSummary {
                        target: evidence.target.clone(),
                        facts: evidence.facts.clone(),
                        signature: planner::signature(evidence),
                        health: evidence.health.clone(),
                    };
                    // With `autonomy: observe` nothing is proposed; the operator gets the evidence only.
                    if autonomy == Autonomy::Observe
                        && matches!(case.stage, IncidentStage::NeedsDecision { .. })
                    {
                        case.stage = IncidentStage::Escalated;
                    }
                })
            }
            Entry::Proposed { candidates, .. } => {
                self.deciding = Deciding::Proposed(candidates.clone());
            }
            Entry::Decided(decision) => self.apply_decision(decision),
            Entry::PlanFrozen(plan) => self.apply_plan(at, plan, settings),
            Entry::PlanReviewed(review) => self.update_plan(&review.plan, |case| {
                let status = case.apply_to_plan(entry);
                if matches!(case.stage, IncidentStage::AwaitingApproval { .. }) {
                    case.follow_plan(&review.plan, status);
                }
            }),
            Entry::PlanWithdrawn { plan, .. } => self.update_plan(plan, |case| {
                let status = case.apply_to_plan(entry);
                case.follow_plan(plan, status);
            }),
            Entry::Run { run, event: Event::Started { plan, .. } } => {
                self.runs.insert(run.clone(), plan.incident.clone());
                self.update(&plan.incident, |case| {
                    case.apply_to_plan(entry);
                    case.stage = IncidentStage::Running { run: run.clone(), has_acted: false };
                    case.runs += 1;
                });
            }
            Entry::Run { run, event } => {
                if let Some(incident) = self.runs.get(run).cloned() {
                    self.update(&incident, |case| case.apply_run(at, entry, event, settings));
                }
            }
            Entry::Observed(outcome) => {
                self.update(&outcome.incident, |case| case.apply_outcome(at, outcome, settings))
            }
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
            IncidentEvent::Opened { incident } => self.open(incident, settings),
            // What is in progress continues under this incident; nothing new is started.
            IncidentEvent::Merged { incident, .. } | IncidentEvent::Closed { incident, .. } => self
                .update(incident, |case| {
                    case.is_incident_closed = true;
                    // The outcome of an escalation is determined before the case is closed.
                    let is_escalation =
                        case.plan().is_some_and(|plan| plan.source == Source::Escalate);
                    match case.stage {
                        IncidentStage::NeedsDecision { .. } => case.stage = IncidentStage::Closed,
                        IncidentStage::Escalated if !is_escalation => {
                            case.stage = IncidentStage::Closed
                        }
                        _ => {}
                    }
                }),
            IncidentEvent::AlertFired { incident, alert, .. } => self.update(incident, |case| {
                if let IncidentStage::RecurrenceWatch { refired, .. } = &mut case.stage {
                    refired.entry(alert.id.clone()).or_insert(at);
                }
            }),
            IncidentEvent::AlertResolved { incident, alert, .. } => self.update(incident, |case| {
                if let IncidentStage::RecurrenceWatch { refired, .. } = &mut case.stage {
                    refired.remove(alert);
                }
            }),
            IncidentEvent::AlertRepeated { .. }
            | IncidentEvent::ResolvedWithoutFiring { .. }
            | IncidentEvent::OwnerFound { .. } => {}
        }
    }

    fn open(&mut self, incident: &Incident, settings: &Settings) {
        let due = incident.opened_at + settings.evidence_delay.signed();
        let case = IncidentCase {
            incident: incident.id.clone(),
            sequence: self.cases.len(),
            alert: incident.first.name.clone(),
            stage: IncidentStage::NeedsDecision { due },
            is_incident_closed: false,
            runs: 0,
            tried_plans: BTreeSet::new(),
            evidence: EvidenceSummary::default(),
            exposure: None,
            last_attempt: None,
        };
        self.live.insert(incident.id.clone());
        self.cases.insert(incident.id.clone(), case);
    }

    fn apply_decision(&mut self, decision: &Decision) {
        let proposed = match std::mem::take(&mut self.deciding) {
            Deciding::Proposed(candidates) => candidates,
            Deciding::Nothing | Deciding::Decided { .. } => Vec::new(),
        };
        let chosen = proposed.iter().find(|candidate| candidate.id == decision.chosen);
        if let Some(chosen) = chosen {
            let (decision, content) = (Box::new(decision.clone()), chosen.content_digest());
            self.deciding = Deciding::Decided { decision, content };
        }
    }

    fn apply_plan(&mut self, at: Timestamp, plan: &Plan, settings: &Settings) {
        self.plans.insert(plan.id.clone(), plan.incident.clone());
        let Deciding::Decided { decision, content } = std::mem::take(&mut self.deciding) else {
            return;
        };
        self.update(&plan.incident, |case| {
            let state = PlanState::new(plan);
            if plan.source == Source::Escalate {
                case.stage = IncidentStage::Escalated;
            } else if plan.workflow.spec.steps.is_empty() {
                let deadline = at + settings.observation_timeout.signed();
                case.stage = IncidentStage::Stabilizing { deadline };
            } else {
                case.follow_plan(&plan.id, Some(state.status));
            }
            case.tried_plans.insert(content);
            case.last_attempt = Some(PlannedAttempt {
                decision: *decision,
                content,
                plan: plan.clone(),
                state,
                outcome: None,
            });
        });
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
            if case.plan().is_some_and(|last| last.id == *plan) {
                change(case);
            }
        });
    }
}

impl IncidentCase {
    /// Folds an entry into the state of the last plan and returns its status.
    fn apply_to_plan(&mut self, entry: &Entry) -> Option<PlanStatus> {
        let attempt = self.last_attempt.as_mut()?;
        attempt.state.apply(entry);
        Some(attempt.state.status)
    }

    /// Enters the stage that the status of a plan with steps calls for, before its run starts.
    fn follow_plan(&mut self, plan: &PlanId, status: Option<PlanStatus>) {
        self.stage = match status {
            Some(PlanStatus::NeedsApproval) => {
                IncidentStage::AwaitingApproval { plan: plan.clone() }
            }
            Some(PlanStatus::Proposed | PlanStatus::Approved) => IncidentStage::Ready,
            Some(PlanStatus::Rejected) => IncidentStage::Escalated,
            Some(PlanStatus::Withdrawn) => IncidentStage::Closed,
            // A run has its own stage.
            Some(PlanStatus::Running | PlanStatus::Done) | None => return,
        };
    }

    /// Folds an event of a run after its start.
    fn apply_run(&mut self, at: Timestamp, entry: &Entry, event: &Event, settings: &Settings) {
        let IncidentStage::Running { has_acted, .. } = &mut self.stage else { return };
        *has_acted |= matches!(event, Event::IntentWritten { .. });
        let has_acted = *has_acted;
        let Event::Ended { status, requests_replan, .. } = event else { return };
        self.apply_to_plan(entry);
        // A plan whose run was cancelled before it changed anything counts as not tried.
        if *status == RunStatus::Cancelled
            && !has_acted
            && let Some(attempt) = &self.last_attempt
        {
            self.tried_plans.remove(&attempt.content);
        }
        self.stage = if *status == RunStatus::Cancelled {
            // An operator who cancels a run does not want another one to start automatically.
            IncidentStage::Escalated
        } else if *requests_replan || *status == RunStatus::RolledBack {
            // A rolled-back run cannot resolve the incident later, so there is nothing to wait for.
            IncidentStage::EvaluatingOutcome
        } else {
            IncidentStage::Stabilizing { deadline: at + settings.observation_timeout.signed() }
        };
    }

    fn apply_outcome(&mut self, at: Timestamp, outcome: &Outcome, settings: &Settings) {
        self.stage = match outcome.window {
            // An escalated incident stays with the operator until it closes.
            ObservationWindow::Stabilization if self.stage == IncidentStage::Escalated => {
                IncidentStage::Escalated
            }
            ObservationWindow::Stabilization if outcome.status.is_resolved() => {
                IncidentStage::RecurrenceWatch {
                    deadline: at + settings.recurrence_window.signed(),
                    refired: BTreeMap::new(),
                }
            }
            ObservationWindow::Recurrence if outcome.status.is_resolved() => IncidentStage::Closed,
            ObservationWindow::Stabilization | ObservationWindow::Recurrence
                if self.is_incident_closed =>
            {
                IncidentStage::Closed
            }
            ObservationWindow::Stabilization | ObservationWindow::Recurrence => {
                IncidentStage::NeedsDecision { due: at }
            }
        };
        if let Some(attempt) =
            self.last_attempt.as_mut().filter(|attempt| attempt.plan.id == outcome.plan)
        {
            attempt.outcome = Some(outcome.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, at};
    use cluster::{Agent, Mode, ObjectRef, Preconditions, Request, Verb};

    /// Cases with one incident whose run is in progress.
    fn running() -> IncidentCases {
        let mut cases = sample::cases_with_plan();
        sample::apply(&mut cases, vec![sample::started_run(&sample::plan(1))]);
        cases
    }

    fn ended(status: RunStatus, requests_replan: bool) -> Event {
        Event::Ended { status, message: String::new(), requests_replan, at: at(60) }
    }

    fn fold(cases: &mut IncidentCases, event: Event) {
        let entry = Entry::Run { run: sample::run(), event };
        cases.apply(at(60), &entry, &Settings::default());
    }

    fn case(cases: &IncidentCases) -> &IncidentCase {
        &cases.cases[&sample::incident().id]
    }

    fn stage_after(status: RunStatus, requests_replan: bool) -> IncidentStage {
        let mut cases = running();
        fold(&mut cases, ended(status, requests_replan));
        case(&cases).stage.clone()
    }

    #[test]
    fn cancelled_run_leaves_incident_escalated() {
        assert_eq!(stage_after(RunStatus::Cancelled, false), IncidentStage::Escalated);
        assert_eq!(stage_after(RunStatus::Cancelled, true), IncidentStage::Escalated);
    }

    #[test]
    fn plan_cancelled_before_any_change_is_not_tried() {
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
        let is_tried_after = |events: Vec<Event>| {
            let mut cases = running();
            events.into_iter().for_each(|event| fold(&mut cases, event));
            let case = case(&cases);
            case.tried_plans.contains(&case.last_attempt.as_ref().unwrap().content)
        };
        assert!(!is_tried_after(vec![ended(RunStatus::Cancelled, false)]));
        assert!(is_tried_after(vec![intent, ended(RunStatus::Cancelled, false)]));
        assert!(is_tried_after(vec![ended(RunStatus::Failed, false)]));
    }

    #[test]
    fn closed_case_is_not_live() {
        let mut cases = IncidentCases::default();
        let incident = sample::incident();
        sample::apply(&mut cases, sample::opened());
        assert_eq!(cases.live().count(), 1);
        let closed = IncidentEvent::Closed { incident: incident.id.clone(), at: at(60) };
        cases.apply(at(60), &Entry::Incident(closed), &Settings::default());
        assert_eq!((cases.live().count(), &case(&cases).stage), (0, &IncidentStage::Closed));
    }

    /// A rolled-back run is evaluated immediately, a successful one after the observation timeout.
    #[test]
    fn rolled_back_run_is_evaluated_immediately() {
        assert_eq!(stage_after(RunStatus::RolledBack, true), IncidentStage::EvaluatingOutcome);
        assert_eq!(stage_after(RunStatus::RolledBack, false), IncidentStage::EvaluatingOutcome);
        let deadline = at(60) + Settings::default().observation_timeout.signed();
        assert_eq!(
            stage_after(RunStatus::Succeeded, false),
            IncidentStage::Stabilizing { deadline }
        );
    }
}
