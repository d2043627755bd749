//! A simulated cluster with a response time.

use std::time::Duration;

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, MetricQuery, Metrics, Object, ObjectRef, Page,
    ReadFailure, Request, Sample, WatchEvent, WriteReply,
};
use simulator::SimulatedCluster;

/// A simulated cluster in which each call takes a fixed time on the wall clock.
pub(super) struct DelayedCluster {
    inner: SimulatedCluster,
    latency: Duration,
}

impl DelayedCluster {
    /// Delays each call to `inner` by `latency`.
    pub(super) fn new(inner: SimulatedCluster, latency: Duration) -> Self {
        Self { inner, latency }
    }

    async fn delayed(&self) -> &SimulatedCluster {
        tokio::time::sleep(self.latency).await;
        &self.inner
    }
}

#[async_trait]
impl Cluster for DelayedCluster {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        self.delayed().await.get(object, consistency).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        self.delayed().await.list(query).await
    }

    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.delayed().await.watch_since(kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> WriteReply {
        self.delayed().await.send(request).await
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.delayed().await.logs(query).await
    }

    async fn can_i(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.delayed().await.can_i(verb, kind, namespace).await
    }
}

#[async_trait]
impl Metrics for DelayedCluster {
    async fn query(&self, query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure> {
        self.delayed().await.query(query).await
    }
}
