//! Tells what happens as it happens: one line a record that a person cares about.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cluster::ObjectRef;
use jiff::Timestamp;
use simulator::World;
use store::{Record, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use workflow::incident::IncidentEvent;
use workflow::outcome::{Stage, Verdict};
use workflow::run::{Event, RunStatus};
use workflow::{Entry, Plan};

use crate::cli::harmless;

/// Who tells, and how.
#[derive(Clone, Copy)]
pub(crate) struct Tale {
    is_silent: bool,
    has_colour: bool,
}

/// A tale that is being told beside the engine.
pub(crate) struct Telling {
    task: JoinHandle<()>,
    end: watch::Sender<Option<u64>>,
}

impl Telling {
    /// Waits until everything up to record `seq` is told.
    pub(crate) async fn finish(self, seq: u64) {
        let _ = self.end.send(Some(seq));
        let _ = self.task.await;
    }
}

impl Tale {
    /// Silent, or with colour.
    pub(crate) fn new(is_silent: bool, has_colour: bool) -> Self {
        let has_colour = has_colour && std::env::var_os("NO_COLOR").is_none();
        Self { is_silent, has_colour }
    }

    /// Says what stands before anything breaks.
    pub(crate) fn opening(&self, world: &World, lessons: u64, took: Duration) {
        let of = |kind: &str| world.objects().filter(|object| object.kind().kind == kind).count();
        self.line(
            "",
            &format!(
                "Simulated cluster: {} nodes, {} workloads, {} pods",
                of("Node"),
                of("Deployment"),
                of("Pod")
            ),
            "",
        );
        self.line("", &format!("Learned from {lessons} past executions, made with the simulator; ready after {:.1} s", took.as_secs_f64()), "");
    }

    /// Says that it begins.
    pub(crate) fn breaking(&self) {
        self.note("Something is about to break.");
    }

    /// Says something that is no part of the record.
    pub(crate) fn note(&self, text: &str) {
        self.line("", text, "");
    }

    /// Says what was learned.
    pub(crate) fn lesson(&self, before: u64, after: u64) {
        self.line("", &format!("The learner had {before} observations and has {after} now."), "");
    }

    /// Follows the record after record `seen`.
    pub(crate) fn follow(self, store: Arc<dyn Store>, seen: u64) -> Telling {
        let (end, mut until) = watch::channel(None::<u64>);
        let task = tokio::spawn(async move {
            let mut seen = seen;
            loop {
                tokio::select! {
                    biased;
                    read = store.follow(seen, 200) => match read {
                        Ok(records) => for record in records {
                            seen = record.seq;
                            self.tell(&record);
                        },
                        Err(error) => {
                            tracing::error!(%error, "the record cannot be followed");
                            return;
                        }
                    },
                    changed = until.changed() => if changed.is_err() { return },
                }
                if until.borrow().is_some_and(|seq| seen >= seq) {
                    return;
                }
            }
        });
        Telling { task, end }
    }

    fn tell(&self, record: &Record) {
        let Ok(entry) = record.entry() else { return };
        let at = time(record.at);
        match entry {
            Entry::Incident(IncidentEvent::Opened { incident }) => {
                let (label, value) = &incident.subject;
                self.line(
                    &at,
                    &format!(
                        "Alert firing: {}  {}/{value}",
                        incident.first.name, incident.namespace
                    ),
                    "31",
                );
                self.line("", &format!("incident {} ({label}={value})", incident.id), "2");
            }
            Entry::Incident(IncidentEvent::AlertResolved { .. }) => {
                self.line(&at, "The alert no longer fires.", "32")
            }
            Entry::Incident(IncidentEvent::Closed { .. }) => {
                self.line(&at, "The incident is closed.", "")
            }
            Entry::EvidenceGathered(evidence) => {
                let about = evidence
                    .target
                    .as_ref()
                    .map_or("no object was found for it".into(), ObjectRef::to_string);
                self.line(
                    &at,
                    &format!(
                        "Evidence: {about}; {} facts, {} changes since it last worked, {} calls",
                        evidence.facts.len(),
                        evidence.differences.len(),
                        evidence.calls
                    ),
                    "",
                );
                for line in evidence.lines.iter().take(6) {
                    self.line("", line, "2");
                }
            }
            Entry::Decided(decision) => {
                let allowed =
                    decision.options.iter().filter(|option| option.refused.is_none()).count();
                self.line(
                    &at,
                    &format!(
                        "Decision: {} candidates, {allowed} allowed; chosen with propensity {:.3}",
                        decision.options.len(),
                        decision.propensity
                    ),
                    "",
                );
            }
            Entry::PlanFrozen(plan) => self.plan(&at, &plan),
            Entry::Run { run, event } => self.run(&at, run.as_str(), &event),
            Entry::Observed(outcome) => {
                let colour = if outcome.resolved { "32" } else { "33" };
                self.line(
                    &at,
                    match (outcome.verdict, outcome.stage) {
                        (Verdict::Resolved, Stage::Hold) => "Outcome: resolved",
                        (Verdict::Resolved, Stage::Recurrence) => {
                            "Outcome: resolved, and it has not come back"
                        }
                        (Verdict::ByPerson, _) => "Outcome: resolved by a person",
                        (Verdict::NotResolved, _) => "Outcome: not resolved",
                        (Verdict::Recurred, _) => "Outcome: it came back",
                        (Verdict::Worse, _) => "Outcome: something is worse than before",
                        (Verdict::Unknown, _) => "Outcome: it cannot be said",
                    },
                    colour,
                );
                for line in &outcome.because {
                    self.line("", line, "2");
                }
            }
            _ => {}
        }
    }

    fn plan(&self, at: &str, plan: &Plan) {
        let confidence = plan.confidence;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        self.line(
            at,
            &format!(
                "Plan: {} from {}, confidence {} ({} to {})",
                plan.workflow.metadata.name,
                plan.source.word(),
                percent(confidence.estimate),
                percent(confidence.low),
                percent(confidence.high)
            ),
            "36",
        );
        for line in plan.explanation.iter().take(5) {
            self.line("", line, "2");
        }
        for step in &plan.workflow.spec.steps {
            self.line("", &format!("step {}: {}", step.id, step.action), "");
        }
        if let Some(why) = &plan.needs_approval {
            self.line("", &format!("waits for a person: {why}"), "33");
        }
    }

    fn run(&self, at: &str, run: &str, event: &Event) {
        match event {
            Event::Started { .. } => self.line(at, &format!("Run {run} began"), ""),
            Event::IntentWritten { step, request, .. } => {
                self.line(at, &format!("{step}: changes {}", request.target), "")
            }
            Event::StepSucceeded { step, .. } => {
                self.line(at, &format!("{step}: done, and its post-conditions hold"), "32")
            }
            Event::StepFailed { step, why, .. } => {
                self.line(at, &format!("{step}: failed: {why}"), "31")
            }
            Event::Regressed { object, .. } => {
                self.line(at, &format!("{object} became worse: undoing"), "31")
            }
            Event::StepCompensated { step, how, .. } => {
                self.line(at, &format!("{step}: undone ({how})"), "33")
            }
            Event::Ended { status, why, .. } => {
                let colour = if *status == RunStatus::Succeeded { "32" } else { "33" };
                let word = serde_json::to_value(status)
                    .ok()
                    .and_then(|word| word.as_str().map(str::to_string))
                    .unwrap_or_default();
                self.line(at, &format!("Run {word}: {why}"), colour);
            }
            _ => {}
        }
    }

    /// One line; with no time it continues the line above.
    fn line(&self, at: &str, text: &str, colour: &str) {
        if self.is_silent {
            return;
        }
        // Text of alerts and clusters stands in it: nothing of it may steer the terminal.
        let text = harmless::line(text);
        let text = if self.has_colour && !colour.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text
        };
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{at:>10}  {text}");
    }
}

/// Simulated time of day.
fn time(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_string()
}
