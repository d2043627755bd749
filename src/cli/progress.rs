//! Prints progress: one line per record that is relevant to an operator.

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
use workflow::outcome::{ObservationWindow, OutcomeStatus};
use workflow::run::{Event, RunStatus};
use workflow::{Entry, Plan};

use crate::cli::sanitize;

/// Prints progress to standard output.
#[derive(Clone, Copy)]
pub(crate) struct ProgressPrinter {
    is_silent: bool,
    has_color: bool,
}

/// A task that prints progress while the engine runs.
pub(crate) struct ProgressHandle {
    task: JoinHandle<()>,
    end: watch::Sender<Option<u64>>,
}

impl ProgressHandle {
    /// Waits until all records up to `seq` are printed.
    pub(crate) async fn finish(self, seq: u64) {
        let _ = self.end.send(Some(seq));
        let _ = self.task.await;
    }
}

impl ProgressPrinter {
    /// Creates a printer. `NO_COLOR` disables colors.
    pub(crate) fn new(is_silent: bool, has_color: bool) -> Self {
        let has_color = has_color && std::env::var_os("NO_COLOR").is_none();
        Self { is_silent, has_color }
    }

    /// Prints the state before the first fault.
    pub(crate) fn print_start(&self, world: &World, observations: u64, took: Duration) {
        let count =
            |kind: &str| world.objects().filter(|object| object.kind().kind == kind).count();
        self.line(
            "",
            &format!(
                "Simulated cluster: {} nodes, {} workloads, {} pods",
                count("Node"),
                count("Deployment"),
                count("Pod")
            ),
            "",
        );
        self.line(
            "",
            &format!(
                "Learned from {observations} past executions generated with the simulator; ready after {:.1} s",
                took.as_secs_f64()
            ),
            "",
        );
    }

    /// Prints that a fault follows.
    pub(crate) fn print_fault(&self) {
        self.print_text("A fault is injected; Chiron does not know which one.");
    }

    /// Prints a line that is not about a record.
    pub(crate) fn print_text(&self, text: &str) {
        self.line("", text, "");
    }

    /// Prints the number of observations before and after.
    pub(crate) fn print_observations(&self, before: u64, after: u64) {
        self.line("", &format!("Observations of the learner: {before} before, {after} now."), "");
    }

    /// Prints the records after `seq` as they are appended.
    pub(crate) fn follow(self, store: Arc<dyn Store>, seq: u64) -> ProgressHandle {
        let (end, mut until) = watch::channel(None::<u64>);
        let task = tokio::spawn(async move {
            let mut printed = seq;
            loop {
                tokio::select! {
                    biased;
                    read = store.follow(printed, 200) => match read {
                        Ok(records) => for record in records {
                            printed = record.seq;
                            self.print_record(&record);
                        },
                        Err(error) => {
                            tracing::error!(%error, "cannot follow the record");
                            return;
                        }
                    },
                    changed = until.changed() => if changed.is_err() { return },
                }
                if until.borrow().is_some_and(|end| printed >= end) {
                    return;
                }
            }
        });
        ProgressHandle { task, end }
    }

    fn print_record(&self, record: &Record) {
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
                self.line(&at, "The alert is resolved.", "32")
            }
            Entry::Incident(IncidentEvent::Closed { .. }) => {
                self.line(&at, "The incident is closed.", "")
            }
            Entry::EvidenceGathered(evidence) => {
                let target =
                    evidence.target.as_ref().map_or("no object found".into(), ObjectRef::to_string);
                self.line(
                    &at,
                    &format!(
                        "Evidence: {target}; {} facts, {} changes since the known-good state, {} API calls",
                        evidence.facts.len(),
                        evidence.differences.len(),
                        evidence.api_calls
                    ),
                    "",
                );
                for line in evidence.summary.iter().take(6) {
                    self.line("", line, "2");
                }
            }
            Entry::Decided(decision) => {
                let allowed =
                    decision.candidates.iter().filter(|option| option.rejection.is_none()).count();
                self.line(
                    &at,
                    &format!(
                        "Decision: {} candidates, {allowed} allowed by the guardrails; selection probability of the chosen one {:.1} %",
                        decision.candidates.len(),
                        decision.propensity * 100.0
                    ),
                    "",
                );
            }
            Entry::PlanFrozen(plan) => self.plan(&at, &plan),
            Entry::Run { run, event } => self.run(&at, run.as_str(), &event),
            Entry::Observed(outcome) => {
                let color = if outcome.status.is_resolved() { "32" } else { "33" };
                self.line(
                    &at,
                    match (outcome.status, outcome.window) {
                        (OutcomeStatus::Resolved, ObservationWindow::Stabilization) => {
                            "Outcome: resolved"
                        }
                        (OutcomeStatus::Resolved, ObservationWindow::Recurrence) => {
                            "Outcome: resolved, no recurrence"
                        }
                        (OutcomeStatus::ResolvedManually, _) => "Outcome: resolved by an operator",
                        (OutcomeStatus::NotResolved, _) => "Outcome: not resolved",
                        (OutcomeStatus::Recurred, _) => "Outcome: recurred",
                        (OutcomeStatus::Worse, _) => {
                            "Outcome: worse, an object is less healthy than before"
                        }
                        (OutcomeStatus::Unknown, _) => "Outcome: unknown",
                    },
                    color,
                );
                for line in &outcome.reasons {
                    self.line("", line, "2");
                }
            }
            _ => {}
        }
    }

    fn plan(&self, at: &str, plan: &Plan) {
        let confidence = plan.estimates.plan;
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        self.line(
            at,
            &format!(
                "Plan: {} from {}, confidence {} ({} to {})",
                plan.workflow.metadata.name,
                plan.source.as_str(),
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
        if let Some(reason) = &plan.needs_approval {
            self.line("", &format!("needs approval: {reason}"), "33");
        }
    }

    fn run(&self, at: &str, run: &str, event: &Event) {
        match event {
            Event::Started { .. } => self.line(at, &format!("Run {run} started"), ""),
            Event::IntentWritten { step, request, .. } => {
                self.line(at, &format!("step {step}: changes {}", request.target), "")
            }
            Event::StepSucceeded { step, .. } => {
                self.line(at, &format!("step {step}: succeeded, post-conditions met"), "32")
            }
            Event::StepFailed { step, message, .. } => {
                self.line(at, &format!("step {step}: failed: {message}"), "31")
            }
            Event::Regressed { object, .. } => {
                self.line(at, &format!("{object} became less healthy: rolling back"), "31")
            }
            Event::StepCompensated { step, message, .. } => {
                self.line(at, &format!("step {step}: rolled back ({message})"), "33")
            }
            Event::Ended { status, message, .. } => {
                let color = if *status == RunStatus::Succeeded { "32" } else { "33" };
                let name = serde_json::to_value(status)
                    .ok()
                    .and_then(|name| name.as_str().map(str::to_string))
                    .unwrap_or_default();
                self.line(at, &format!("Run {name}: {message}"), color);
            }
            _ => {}
        }
    }

    /// Prints one line. A line without a time continues the line above.
    fn line(&self, at: &str, text: &str, color: &str) {
        if self.is_silent {
            return;
        }
        // The text contains alert and cluster data, which must not control the terminal.
        let text = sanitize::sanitize_line(text);
        let text = if self.has_color && !color.is_empty() {
            format!("\x1b[{color}m{text}\x1b[0m")
        } else {
            text
        };
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{at:>10}  {text}");
    }
}

/// Returns the time of day.
fn time(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_string()
}
