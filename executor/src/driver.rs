//! In-process driver: decides in memory, appends once, and only then returns effects to perform.

use jiff::Timestamp;
use store::{AppendError, Store, StoreError};
use workflow::run::{Event, Pending, RunInput};
use workflow::{Draft, Entry};

use crate::fleet::Fleet;
use crate::machine::{Rejected, Rules};

/// Maximum number of inputs in one append.
pub const MAX_INPUTS: usize = 256;

/// Number of records read at a time when the state is rebuilt.
const PAGE_SIZE: usize = 1_000;

/// Result of one [`step`].
#[derive(Debug, Default)]
pub struct StepResult {
    /// Effects to perform and the next deadline. The events that caused them are durable.
    pub pending: Pending,
    /// Rejected inputs, by index in the list.
    pub rejected: Vec<(usize, Rejected)>,
}

/// Decides and folds the inputs in order and records all resulting entries in one append.
///
/// # Errors
/// [`AppendError`]: nothing was recorded, the fleet was rebuilt from the record, and no input was consumed. Pass the
/// inputs again, unless the epoch is lost.
pub async fn step(
    fleet: &mut Fleet,
    inputs: &[RunInput],
    rules: &Rules,
    now: Timestamp,
    epoch: u64,
    store: &dyn Store,
) -> Result<Pending, AppendError> {
    step_reporting_rejections(fleet, inputs, rules, now, epoch, store).await.map(|result| {
        for (index, rejected) in &result.rejected {
            tracing::debug!(index, %rejected, "input rejected");
        }
        result.pending
    })
}

/// Like [`step`], but also returns the rejected inputs.
///
/// # Errors
/// As [`step`].
pub async fn step_reporting_rejections(
    fleet: &mut Fleet,
    inputs: &[RunInput],
    rules: &Rules,
    now: Timestamp,
    epoch: u64,
    store: &dyn Store,
) -> Result<StepResult, AppendError> {
    assert!(
        inputs.len() <= MAX_INPUTS,
        "at most {MAX_INPUTS} inputs are allowed per append, not {}",
        inputs.len()
    );
    let mut entries = Vec::new();
    let mut rejected = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        match fleet.decide(input, rules, now, epoch) {
            Ok(decided) => entries.extend(decided),
            Err(error) => rejected.push((index, error)),
        }
    }
    // Deadlines that passed while the state was being rebuilt are processed without an input.
    if fleet.take_rebuilt()
        && let Ok(decided) = fleet.decide(&RunInput::Due, rules, now, epoch)
    {
        entries.extend(decided);
    }
    if !entries.is_empty() {
        let expect = expected(fleet, &entries);
        let logged: Vec<Entry> =
            if tracing::enabled!(tracing::Level::INFO) { entries.clone() } else { Vec::new() };
        let drafts = entries.into_iter().map(|entry| Draft::new(now, entry)).collect();
        if let Err(refused) = store.append(drafts, Vec::new(), &expect, epoch).await {
            tracing::warn!(%refused, "append refused: rebuilding the state from the record");
            *fleet = rebuild(std::mem::take(fleet), store).await.map_err(AppendError::Failed)?;
            return Err(refused);
        }
        logged.iter().for_each(log_entry);
    }
    Ok(StepResult { pending: fleet.pending(rules, now), rejected })
}

/// Rebuilds the fleet from the record after a restart.
///
/// Pass the returned inputs to [`step`] before any other: they report the changes whose replies were lost with the last
/// process. Those effects are not dispatched again; every other pending effect is.
///
/// # Errors
/// [`StoreError`] if the record cannot be read.
pub async fn recover(
    limit: usize,
    store: &dyn Store,
) -> Result<(Fleet, Vec<RunInput>), StoreError> {
    let mut fleet = rebuild(Fleet::new(limit), store).await?;
    let interrupted = fleet.interrupted_effects("the process ended before the reply was recorded");
    Ok((fleet, interrupted))
}

