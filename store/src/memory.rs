use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use workflow::{Digest, Draft};

use crate::error::StoreError;
use crate::port::{AppendError, ListPage, PageRequest, Store};
use crate::projection::{Row, RowsInMemory, Table, project};
use crate::record::Record;
use crate::salts::Salts;
use crate::seal::{ChainHead, MAX_PAYLOAD_BYTES, PreparedDraft, check_epoch, claim, prepare};

/// A record in memory, for evaluations and tests.
#[derive(Debug)]
pub struct Memory {
    salts: Salts,
    state: Mutex<MemoryState>,
    /// `seq` of the last record, for callers of `follow`.
    head_tx: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct MemoryState {
    head: ChainHead,
    records: Vec<Record>,
    /// `seq`s of each stream, in order.
    streams: BTreeMap<String, Vec<u64>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    rows: RowsInMemory,
    snapshots: BTreeMap<String, (u64, Vec<u8>)>,
}

impl Memory {
    /// Creates an empty record.
    pub fn new(salts: Salts) -> Self {
        Self { salts, state: Mutex::default(), head_tx: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryState {
    fn write(&mut self, prepared: PreparedDraft, salts: &Salts) -> Record {
        let seqs = self.streams.entry(prepared.stream.clone()).or_default();
        let version = seqs.len() as u64 + 1;
        let sealed = self.head.seal(prepared, version, salts);
        seqs.push(sealed.record.seq);
        if sealed.text.len() > MAX_PAYLOAD_BYTES {
            let bytes = sealed.text.into_bytes();
            self.blobs.insert(Digest::of(&bytes), bytes);
        }
        project(&sealed.entry, &sealed.record, &mut self.rows)
            .expect("rows in memory never fail to load");
        self.records.push(sealed.record.clone());
        sealed.record
    }

    fn after(&self, after: u64, limit: usize) -> Vec<Record> {
        let start = usize::try_from(after).unwrap_or(usize::MAX).min(self.records.len());
        self.records[start..].iter().take(limit).cloned().collect()
    }

    fn version(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |seqs| seqs.len() as u64)
    }
}

#[async_trait]
impl Store for Memory {
    async fn claim(&self, at: Timestamp, program: &str) -> Result<u64, StoreError> {
        let mut state = self.state();
        let epoch = state.head.epoch + 1;
        let seq = state.write(claim(at, epoch, program), &self.salts).seq;
        drop(state);
        self.head_tx.send_replace(seq);
        Ok(epoch)
    }

    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendError> {
        let prepared = prepare(drafts)?;
        let mut state = self.state();
        check_epoch(&state.head, epoch)?;
        for (stream, expected) in expect {
            let found = state.version(stream);
            if found != *expected {
                return Err(AppendError::VersionConflict {
                    stream: stream.clone(),
                    expected: *expected,
                    found,
                });
            }
        }
        for bytes in blobs {
            state.blobs.insert(Digest::of(&bytes), bytes);
        }
        let records: Vec<Record> =
            prepared.into_iter().map(|prepared| state.write(prepared, &self.salts)).collect();
        let seq = state.head.seq;
        drop(state);
        if !records.is_empty() {
            self.head_tx.send_replace(seq);
        }
        Ok(records)
    }

    async fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().blobs.get(digest).cloned())
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        Ok(self.state().after(after, limit))
    }

    async fn stream(&self, id: &str) -> Result<Vec<Record>, StoreError> {
        let state = self.state();
        let seqs = state.streams.get(id).map(Vec::as_slice).unwrap_or_default();
        Ok(seqs.iter().map(|seq| state.records[*seq as usize - 1].clone()).collect())
    }

    async fn version(&self, stream: &str) -> Result<u64, StoreError> {
        Ok(self.state().version(stream))
    }

    async fn head(&self) -> Result<u64, StoreError> {
        Ok(self.state().head.seq)
    }

    async fn follow(&self, after: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let mut reached = self.head_tx.subscribe();
        reached.wait_for(|seq| *seq > after).await.expect("the sender lives as long as the store");
        self.read(after, limit).await
    }

    async fn put_snapshot(&self, name: &str, seq: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.state().snapshots.insert(name.into(), (seq, bytes.to_vec()));
        Ok(())
    }

    async fn snapshot(&self, name: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        Ok(self.state().snapshots.get(name).cloned())
    }

    async fn row(&self, table: Table, id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.state().rows.row(table, id).cloned())
    }

    async fn rows(&self, table: Table, page: &PageRequest) -> Result<ListPage<Row>, StoreError> {
        let position = page.position()?;
        let state = self.state();
        let matches = |filter: &Option<String>, value: &str| {
            filter.as_deref().is_none_or(|filter| filter == value)
        };
        let mut found: Vec<&Row> = state
            .rows
            .table(table)
            .filter(|row| matches(&page.status, &row.status))
            .filter(|row| matches(&page.incident, &row.incident))
            .filter(|row| matches(&page.plan, &row.plan) && matches(&page.run, &row.run))
            .filter(|row| matches(&page.experiment, &row.experiment))
            .filter(|row| {
                position
                    .as_ref()
                    .is_none_or(|(seq, id)| (row.first_seq, row.id.as_str()) < (*seq, id.as_str()))
            })
            .collect();
        found.sort_by(|a, b| (b.first_seq, &b.id).cmp(&(a.first_seq, &a.id)));
        Ok(ListPage::cut(found.into_iter().take(page.limit() + 1).cloned().collect(), page.limit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::check_store;
    use crate::contract::sample::{at, incident_history};

    #[tokio::test]
    async fn memory_store_satisfies_contract() {
        check_store(&Memory::new(Salts::System)).await;
    }

    #[tokio::test]
    async fn seeded_salts_make_chain_reproducible() {
        let mut heads = Vec::new();
        for seed in ["42", "42", "43"] {
            let store = Memory::new(Salts::seeded(seed));
            let epoch = store.claim(at(0), "test").await.unwrap();
            heads.push(
                store
                    .append(incident_history(1), Vec::new(), &[], epoch)
                    .await
                    .unwrap()
                    .pop()
                    .unwrap()
                    .digest,
            );
        }
        assert_eq!(heads[0], heads[1]);
        assert_ne!(heads[0], heads[2]);
    }
}
