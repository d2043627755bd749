//! The case of one incident: how far along the line it is. A pure fold of the record, so that a restart goes on where
//! the last process stopped.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Digest, Health, ObjectRef};
use jiff::Timestamp;
use workflow::experiment::ExperimentEvent;
use workflow::guardrail::Autonomy;
use workflow::id::{AlertId, CandidateId, ExperimentId, IncidentId, PlanId, RunId};
use workflow::incident::IncidentEvent;
use workflow::outcome::Stage as OutcomeStage;
use workflow::plan::Candidate;
use workflow::run::RunStatus;
use workflow::{
    Decision, Entry, Event, Facts, Feedback, Outcome, PastExecution, Plan, Provenance, Source,
};

use crate::Settings;

/// How far along the line an incident is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// A decision is wanted, from this time on.
    Wanted(Timestamp),
    /// A plan waits for a person.
    AwaitingApproval,
    /// A plan may run.
    Ready,
    /// It runs.
    Running,
    /// It ended, or nothing was to be run: the outcome is awaited, at the latest at this time.
    Holding(Timestamp),
    /// The outcome is to be judged at once, for a new decision waits on it.
    Judging,
    /// It is resolved; until this time it may come back.
    Watching(Timestamp),
    /// Nothing follows by itself: a person has the word.
    WithPerson,
    /// Nothing follows.
    Settled,
}

/// One incident's case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The incident.
    pub incident: IncidentId,
    /// How many cases there were before it: of those that are due, the oldest comes first.
    pub place: usize,
    /// How far it is.
    pub stage: Stage,
    /// Whether the incident closed or went into another: what was begun is seen to its end, and nothing new is.
    pub is_over: bool,
    /// Decisions made.
    pub attempt: u32,
    /// Runs begun.
    pub runs: u32,
    /// Alerts that fire again while it is watched, each since when.
    pub fires_again: BTreeMap<AlertId, Timestamp>,
    /// What was tried: a candidate that would do the same is not tried again.
    pub tried: BTreeSet<Digest>,
    /// What the last plan would do.
    pub deed: Option<Digest>,
    /// Whether its run sent any change.
    pub has_acted: bool,
    /// The candidates of a proposal until one of them is chosen, by id.
    candidates: BTreeMap<CandidateId, Candidate>,
    /// The last decision.
    pub decision: Option<Decision>,
    /// The last plan.
    pub plan: Option<Plan>,
    /// Its run.
    pub run: Option<RunId>,
    /// The object that the evidence found the alert to be about.
    pub target: Option<ObjectRef>,
    /// What the evidence knew.
    pub facts: Facts,
    /// Words by which a past execution is found, as the evidence gave them.
    pub signature: Vec<String>,
    /// Name of the alert.
    pub alert: String,
    /// Health as the evidence saw it before the decision.
    pub health_before: Vec<(ObjectRef, Health)>,
    /// The last outcome.
    pub outcome: Option<Outcome>,
    /// The experiment and variant that it is exposed to.
    pub exposure: Option<(ExperimentId, String)>,
}

/// All cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// By incident.
    pub cases: BTreeMap<IncidentId, Case>,
    /// Those that are not settled.
    live: BTreeSet<IncidentId>,
    plans: BTreeMap<PlanId, IncidentId>,
    runs: BTreeMap<RunId, IncidentId>,
    /// Of the guardrails in force.
    autonomy: Autonomy,
}

impl Cases {
    /// The case that a plan belongs to.
    pub fn of_plan(&self, plan: &PlanId) -> Option<&Case> {
        self.cases.get(self.plans.get(plan)?)
    }

    /// The cases of which something may still follow, by incident.
    pub fn live(&self) -> impl Iterator<Item = &Case> {
        self.live.iter().filter_map(|incident| self.cases.get(incident))
    }

