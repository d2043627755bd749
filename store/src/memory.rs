use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;
use workflow::{Digest, Draft};

use crate::port::{AppendRefused, Listing, Page, Store, StoreError};
use crate::projection::{Row, RowsInMemory, Table, project};
use crate::record::Record;
use crate::salts::Salts;
use crate::seal::{Head, MAX_PAYLOAD_BYTES, Prepared, check_epoch, claim, prepare};

/// A record in memory, for evaluations and tests. It is gone with the process.
#[derive(Debug)]
pub struct Memory {
    salts: Salts,
    state: Mutex<State>,
    /// Seq of the last record, for those who follow.
    reached: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    head: Head,
    records: Vec<Record>,
    /// Seqs of each stream, in order.
    streams: BTreeMap<String, Vec<u64>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    rows: RowsInMemory,
    snapshots: BTreeMap<String, (u64, Vec<u8>)>,
}

impl Memory {
    /// An empty record.
    pub fn new(salts: Salts) -> Self {
        Self { salts, state: Mutex::default(), reached: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this lock")
    }
}

impl State {
    fn write(&mut self, prepared: Prepared, salts: &Salts) -> Record {
        let seqs = self.streams.entry(prepared.stream.clone()).or_default();
        let version = seqs.len() as u64 + 1;
        let sealed = self.head.seal(prepared, version, salts);
        seqs.push(sealed.record.seq);
        if sealed.text.len() > MAX_PAYLOAD_BYTES {
            let bytes = sealed.text.into_bytes();
            self.blobs.insert(Digest::of(&bytes), bytes);
        }
        project(&sealed.entry, &sealed.record, &mut self.rows)
            .expect("rows in memory are always readable");
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
        self.reached.send_replace(seq);
        Ok(epoch)
    }

    async fn append(
        &self,
        drafts: Vec<Draft>,
        blobs: Vec<Vec<u8>>,
        expect: &[(String, u64)],
        epoch: u64,
    ) -> Result<Vec<Record>, AppendRefused> {
        let prepared = prepare(drafts)?;
        let mut state = self.state();
        check_epoch(&state.head, epoch)?;
        for (stream, expected) in expect {
            let found = state.version(stream);
            if found != *expected {
                return Err(AppendRefused::Moved {
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
            self.reached.send_replace(seq);
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
        let mut reached = self.reached.subscribe();
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

    async fn rows(&self, table: Table, page: &Page) -> Result<Listing<Row>, StoreError> {
        let position = page.position()?;
        let state = self.state();
        let fits = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let mut found: Vec<&Row> = state
            .rows
            .table(table)
            .filter(|row| fits(&page.status, &row.status) && fits(&page.incident, &row.incident))
            .filter(|row| fits(&page.plan, &row.plan) && fits(&page.run, &row.run))
            .filter(|row| {
                position
                    .as_ref()
                    .is_none_or(|(seq, id)| (row.first_seq, row.id.as_str()) < (*seq, id.as_str()))
            })
            .collect();
        found.sort_by(|a, b| (b.first_seq, &b.id).cmp(&(a.first_seq, &a.id)));
        Ok(Listing::cut(found.into_iter().take(page.limit() + 1).cloned().collect(), page.limit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::check_store;
    use crate::contract::sample::{at, story};

    #[tokio::test]
    async fn memory_keeps_every_promise() {
        check_store(&Memory::new(Salts::System)).await;
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_chain() {
        let mut heads = Vec::new();
        for seed in ["42", "42", "43"] {
            let store = Memory::new(Salts::seeded(seed));
            let epoch = store.claim(at(0), "test").await.unwrap();
            heads.push(
                store.append(story(1), Vec::new(), &[], epoch).await.unwrap().pop().unwrap().digest,
            );
        }
        assert_eq!(heads[0], heads[1]);
        assert_ne!(heads[0], heads[2]);
    }
}
