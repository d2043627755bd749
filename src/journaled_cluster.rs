//! The port over a simulated world whose changes are kept.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Mode, Object, ObjectRef, Page, ReadFailure,
    Reply, Request, WatchEvent,
};
use simulator::SimulatedCluster;

use crate::journal::{Deed, Journal, Line};

/// A simulated cluster that notes each change before it makes it.
#[derive(Clone)]
pub(crate) struct JournaledCluster {
    inner: SimulatedCluster,
    journal: Arc<Journal>,
}

impl JournaledCluster {
    /// Puts a journal before `inner`.
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

    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.inner.changes(kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> Reply {
        match request.mode {
            Mode::DryRun => self.inner.send(request).await,
            Mode::Apply => {
                let (this, request) = (self.clone(), request.clone());
                // Waiting for the disk is no work for a thread that serves others.
                let sent = tokio::task::spawn_blocking(move || {
                    let deed = Deed::Request { request: Box::new(request.clone()) };
                    let sent =
                        this.inner.send_after(&request, |at| this.journal.note(&Line { at, deed }));
                    sent.unwrap_or_else(|error| {
                        tracing::error!(path = %this.journal.path().display(), %error, "a change cannot be noted, so it is not made");
                        Reply::Refused { code: 507, reason: "InsufficientStorage".into(), message: format!("the journal cannot be written: {error}") }
                    })
                });
                sent.await.unwrap_or_else(|error| Reply::Unknown {
                    message: format!("the request did not end: {error}"),
                })
            }
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.inner.logs(query).await
    }

    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.inner.may(verb, kind, namespace).await
    }
}
