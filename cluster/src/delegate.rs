use async_trait::async_trait;

use crate::{
    Cluster, Consistency, Kind, ListQuery, LogQuery, Object, ObjectRef, Page, ReadFailure, Request,
    WatchEvent, WriteReply,
};

/// A [`Cluster`] that passes each call on to another cluster, except for the methods that it overrides.
///
/// Every implementation is a [`Cluster`].
#[async_trait]
pub trait Delegate: Send + Sync {
    /// Returns the cluster that calls are passed on to.
    fn inner(&self) -> &dyn Cluster;

    /// As [`Cluster::name`].
    fn name(&self) -> &str {
        self.inner().name()
    }

    /// As [`Cluster::get`].
    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        self.inner().get(object, consistency).await
    }

    /// As [`Cluster::list`].
    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        self.inner().list(query).await
    }

    /// As [`Cluster::watch_since`].
    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        self.inner().watch_since(kind, namespace, resource_version).await
    }

    /// As [`Cluster::send`].
    async fn send(&self, request: &Request) -> WriteReply {
        self.inner().send(request).await
    }

    /// As [`Cluster::logs`].
    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        self.inner().logs(query).await
    }

    /// As [`Cluster::can_i`].
    async fn can_i(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        self.inner().can_i(verb, kind, namespace).await
    }
}

#[async_trait]
impl<T: Delegate> Cluster for T {
    fn name(&self) -> &str {
        Delegate::name(self)
    }

    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure> {
        Delegate::get(self, object, consistency).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure> {
        Delegate::list(self, query).await
    }

    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure> {
        Delegate::watch_since(self, kind, namespace, resource_version).await
    }

    async fn send(&self, request: &Request) -> WriteReply {
        Delegate::send(self, request).await
    }

    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure> {
        Delegate::logs(self, query).await
    }

    async fn can_i(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure> {
        Delegate::can_i(self, verb, kind, namespace).await
    }
}
