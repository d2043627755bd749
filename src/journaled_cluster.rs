//! The cluster port of a persistent simulation.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Mode, NotSent, Object, ObjectRef, Page,
    ReadFailure, Request, WatchEvent, WriteReply,
};
use simulator::SimulatedCluster;

use crate::journal::{Journal, JournalEntry, WorldMutation};

/// A simulated cluster that writes each change to a journal before it applies the change.
#[derive(Clone)]
pub(crate) struct JournaledCluster {
    inner: SimulatedCluster,
    journal: Arc<Journal>,
}

impl JournaledCluster {
    /// Wraps `inner` with a journal.
    pub(crate) fn new(inner: SimulatedCluster, journal: Arc<Journal>) -> Self {
        Self { inner, journal }
    }
}

#[async_trait]
impl Cluster for JournaledCluster {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        self.inner.get(object, consistency).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        self.inner.list(query).await
    }

    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.inner.watch_since(kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> WriteReply {
        match request.mode {
            Mode::DryRun => self.inner.send(request).await,
            Mode::Commit => {
                let (this, request) = (self.clone(), request.clone());
                // Writing the journal waits for the disk, which would block a thread that serves other requests.
                let sent = tokio::task::spawn_blocking(move || {
                    let mutation = WorldMutation::Request { request: Box::new(request.clone()) };
                    let sent = this.inner.send_after(&request, |at| {
                        this.journal.append(&JournalEntry { at, mutation })
                    });
                    sent.unwrap_or_else(|error| {
                        tracing::error!(path = %this.journal.path().display(), %error, "cannot write the journal, so the change is not applied");
                        WriteReply::NotSent(NotSent::JournalFailed { message: error.to_string() })
                    })
                });
                sent.await.unwrap_or_else(|error| WriteReply::Unknown {
                    message: format!("the request panicked: {error}"),
                })
            }
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.inner.logs(query).await
    }

    async fn can_i(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.inner.can_i(verb, kind, namespace).await
    }
}
