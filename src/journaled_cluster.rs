//! The cluster port of a persistent simulation.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::{Cluster, Delegate, Mode, NotSent, Request, WriteReply};
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
impl Delegate for JournaledCluster {
    fn inner(&self) -> &dyn Cluster {
        &self.inner
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
}
