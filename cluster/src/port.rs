use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Kind, Object, ObjectRef, Request, Selector, WriteReply};

/// Consistency of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consistency {
    /// Reads the currently stored state (a quorum read). Required for every read that prepares or resolves an effect.
    Latest,
    /// Reads from a cache, which may be stale.
    Cached,
}

/// Which objects to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// Kind of the objects.
    pub kind: Kind,
    /// Namespace of the objects. Default: all namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Label selector. Default: any labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Consistency of the list.
    pub consistency: Consistency,
    /// Maximum number of objects per page. Default: the implementation's page size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Token of the previous page ([`Page::continue_token`]). Default: starts at the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
}

impl ListQuery {
    /// Queries all objects of `kind` in `namespace` (default: all namespaces) with [`Consistency::Latest`].
    pub fn latest(kind: Kind, namespace: Option<&str>) -> Self {
        Self {
            kind,
            namespace: namespace.map(Into::into),
            selector: None,
            consistency: Consistency::Latest,
            limit: None,
            continue_token: None,
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The objects, sorted by namespace and name.
    pub items: Vec<Object>,
    /// Resource version of the list, from which a watch can start.
    pub resource_version: String,
    /// Token of the next page; absent on the last page.
    pub continue_token: Option<String>,
}

/// The reason why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "failure")]
pub enum ReadFailure {
    /// The API server rejected the read (403, 400, …); a retry fails in the same way.
    #[error("cannot read {resource}: the API server returned {code}: {message}")]
    Refused {
        /// The object, list or log that was read.
        resource: String,
        /// HTTP status code.
        code: u16,
        /// The API server's message.
        message: String,
    },
    /// The API server is unreachable or overloaded; a retry may succeed.
    #[error("cannot read {resource}: {message}")]
    Unavailable {
        /// The object, list or log that was read.
        resource: String,
        /// Description of the failure.
        message: String,
    },
    /// The requested resource version is compacted (410, `Expired`); the caller has to list again.
    #[error("the requested resource version is too old: list again")]
    Gone,
}

impl ReadFailure {
    /// Returns whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Refused { .. } | Self::Gone => false,
        }
    }
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// The object was created, or starts to match the watch.
    Added(Object),
    /// The object changed.
    Modified(Object),
    /// The object was deleted; contains its last state.
    Deleted(Object),
    /// All changes up to this resource version were delivered.
    Bookmark(String),
}

/// Which log lines to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogQuery {
    /// Pod that runs the container.
    pub pod: ObjectRef,
    /// Name of the container within the pod.
    pub container: String,
    /// Reads the log of the previous, terminated instance of the container (`kubectl logs --previous`).
    pub previous: bool,
    /// Maximum number of lines; the most recent ones are returned.
    pub tail_lines: usize,
}

/// Access to a Kubernetes cluster.
///
/// The required behaviour is specified by the tests in `contract` (feature `testing`). Implementations never retry a change and
/// bound every wait with a timeout. Implementations never return the values of Secrets: they replace each value by its
/// keyed digest ([`crate::SecretKey`]).
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Returns the configured name of the cluster, which every [`ObjectRef`] to its objects carries.
    fn name(&self) -> &str;

    /// Reads one object. Returns `None` if it does not exist, or if `object` has a uid and the stored object another one.
    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure>;

    /// Reads one page of a list.
    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure>;

    /// Returns the changes of `kind` in `namespace` (default: all namespaces) after `resource_version` up to now, without
    /// waiting for further changes.
    ///
    /// # Errors
    /// [`ReadFailure::Gone`] if that version is compacted.
    async fn watch_since(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure>;

    /// Sends one change, without retries.
    async fn send(&self, request: &Request) -> WriteReply;

    /// Returns the last log lines of a container; empty if it has not written any.
    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure>;

    /// Returns whether the current user is allowed to do `verb` (`get`, `patch`, …) on `kind` in `namespace`, as
    /// `kubectl auth can-i` does.
    async fn can_i(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure>;
}

/// An instant query for time series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricQuery {
    /// Metric name in Prometheus.
    pub metric: String,
    /// Labels that have to match exactly.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Look-back window in seconds: 0 returns the latest value, any other window the average over it.
    #[serde(default)]
    pub window_seconds: u32,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Time of the measurement.
    pub at: Timestamp,
    /// Measured value; always finite.
    pub value: f64,
}

/// A source of metrics. A series without measurements is absent, never zero.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// Returns the matching samples, sorted by their labels.
    async fn query(&self, query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure>;
}
