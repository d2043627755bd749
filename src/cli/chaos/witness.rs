//! What the record says of one run, read beside the server that writes it or after its end.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use store::{Sqlite, Store as _};
use workflow::Entry;
use workflow::id::RunId;
use workflow::run::{Applied, Event, RunStatus};

/// One run, as far as the record holds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The run; none before it began.
    pub(crate) run: Option<RunId>,
    /// How many appends hold something of it: events of one append have one time.
    pub(crate) positions: usize,
    /// When the last of them was.
    pub(crate) last: Option<Timestamp>,
    /// Keys of the changes that were sent.
    pub(crate) intended: BTreeSet<String>,
    /// Keys of the changes that were made, as far as it knows.
    pub(crate) applied: BTreeSet<String>,
    /// How it ended.
    pub(crate) status: Option<RunStatus>,
    /// Why it ended so, or what a person is needed for.
    pub(crate) why: String,
}

/// A reader of the record that looks for the run in one namespace.
pub(crate) struct Witness {
    store: Sqlite,
    namespace: String,
    after: u64,
    seen: Seen,
}

impl Witness {
    /// Reads the record in `dir` from `after` on, looking for the first run whose targets are in `namespace`.
    ///
    /// # Errors
    /// Where the record cannot be opened.
    pub(crate) fn new(dir: &Path, namespace: &str, after: u64) -> Result<Self> {
        let store = Sqlite::open_read_only(dir).context("cannot read the record")?;
        Ok(Self { store, namespace: namespace.into(), after, seen: Seen::default() })
    }

    /// Where the record ends now.
    pub(crate) async fn head(dir: &Path) -> Result<u64> {
        Ok(Sqlite::open_read_only(dir)?.head().await?)
    }

    /// The keys of all changes that any run in the record in `dir` announced.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub(crate) async fn announced(dir: &Path) -> Result<BTreeSet<String>> {
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

    /// What is seen by now.
    pub(crate) async fn look(&mut self) -> Result<&Seen> {
        loop {
            let records = self.store.read(self.after, 1_000).await?;
            let Some(last) = records.last() else { return Ok(&self.seen) };
            self.after = last.seq;
            for record in &records {
                if let Entry::Run { run, event } = record.entry()? {
                    self.note(run, event, record.at);
                }
            }
        }
    }

    fn note(&mut self, run: RunId, event: Event, at: Timestamp) {
        let seen = &mut self.seen;
        if let (None, Event::Started { plan, .. }) = (&seen.run, &event) {
            let is_ours = |target: &cluster::ObjectRef| {
                target.namespace.as_deref() == Some(self.namespace.as_str())
            };
            if plan.targets.iter().any(is_ours) {
                seen.run = Some(run.clone());
            }
        }
        if seen.run.as_ref() != Some(&run) {
            return;
        }
        if seen.last != Some(at) {
            seen.last = Some(at);
            seen.positions += 1;
        }
        match event {
            Event::IntentWritten { key, .. } => {
                seen.intended.insert(key);
            }
            Event::EffectAnswered { key, applied: Applied::Yes, .. } => {
                seen.applied.insert(key);
            }
            Event::HumanNeeded { why, .. } => seen.why = why,
            Event::Ended { status, why, .. } => {
                seen.status = Some(status);
                seen.why = why;
            }
            // Nothing of this changes what was sent or made, or ends the run.
            _ => {}
        }
    }
}
