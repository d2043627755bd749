//! The in-process driver: decide in memory, append once, and only then let anything leave.

use jiff::Timestamp;
use store::{AppendRefused, Store, StoreError};
use workflow::run::{Event, Pending, RunInput};
use workflow::{Draft, Entry};

use crate::fleet::Fleet;
use crate::machine::{Rejected, Rules};

/// Inputs that go into one append at most.
pub const MAX_INPUTS: usize = 256;

/// Records read at a time when the fold is made anew.
const PAGE: usize = 1_000;

/// What came of one step.
#[derive(Debug, Default)]
pub struct Stepped {
    /// Effects to perform and the next deadline; durable before they stand here.
    pub pending: Pending,
    /// Inputs that meant nothing, by place in the list, and why.
    pub rejected: Vec<(usize, Rejected)>,
}

/// Takes every input that is ready, decides and folds each in order, and appends all that was decided at once.
///
/// # Errors
/// [`AppendRefused`], and then nothing was recorded, the fleet is as the record has it, and no input was taken: give
/// them again, unless the epoch is lost.
pub async fn step(
    fleet: &mut Fleet,
    inputs: &[RunInput],
    rules: &Rules,
    now: Timestamp,
    epoch: u64,
    store: &dyn Store,
) -> Result<Pending, AppendRefused> {
    step_told(fleet, inputs, rules, now, epoch, store).await.map(|stepped| {
        for (place, rejected) in &stepped.rejected {
            tracing::debug!(place, %rejected, "an input meant nothing");
        }
        stepped.pending
    })
}

/// As [`step`], and tells which inputs were rejected.
///
/// # Errors
/// As [`step`].
pub async fn step_told(
    fleet: &mut Fleet,
    inputs: &[RunInput],
    rules: &Rules,
    now: Timestamp,
    epoch: u64,
    store: &dyn Store,
) -> Result<Stepped, AppendRefused> {
    assert!(
        inputs.len() <= MAX_INPUTS,
        "at most {MAX_INPUTS} inputs go into one append, not {}",
        inputs.len()
    );
    let mut entries = Vec::new();
    let mut rejected = Vec::new();
    for (place, input) in inputs.iter().enumerate() {
        match fleet.decide(input, rules, now, epoch) {
            Ok(decided) => entries.extend(decided),
            Err(why) => rejected.push((place, why)),
        }
    }
    // What became due while nobody looked is looked at without being asked.
    if fleet.take_fresh()
        && let Ok(decided) = fleet.decide(&RunInput::Due, rules, now, epoch)
    {
        entries.extend(decided);
    }
    if !entries.is_empty() {
        let expect = expected(fleet, &entries);
        let told: Vec<Entry> =
            if tracing::enabled!(tracing::Level::INFO) { entries.clone() } else { Vec::new() };
        let drafts = entries.into_iter().map(|entry| Draft::new(now, entry)).collect();
        if let Err(refused) = store.append(drafts, Vec::new(), &expect, epoch).await {
            tracing::warn!(%refused, "the record refused what was decided: deciding from the record again");
            *fleet = rebuild(std::mem::take(fleet), store).await.map_err(AppendRefused::Failed)?;
            return Err(refused);
        }
        told.iter().for_each(tell);
    }
    Ok(Stepped { pending: fleet.pending(rules, now), rejected })
}

/// The fleet as the record has it, after a restart.
///
/// The inputs are to be given to [`step`] before anything else: they tell of changes whose answers were lost with the
/// last process. Their effects are not handed out again; every other open effect is.
///
/// # Errors
/// [`StoreError`] where the record cannot be read.
pub async fn recover(
    limit: usize,
    store: &dyn Store,
) -> Result<(Fleet, Vec<RunInput>), StoreError> {
    let mut fleet = rebuild(Fleet::new(limit), store).await?;
    let lost = fleet.lost("the program ended before the answer was recorded");
    Ok((fleet, lost))
}

async fn rebuild(fleet: Fleet, store: &dyn Store) -> Result<Fleet, StoreError> {
    let mut fleet = fleet.emptied();
    let mut after = 0;
    loop {
        let page = store.read(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(fleet) };
        after = last.seq;
        for record in &page {
            // Only what the fleet folds is decoded: the rest may be large, or erased.
            if matches!(record.kind.as_str(), "Run" | "Fleet") {
                fleet.apply(&record.entry()?);
            }
        }
    }
}

/// Tells what was recorded, with the ids that it is about.
fn tell(entry: &Entry) {
    let Entry::Run { run, event } = entry else { return };
    match event {
        Event::Started { plan, by, .. } => {
            tracing::info!(%run, plan = %plan.id, incident = %plan.incident, by, "run started")
        }
        Event::StepStarted { step, attempt, .. } => {
            tracing::info!(%run, step, attempt, "step started")
        }
        Event::StepSucceeded { step, .. } => tracing::info!(%run, step, "step succeeded"),
        Event::StepSkipped { step, why } => tracing::info!(%run, step, why, "step skipped"),
        Event::RetryScheduled { step, why, until, .. } => {
            tracing::info!(%run, step, why, %until, "step will be tried again")
        }
        Event::StepFailed { step, why, .. } => tracing::warn!(%run, step, why, "step failed"),
        Event::ApprovalAsked { step, reason, expires_at } => {
            tracing::info!(%run, step, reason, %expires_at, "approval asked")
        }
        Event::Regressed { step, object, .. } => tracing::warn!(%run, step, %object, "health fell"),
        Event::UnwindStarted { why, .. } => tracing::warn!(%run, why, "undoing what was applied"),
        Event::StepCompensated { step, how, .. } => tracing::info!(%run, step, how, "step undone"),
        Event::CompensationFailed { step, residue, .. } => {
            tracing::error!(%run, step, residue, "step could not be undone")
        }
        Event::HumanNeeded { step, why } => tracing::error!(%run, step, why, "a person must look"),
        Event::Held { by, reason, .. } => tracing::warn!(%run, by, reason, "run stopped"),
        Event::Ended { status, why, .. } => tracing::info!(%run, ?status, why, "run ended"),
        Event::Admitted { .. }
        | Event::BaselineMeasured { .. }
        | Event::ConditionJudged { .. }
        | Event::ApprovalAnswered { .. }
        | Event::Observed { .. }
        | Event::ReadFailed { .. }
        | Event::IntentWritten { .. }
        | Event::EffectAnswered { .. }
        | Event::ActionDone { .. }
        | Event::HealthMeasured { .. }
        | Event::AlertChanged { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Released { .. }
        | Event::CancelAsked { .. }
        | Event::AbortStarted { .. }
        | Event::CompensationStarted { .. }
        | Event::CompensationRetryScheduled { .. } => {}
    }
}

/// The versions that the guard read: of every stream that an intent was decided by, as it stood before this append.
fn expected(fleet: &Fleet, entries: &[Entry]) -> Vec<(String, u64)> {
    let mut streams: Vec<String> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Run { event: Event::IntentWritten { request, .. }, .. } => {
                Some(fleet.read_for(&request.target))
            }
            _ => None,
        })
        .flatten()
        // A lock that was taken and let go within this append is read as well.
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
