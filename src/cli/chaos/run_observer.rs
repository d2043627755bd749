//! Reads one run from the record while the server writes it, or after the server ended.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use store::{Sqlite, Store as _};
use workflow::Entry;
use workflow::id::RunId;
use workflow::run::{Applied, Event, RunStatus};

/// One run, as far as it is recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObservedRun {
    /// Id of the run; `None` until it starts.
    pub(crate) run: Option<RunId>,
    /// Number of appends with events of the run. Events of one append have the same time.
    pub(crate) positions: usize,
    /// Time of the last append.
    pub(crate) last: Option<Timestamp>,
    /// Keys of the changes that were sent to the cluster.
    pub(crate) intended: BTreeSet<String>,
    /// Keys of the changes that are recorded as made.
    pub(crate) applied: BTreeSet<String>,
    /// Final status.
    pub(crate) status: Option<RunStatus>,
    /// Explains the status, or why an operator must intervene.
    pub(crate) message: String,
}

/// Reads the record and follows the first run in one namespace.
pub(crate) struct RunObserver {
    store: Sqlite,
    namespace: String,
    after: u64,
    observed: ObservedRun,
}

impl RunObserver {
    /// Opens the record in `dir` and follows the first run after position `after` with a target in `namespace`.
    ///
    /// # Errors
    /// If the record cannot be opened.
    pub(crate) fn new(dir: &Path, namespace: &str, after: u64) -> Result<Self> {
        let store = Sqlite::open_read_only(dir).context("cannot read the record")?;
        Ok(Self { store, namespace: namespace.into(), after, observed: ObservedRun::default() })
    }

    /// Returns the position of the end of the record.
    pub(crate) async fn head(dir: &Path) -> Result<u64> {
        Ok(Sqlite::open_read_only(dir)?.head().await?)
    }

    /// Returns the keys of all changes in the record in `dir`.
    ///
    /// # Errors
    /// If the record cannot be read.
    pub(crate) async fn recorded_keys(dir: &Path) -> Result<BTreeSet<String>> {
        let store = Sqlite::open_read_only(dir).context("cannot read the record")?;
        let (mut after, mut keys) = (0, BTreeSet::new());
        loop {
            let records = store.read(after, 1_000).await?;
            let Some(last) = records.last() else { return Ok(keys) };
            after = last.seq;
            for record in &records {
                if let Entry::Run { event: Event::IntentWritten { key, .. }, .. } =
                    record.entry()?
                {
                    keys.insert(key);
                }
            }
        }
    }

    /// Reads all new records and returns the run as observed so far.
    pub(crate) async fn poll(&mut self) -> Result<&ObservedRun> {
        loop {
            let records = self.store.read(self.after, 1_000).await?;
            let Some(last) = records.last() else { return Ok(&self.observed) };
            self.after = last.seq;
            for record in &records {
                if let Entry::Run { run, event } = record.entry()? {
                    self.apply(run, event, record.at);
                }
            }
        }
    }

    fn apply(&mut self, id: RunId, event: Event, at: Timestamp) {
        let run = &mut self.observed;
        if let (None, Event::Started { plan, .. }) = (&run.run, &event) {
            let is_ours = |target: &cluster::ObjectRef| {
                target.namespace.as_deref() == Some(self.namespace.as_str())
            };
            if plan.targets.iter().any(is_ours) {
                run.run = Some(id.clone());
            }
        }
        if run.run.as_ref() != Some(&id) {
            return;
        }
        if run.last != Some(at) {
            run.last = Some(at);
            run.positions += 1;
        }
        match event {
            Event::IntentWritten { key, .. } => {
                run.intended.insert(key);
            }
            Event::EffectAnswered { key, applied: Applied::Yes, .. } => {
                run.applied.insert(key);
            }
            Event::HumanInterventionRequired { message, .. } => run.message = message,
            Event::Ended { status, message, .. } => {
                run.status = Some(status);
                run.message = message;
            }
            // Other events do not send or make changes, or end the run.
            _ => {}
        }
    }
}
