//! From a finished run, or a decision to do nothing, to its outcome.

use cluster::{Health, ObjectRef};
use jiff::Timestamp;
use workflow::id::{IncidentId, OutcomeId};
use workflow::outcome::{self, Done, Outcome, Stage as OutcomeStage, StepOutcome, Verdict};
use workflow::run::{RunView, StepStatus};
use workflow::{Entry, Source};

use crate::case::{Case, Stage};
use crate::engine::{Engine, Failure};

impl Engine {
    /// When the outcome of a case can be judged: at its deadline, or once the alert has been quiet for a while.
    pub(crate) fn due(&self, case: &Case) -> Option<Timestamp> {
        match &case.stage {
            Stage::Holding(deadline) => {
                let quiet = self
                    .folds
                    .incidents
                    .standing(&case.incident)
                    .and_then(|incident| incident.quiet_since);
                Some(quiet.map_or(*deadline, |since| {
                    (since + self.settings.quiet.signed()).min(*deadline)
                }))
            }
            // What fires again and goes on firing has come back: nobody waits for the end of the window then.
            Stage::Watching(deadline) => {
                let since = case.fires_again.values().min();
                let back = since.map(|since| *since + self.settings.quiet.signed());
                Some(back.map_or(*deadline, |back| back.min(*deadline)))
            }
            // Its evidence is on the way.
            Stage::Wanted(_) if self.gathering.contains(&case.incident) => None,
            Stage::Wanted(at) => Some(*at),
            Stage::Judging | Stage::Ready => Some(Timestamp::MIN),
            Stage::WithPerson => self.asked_until(case),
            Stage::AwaitingApproval | Stage::Running | Stage::Settled => None,
        }
    }

    /// Where a person was asked, what came of it is looked at after the recurrence window, and for good when the
    /// incident closes. Where they took the word themselves, there is no plan to be judged.
    fn asked_until(&self, case: &Case) -> Option<Timestamp> {
        let plan = case.plan.as_ref().filter(|plan| plan.source == Source::Escalate)?;
        let is_looked_at = case.outcome.as_ref().is_some_and(|outcome| outcome.plan == plan.id);
        match self.folds.incidents.standing(&case.incident)?.closed_at {
            Some(closed) => Some(closed),
            None if is_looked_at => None,
            None => Some(plan.created_at + self.settings.recurrence.signed()),
        }
    }

    /// Judges and records what came of asking a person.
    pub(crate) async fn observe_asked(&mut self, id: &IncidentId) -> Result<(), Failure> {
        let is_closed =
            self.folds.incidents.standing(id).is_none_or(|incident| incident.closed_at.is_some());
        let stage = if is_closed { OutcomeStage::Recurrence } else { OutcomeStage::Hold };
        self.observe(id, stage).await
    }

