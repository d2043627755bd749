//! A simulated cluster whose changes are intercepted.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Object, ObjectRef, Page, ReadFailure, Request,
    WatchEvent, WriteReply,
};
use simulator::SimulatedCluster;

/// Calls a function before each change, dry runs included.
pub(crate) struct InterceptedCluster {
    pub(crate) inner: Arc<SimulatedCluster>,
    pub(crate) before_send: Box<dyn Fn(&Request) + Send + Sync>,
}

#[async_trait]
impl Cluster for InterceptedCluster {
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
        (self.before_send)(request);
        self.inner.send(request).await
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