    /// A person's correction as an execution to learn from: what should have been done, where the plan was for.
    pub fn demonstration(&self, feedback: &Feedback) -> Option<PastExecution> {
        let case = self.of_plan(&feedback.plan)?;
        let plan = case.plan.as_ref().filter(|plan| plan.id == feedback.plan)?;
        let workflow = feedback.correction.clone()?;
        Some(PastExecution {
            id: feedback.id.to_string(),
            verdict: workflow::outcome::Verdict::Resolved,
            reward: None,
            steps: Vec::new(),
            seconds_to_resolve: None,
            at: feedback.at,
            origin: Provenance::Feedback(feedback.by.clone()),
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
                self.change(&evidence.incident, |case| {
                    case.target.clone_from(&evidence.target);
                    case.facts.clone_from(&evidence.facts);
                    case.signature = planner::signature(evidence);
                    case.health_before.clone_from(&evidence.health);
                    // Who only observes proposes nothing: the evidence is all that a person gets.
                    if autonomy == Autonomy::Observe && matches!(case.stage, Stage::Wanted(_)) {
                        case.stage = Stage::WithPerson;
                    }
                })
            }
            Entry::Proposed { incident, candidates } => self.change(incident, |case| {
                case.candidates = candidates
                    .iter()
                    .map(|candidate| (candidate.id.clone(), candidate.clone()))
                    .collect();
            }),
            Entry::Decided(decision) => self.change(&decision.incident, |case| {
                case.attempt = decision.attempt;
                case.deed = case.candidates.remove(&decision.chosen).map(|chosen| chosen.deed());
                case.tried.extend(case.deed);
                // What was not chosen stands in the record; nothing here asks for it again.
                case.candidates.clear();
                case.decision = Some(decision.clone());
            }),
            Entry::PlanFrozen(plan) => {
                self.plans.insert(plan.id.clone(), plan.incident.clone());
                self.change(&plan.incident, |case| {
                    case.stage = if plan.source == Source::Escalate {
                        Stage::WithPerson
                    } else if plan.workflow.spec.steps.is_empty() {
                        Stage::Holding(at + settings.hold.signed())
                    } else if plan.needs_approval.is_some() {
                        Stage::AwaitingApproval
                    } else {
                        Stage::Ready
                    };
                    case.run = None;
                    case.plan = Some(plan.clone());
                });
            }
            Entry::PlanReviewed(review) => self.change_plan(&review.plan, |case| {
                if case.stage == Stage::AwaitingApproval {
                    case.stage = if review.is_approved { Stage::Ready } else { Stage::WithPerson };
                }
            }),
            Entry::PlanWithdrawn { plan, .. } => {
                self.change_plan(plan, |case| case.stage = Stage::Settled)
            }
            Entry::Run { run, event } => self.apply_run(at, run, event, settings),
            Entry::Observed(outcome) => self.change(&outcome.incident, |case| {
                case.stage = match outcome.stage {
                    // Until the incident closes a person has the word.
                    OutcomeStage::Hold if case.stage == Stage::WithPerson => Stage::WithPerson,
                    OutcomeStage::Hold if outcome.resolved => {
                        Stage::Watching(at + settings.recurrence.signed())
                    }
                    OutcomeStage::Recurrence if outcome.resolved => Stage::Settled,
                    OutcomeStage::Hold | OutcomeStage::Recurrence if case.is_over => Stage::Settled,
                    OutcomeStage::Hold | OutcomeStage::Recurrence => Stage::Wanted(at),
                };
                case.fires_again.clear();
                case.outcome = Some(outcome.clone());
            }),
            Entry::Experiment(ExperimentEvent::Exposed { id, incident, variant, .. }) => {
                self.change(incident, |case| case.exposure = Some((id.clone(), variant.clone())));
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
            | Entry::Answered { .. }
            | Entry::ObjectHealthy { .. }
            | Entry::Executed(_)
            | Entry::HistoryImported { .. } => {}
        }
    }

    fn apply_incident(&mut self, at: Timestamp, event: &IncidentEvent, settings: &Settings) {
        match event {
            IncidentEvent::Opened { incident } => {
                let case = Case {
                    incident: incident.id.clone(),
                    place: self.cases.len(),
                    stage: Stage::Wanted(incident.opened_at + settings.gather_after.signed()),
                    is_over: false,
                    attempt: 0,
                    runs: 0,
                    fires_again: BTreeMap::new(),
                    tried: BTreeSet::new(),
                    deed: None,
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
            // What was begun for it goes on under its own incident; nothing new is.
            IncidentEvent::Merged { incident, .. } | IncidentEvent::Closed { incident, .. } => self
                .change(incident, |case| {
                    case.is_over = true;
                    // Where a person was asked, what came of it is judged first.
                    let is_asked =
                        case.plan.as_ref().is_some_and(|plan| plan.source == Source::Escalate);
                    match case.stage {
                        Stage::Wanted(_) => case.stage = Stage::Settled,
                        Stage::WithPerson if !is_asked => case.stage = Stage::Settled,
                        _ => {}
                    }
                }),
            IncidentEvent::AlertFired { incident, alert, .. } => self.change(incident, |case| {
                if matches!(case.stage, Stage::Watching(_)) {
                    case.fires_again.entry(alert.id.clone()).or_insert(at);
                }
            }),
            IncidentEvent::AlertResolved { incident, alert, .. } => self.change(incident, |case| {
                case.fires_again.remove(alert);
            }),
            IncidentEvent::AlertRepeated { .. }
            | IncidentEvent::ResolvedUnseen { .. }
            | IncidentEvent::OwnerFound { .. } => {}
        }
    }

    fn apply_run(&mut self, at: Timestamp, run: &RunId, event: &Event, settings: &Settings) {
        if let Event::Started { plan, .. } = event {
            self.runs.insert(run.clone(), plan.incident.clone());
            self.change(&plan.incident, |case| {
                case.stage = Stage::Running;
                case.run = Some(run.clone());
                case.runs += 1;
                case.has_acted = false;
            });
        }
        if let Event::IntentWritten { .. } = event
            && let Some(incident) = self.runs.get(run).cloned()
        {
            self.change(&incident, |case| case.has_acted = true);
        }
        if let Event::Ended { status, wants_next_plan, .. } = event
            && let Some(incident) = self.runs.get(run).cloned()
        {
            self.change(&incident, |case| {
                // What was ended before it did anything was not tried.
                if *status == RunStatus::Cancelled
                    && !case.has_acted
                    && let Some(deed) = &case.deed
                {
                    case.tried.remove(deed);
                }
                case.stage = if *status == RunStatus::Cancelled {
                    // Who ended it does not want another one to begin by itself.
                    Stage::WithPerson
                } else if *wants_next_plan || *status == RunStatus::RolledBack {
                    // What was undone heals nothing later: there is nothing to hold for.
                    Stage::Judging
                } else {
                    Stage::Holding(at + settings.hold.signed())
                };
            });
        }
    }

    fn change(&mut self, incident: &IncidentId, change: impl FnOnce(&mut Case)) {
        let Some(case) = self.cases.get_mut(incident) else { return };
        change(case);
        if case.stage == Stage::Settled {
            self.live.remove(incident);
        } else {
            self.live.insert(incident.clone());
        }
    }

    fn change_plan(&mut self, plan: &PlanId, change: impl FnOnce(&mut Case)) {
        let Some(incident) = self.plans.get(plan).cloned() else { return };
        self.change(&incident, |case| {
            // Only the last plan of a case moves it.
            if case.plan.as_ref().is_some_and(|last| last.id == *plan) {
                change(case);
            }
        });
    }
}

impl Case {
    /// The case's last outcome as a past execution.
    pub fn finished(&self, outcome: &Outcome) -> Option<PastExecution> {
        let plan = self.plan.as_ref().filter(|plan| plan.id == outcome.plan)?;
        let id = outcome.run.as_ref().map_or_else(|| outcome.id.to_string(), ToString::to_string);
        Some(PastExecution {
            id,
            verdict: outcome.verdict,
            reward: outcome.reward,
            steps: outcome.steps.clone(),
            seconds_to_resolve: outcome.seconds_to_resolve,
            at: outcome.at,
            origin: Provenance::Live,
            ..self.execution(plan, plan.workflow.clone())?
        })
    }

    /// What stands around an execution of `workflow`; what came of it is the caller's to say.
    fn execution(&self, plan: &Plan, workflow: workflow::Workflow) -> Option<PastExecution> {
        Some(PastExecution {
            id: String::new(),
            alert: self.alert.clone(),
            target: self.target.clone()?,
            facts: self.facts.clone(),
            signature: self.signature.clone(),
            workflow,
            features: plan.features.clone(),
            verdict: workflow::outcome::Verdict::Unknown,
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

    /// The entries up to a run under way, in the words of the record.
    fn running() -> Cases {
        let mut cases = Cases::default();
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
        (case.stage, case.run, case.runs) = (Stage::Running, Some(run), 1);
        cases
    }

    fn after(status: RunStatus, wants_next_plan: bool) -> Stage {
        let mut cases = running();
        let event = Event::Ended { status, why: String::new(), wants_next_plan, at: at(60) };
        cases.apply(at(60), &Entry::Run { run: RUN.parse().unwrap(), event }, &Settings::default());
        cases.cases[&INCIDENT.parse().unwrap()].stage.clone()
    }

    #[test]
    fn a_run_that_a_person_ended_is_followed_by_no_other() {
        assert_eq!(after(RunStatus::Cancelled, false), Stage::WithPerson);
        assert_eq!(after(RunStatus::Cancelled, true), Stage::WithPerson);
    }

    #[test]
    fn what_was_cancelled_before_it_changed_anything_was_not_tried() {
        let incident: IncidentId = INCIDENT.parse().unwrap();
        let deed = Digest::of(b"a deed");
        let intent = Event::IntentWritten {
            step: "evict".into(),
            effect: "eff_01KDVFCY8R2FH5C7GX3B9F9PP4".parse().unwrap(),
            key: String::new(),
            attempt: 1,
            request: Request {
                target: ObjectRef::builtin("c", "Pod", Some("shop"), "a"),
                verb: Verb::Evict,
                preconditions: Preconditions::default(),
                mode: Mode::Apply,
                agent: Agent::default(),
            },
            at: at(30),
        };
        let tried_after = |events: Vec<Event>| {
            let mut cases = running();
            let case = cases.cases.get_mut(&incident).unwrap();
            (case.deed, case.tried) = (Some(deed), [deed].into());
            for event in events {
                let entry = Entry::Run { run: RUN.parse().unwrap(), event };
                cases.apply(at(60), &entry, &Settings::default());
            }
            cases.cases[&incident].tried.contains(&deed)
        };
        let ended = |status| Event::Ended {
            status,
            why: String::new(),
            wants_next_plan: false,
            at: at(60),
        };
        assert!(!tried_after(vec![ended(RunStatus::Cancelled)]));
        assert!(tried_after(vec![intent, ended(RunStatus::Cancelled)]));
        assert!(tried_after(vec![ended(RunStatus::Failed)]));
    }

    #[test]
    fn only_a_case_of_which_something_may_follow_is_live() {
        let mut cases = running();
        let incident: IncidentId = INCIDENT.parse().unwrap();
        assert_eq!(cases.live().count(), 1);
        let closed = IncidentEvent::Closed { incident: incident.clone(), at: at(60) };
        cases.change(&incident, |case| case.stage = Stage::Wanted(at(60)));
        cases.apply(at(60), &Entry::Incident(closed), &Settings::default());
        assert_eq!((cases.live().count(), &cases.cases[&incident].stage), (0, &Stage::Settled));
    }

    #[test]
    fn a_run_that_was_rolled_back_is_judged_at_once_and_a_successful_one_after_its_hold() {
        assert_eq!(after(RunStatus::RolledBack, true), Stage::Judging);
        assert_eq!(after(RunStatus::RolledBack, false), Stage::Judging);
        assert_eq!(
            after(RunStatus::Succeeded, false),
            Stage::Holding(at(60) + Settings::default().hold.signed())
        );
    }
}