    /// Judges and records the outcome of a case.
    pub(crate) async fn observe(
        &mut self,
        id: &IncidentId,
        stage: OutcomeStage,
    ) -> Result<(), Failure> {
        let now = self.time.now();
        let Some(case) = self.folds.cases.cases.get(id).cloned() else { return Ok(()) };
        let (Some(plan), Some(decision)) = (&case.plan, &case.decision) else { return Ok(()) };
        let incident = self.folds.incidents.standing(id);
        let is_firing = incident.is_some_and(|incident| !incident.firing.is_empty());
        let run = case.run.as_ref().and_then(|run| self.fleet.view(run));
        let objects: Vec<ObjectRef> =
            case.health_before.iter().map(|(object, _)| object.clone()).collect();
        let mut after: Vec<(ObjectRef, Health)> = Vec::new();
        let measured = async {
            for object in &objects {
                match executor::measure(&*self.cluster, object, now).await {
                    Ok(health) => after.push((object.clone(), health)),
                    Err(failure) => tracing::warn!(%object, %failure, "health could not be read"),
                }
            }
        };
        if self.patiently(measured).await.is_none() {
            tracing::warn!(incident = %id, "health could not be read in time");
        }
        // Once the incident has closed, what comes back is an incident of its own.
        let has_recurred = stage == OutcomeStage::Recurrence
            && (is_firing || self.folds.incidents.is_followed(id));
        let is_asked = plan.source == Source::Escalate;
        let done = match run {
            Some(run) => Done::Run(run),
            None if is_asked => Done::Asked,
            None => Done::Nothing,
        };
        let (verdict, mut because) = outcome::judge(
            done,
            is_firing,
            has_recurred,
            case.target.as_ref(),
            &case.health_before,
            &after,
        );
        let is_resolved = matches!(verdict, Verdict::Resolved | Verdict::ByPerson);
        // The alert ended before the first step: whoever mended it, the plan did not.
        let is_idle =
            run.is_some_and(|run| run.steps.iter().all(|step| step.status == StepStatus::Skipped));
        if is_idle && is_resolved {
            because.push("no step of the plan was done, and so it earns nothing".into());
        }
        let seconds = match (&case.outcome, stage) {
            // What was resolved at the hold was resolved then.
            (Some(held), OutcomeStage::Recurrence) if held.resolved => {
                held.seconds_to_resolve.filter(|_| is_resolved)
            }
            (Some(_) | None, OutcomeStage::Hold | OutcomeStage::Recurrence) => {
                let ended = incident.and_then(|incident| incident.quiet_since).unwrap_or(now);
                is_resolved.then(|| ended.duration_since(decision.at).as_secs_f64().max(0.0))
            }
        };
        let outcome = Outcome {
            id: OutcomeId::derive(now, decision.id.as_str(), stage as u64),
            decision: decision.id.clone(),
            incident: id.clone(),
            plan: plan.id.clone(),
            run: case.run.clone(),
            stage,
            verdict,
            resolved: is_resolved,
            reward: reward(verdict, seconds).filter(|_| !is_idle),
            seconds_to_resolve: seconds,
            steps: run.map(step_outcomes).unwrap_or_default(),
            health_before: case.health_before.clone(),
            health_after: after,
            because,
            at: now,
        };
        tracing::info!(incident = %id, plan = %plan.id, verdict = ?verdict, "outcome");
        let mut entries = vec![Entry::Observed(outcome.clone())];
        // One execution an outcome: what is watched for a while is told once, at the end of that while.
        let is_final = stage == OutcomeStage::Recurrence || !is_resolved;
        if is_final && !is_idle && !is_asked {
            entries.extend(case.finished(&outcome).map(Entry::Executed));
        }
        self.record(now, entries).await?;
        self.keep_learner().await
    }
}

/// Most that asking a person is worth: a plan that works more than once in four times is worth more. It is what the
/// learner takes of `escalate` before it has seen any.
const ASKING: f64 = 0.25;

/// 1 for what resolved at once, falling to 0.8 over half an hour; 0 for what did not resolve; nothing for what is unknown.
///
/// What a person mended earns no more than [`ASKING`]: their time is what it cost, and the mend is theirs.
fn reward(verdict: Verdict, seconds: Option<f64>) -> Option<f64> {
    let quickness = 1.0 - 0.2 * (seconds.unwrap_or(1_800.0) / 1_800.0).min(1.0);
    match verdict {
        Verdict::Resolved => Some(quickness),
        Verdict::ByPerson => Some(ASKING * quickness),
        Verdict::NotResolved | Verdict::Recurred | Verdict::Worse => Some(0.0),
        Verdict::Unknown => None,
    }
}

fn step_outcomes(run: &RunView) -> Vec<StepOutcome> {
    let outcome = |step: &workflow::run::StepView| StepOutcome {
        step: step.step.clone(),
        action: step.action.clone(),
        succeeded: match step.status {
            StepStatus::Succeeded
            | StepStatus::Compensating
            | StepStatus::Compensated
            | StepStatus::CompensationFailed => Some(true),
            StepStatus::Failed => Some(false),
            StepStatus::Pending
            | StepStatus::AwaitingApproval
            | StepStatus::Running
            | StepStatus::Verifying
            | StepStatus::Waiting
            | StepStatus::Skipped
            | StepStatus::NeedsHuman => None,
        },
        seconds: match (step.started_at, step.ended_at) {
            (Some(started), Some(ended)) => ended.duration_since(started).as_secs_f64().max(0.0),
            (Some(_), None) | (None, Some(_) | None) => 0.0,
        },
    };
    run.steps.iter().map(outcome).collect()
}
