use async_trait::async_trait;
use jiff::Timestamp;
use workflow::{Digest, Draft};

use crate::error::StoreError;
use crate::projection::{Row, Table};
use crate::record::Record;

/// The append-only record and its projections.
///
/// There is one writer at a time, the one that claimed the current epoch, and any number of readers.
#[async_trait]
pub trait Store: Send + Sync {
    /// Claims the record for a new writer and returns its epoch, the last epoch + 1, once it is durable. Appends with an
    /// older epoch are refused from then on.
    ///
    /// # Errors
    /// [`StoreError`] if the claim cannot be made durable.
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError>;

    /// Appends `drafts` in order, stores `blobs` and updates the projections, atomically and durably.
    ///
    /// `expect` lists streams with the versions that they must have before this append. The returned records contain
    /// the payload decoded from its canonical bytes, so that folds receive the same value live and in a replay.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was written then.
    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendError>;

    /// Returns the blob with this digest, if it was ever appended.
    async fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns at most `limit` records with a `seq` above `after`, in order.
    async fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Returns every record of a stream, in order.
    async fn stream(&self, id: &str) -> Result<Vec<Record>, StoreError>;

    /// Returns the number of records in a stream, 0 if the stream does not exist.
    async fn version(&self, stream: &str) -> Result<u64, StoreError>;

    /// Returns the `seq` of the last record, 0 if there is none.
    async fn head(&self) -> Result<u64, StoreError>;

    /// Like [`read`](Self::read), but waits until there is at least one record.
    async fn follow(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// Stores a snapshot of the fold `name` taken after record `seq`. Replaces the previous one.
    async fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// Returns the last snapshot of the fold `name` with the `seq` after which it was taken.
    async fn snapshot(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// Returns one row of a projection.
    async fn row(&self, table: Table, id: &str) -> Result<Option<Row>, StoreError>;

    /// Lists rows of a projection, newest first.
    async fn rows(&self, table: Table, page: &PageRequest) -> Result<ListPage<Row>, StoreError>;
}

/// Parameters of a list of rows. An absent filter matches every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Maximum number of rows, 1 to 1,000.
    pub limit: usize,
    /// Cursor of the page, from [`ListPage::next`] of the previous one.
    pub after: Option<String>,
    /// Matches the status.
    pub status: Option<String>,
    /// Matches the id of the related incident.
    pub incident: Option<String>,
    /// Matches the id of the related plan.
    pub plan: Option<String>,
    /// Matches the id of the related run.
    pub run: Option<String>,
    /// Matches the id of the related experiment.
    pub experiment: Option<String>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            limit: 100,
            after: None,
            status: None,
            incident: None,
            plan: None,
            run: None,
            experiment: None,
        }
    }
}

impl PageRequest {
    /// Maximum number of rows in one page.
    pub const MAX: usize = 1_000;

    /// Returns the limit, clamped to its range.
    pub fn limit(&self) -> usize {
        self.limit.clamp(1, Self::MAX)
    }

    /// Requests the rows of an incident, up to the maximum of one page.
    pub fn of_incident(incident: &str) -> Self {
        Self { limit: Self::MAX, incident: Some(incident.into()), ..Self::default() }
    }

    /// Requests the rows of a plan, up to the maximum of one page.
    pub fn of_plan(plan: &str) -> Self {
        Self { limit: Self::MAX, plan: Some(plan.into()), ..Self::default() }
    }

    /// Requests the rows of a run, up to the maximum of one page.
    pub fn of_run(run: &str) -> Self {
        Self { limit: Self::MAX, run: Some(run.into()), ..Self::default() }
    }

    /// Decodes the cursor: `first_seq` and id of the last row of the previous page.
    pub(crate) fn position(&self) -> Result<Option<(u64, String)>, StoreError> {
        let Some(cursor) = &self.after else { return Ok(None) };
        let position =
            cursor.split_once('.').and_then(|(seq, id)| Some((seq.parse().ok()?, id.to_string())));
        position
            .map(Some)
            .ok_or_else(|| StoreError::InvalidCursor { cursor: cursor.chars().take(64).collect() })
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPage<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
}

impl<T> ListPage<T> {
    /// Maps every item.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> ListPage<U> {
        ListPage { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

impl ListPage<Row> {
    /// Builds a page of at most `limit` rows. `rows` has one more if there is a next page.
    pub(crate) fn cut(mut rows: Vec<Row>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| format!("{}.{}", row.first_seq, row.id));
        Self { items: rows, next }
    }
}

/// Error of an append. Nothing of the append was written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The given epoch is not the current one: another writer claimed the record, or this writer never did.
    #[error("epoch {ours} is not current: {}", match .current { 0 => "no epoch has been claimed yet".to_string(), n => format!("the current epoch is {n}") })]
    StaleEpoch {
        ours: u64,
        /// The current epoch, 0 if none was ever claimed.
        current: u64,
    },
    /// The stream has changed since it was read.
    #[error(
        "stream `{stream}` is at version {found}, expected {expected}: it was changed concurrently"
    )]
    VersionConflict { stream: String, expected: u64, found: u64 },
    #[error("draft {index} of kind `{kind}` cannot be recorded: {message}")]
    Invalid {
        /// Index in the list of drafts, from 0.
        index: usize,
        /// Kind of the entry.
        kind: String,
        message: String,
    },
    /// The append could not be made durable. The store accepts no more writes until the process is restarted.
    #[error("the record could not be written")]
    Failed(#[source] StoreError),
}

impl AppendError {
    /// Returns how to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::StaleEpoch { .. } => {
                "stop this writer: another one is active; a restart claims a new epoch"
            }
            Self::VersionConflict { .. } => "read the stream again and repeat the decision",
            Self::Invalid { .. } => {
                "this is a bug in the code that created the draft; write big integers as text and leave non-finite numbers out"
            }
            Self::Failed(error) => error.hint(),
        }
    }
}