async fn rebuild(fleet: Fleet, store: &dyn Store) -> Result<Fleet, StoreError> {
    let mut fleet = fleet.reset();
    let mut after = 0;
    loop {
        let page = store.read(after, PAGE_SIZE).await?;
        let Some(last) = page.last() else { return Ok(fleet) };
        after = last.seq;
        for record in &page {
            // Only run and fleet entries are decoded: others may be large or erased.
            if matches!(record.kind.as_str(), "Run" | "Fleet") {
                fleet.apply(&record.entry()?);
            }
        }
    }
}

/// Logs a recorded entry with the ids it refers to.
fn log_entry(entry: &Entry) {
    let Entry::Run { run, event } = entry else { return };
    match event {
        Event::Started { plan, actor, .. } => {
            tracing::info!(%run, plan = %plan.id, incident = %plan.incident, actor, "run started")
        }
        Event::StepStarted { step, attempt, .. } => {
            tracing::info!(%run, step, attempt, "step started")
        }
        Event::StepSucceeded { step, .. } => tracing::info!(%run, step, "step succeeded"),
        Event::StepSkipped { step, message } => {
            tracing::info!(%run, step, detail = message, "step skipped")
        }
        Event::RetryScheduled { step, message, retry_at, .. } => {
            tracing::info!(%run, step, detail = message, %retry_at, "step retry scheduled")
        }
        Event::StepFailed { step, message, .. } => {
            tracing::warn!(%run, step, detail = message, "step failed")
        }
        Event::ApprovalRequested { step, message, expires_at } => {
            tracing::info!(%run, step, detail = message, %expires_at, "approval requested")
        }
        Event::Regressed { step, object, .. } => {
            tracing::warn!(%run, step, %object, "health regressed")
        }
        Event::RollbackStarted { message, .. } => {
            tracing::warn!(%run, detail = message, "rollback started")
        }
        Event::StepCompensated { step, message, .. } => {
            tracing::info!(%run, step, detail = message, "step compensated")
        }
        Event::CompensationFailed { step, remaining, .. } => {
            tracing::error!(%run, step, remaining, "compensation failed")
        }
        Event::HumanInterventionRequired { step, message } => {
            tracing::error!(%run, step, detail = message, "operator intervention required")
        }
        Event::StopApplied { actor, reason, .. } => {
            tracing::warn!(%run, actor, reason, "emergency stop applied")
        }
        Event::Ended { status, message, .. } => {
            tracing::info!(%run, ?status, detail = message, "run ended")
        }
        Event::Admitted { .. }
        | Event::BaselineMeasured { .. }
        | Event::ConditionEvaluated { .. }
        | Event::ApprovalDecided { .. }
        | Event::Observed { .. }
        | Event::WaitEnded { .. }
        | Event::ReadFailed { .. }
        | Event::IntentWritten { .. }
        | Event::EffectAnswered { .. }
        | Event::ActionDone { .. }
        | Event::HealthMeasured { .. }
        | Event::AlertChanged { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::StopCleared { .. }
        | Event::CancelRequested { .. }
        | Event::AbortStarted { .. }
        | Event::CompensationStarted { .. }
        | Event::CompensationRetryScheduled { .. } => {}
    }
}

/// Returns the expected version, before this append, of every stream that the guard read to decide an intent.
fn expected(fleet: &Fleet, entries: &[Entry]) -> Vec<(String, u64)> {
    let mut streams: Vec<String> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Run { event: Event::IntentWritten { request, .. }, .. } => {
                Some(fleet.guarded_streams(&request.target))
            }
            _ => None,
        })
        .flatten()
        // This includes a lock that was taken and released within this append.
        .chain(entries.iter().filter(|entry| matches!(entry, Entry::Fleet(_))).map(Entry::stream))
        .collect();
    streams.sort();
    streams.dedup();
    streams
        .into_iter()
        .map(|stream| {
            let ours = entries
                .iter()
                .filter(|entry| matches!(entry, Entry::Fleet(_)) && entry.stream() == stream)
                .count();
            let before = fleet.version(&stream) - ours as u64;
            (stream, before)
        })
        .collect()
}
