use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Kind, Object, ObjectRef, Reply, Request, Selector};

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Consistency {
    /// What is stored now (a quorum read). Every read that prepares or resolves an effect.
    Latest,
    /// What a cache holds; may lag.
    Cached,
}

/// Which objects to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// Their kind.
    pub kind: Kind,
    /// Their namespace; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Their labels; absent for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// How fresh.
    pub consistency: Consistency,
    /// At most so many in one page; absent for the implementation's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
}

impl ListQuery {
    /// All objects of `kind` in `namespace` (all namespaces where absent), as stored now.
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
    /// The objects, in order of namespace and name.
    pub items: Vec<Object>,
    /// The version of the whole list: where a watch may begin.
    pub resource_version: String,
    /// Present while more follows.
    pub continue_token: Option<String>,
}

/// Why a read gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "failure")]
pub enum ReadFailure {
    /// The cluster refused (403, 400): asking again gives the same.
    #[error("the cluster refused to show {what}: {code} {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// HTTP status.
        code: u16,
        /// The cluster's words.
        message: String,
    },
    /// The cluster cannot be reached or is busy: asking again may help.
    #[error("the cluster did not show {what}: {message}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What was seen.
        message: String,
    },
    /// The version asked for is compacted (410): list again.
    #[error("the version asked for is gone: list again")]
    Gone,
}

impl ReadFailure {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Refused { .. } | Self::Gone => false,
        }
    }
}

/// One change seen by a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// The object is new, or newly matches.
    Added(Object),
    /// The object changed.
    Modified(Object),
    /// The object is gone; its last state.
    Deleted(Object),
    /// Nothing changed up to this version.
    Bookmark(String),
}

/// Which log lines to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogQuery {
    /// The pod.
    pub pod: ObjectRef,
    /// The container.
    pub container: String,
    /// The container's life before this one.
    pub previous: bool,
    /// At most so many lines, the latest.
    pub tail_lines: usize,
}

/// A Kubernetes cluster, as far as Chiron needs one.
///
/// Promises are the functions of [`crate::contract`]. Implementations never retry a change and bound every wait.
/// Values of Secrets never come through: adapters replace each by its keyed digest.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The configured name, as it stands in every [`ObjectRef`].
    fn name(&self) -> &str;

    /// Reads one object; `None` if there is none (or, where `object` has a uid, no such incarnation).
    async fn get(
        &self,
        object: &ObjectRef,
        consistency: Consistency,
    ) -> Result<Option<Object>, ReadFailure>;

    /// Lists one page.
    async fn list(&self, query: &ListQuery) -> Result<Page, ReadFailure>;

    /// The changes of `kind` in `namespace` after `resource_version` that have happened by now, and no wait for more.
    ///
    /// # Errors
    /// [`ReadFailure::Gone`] if that version is compacted.
    async fn changes(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        resource_version: &str,
    ) -> Result<Vec<WatchEvent>, ReadFailure>;

    /// Sends one change, once.
    async fn send(&self, request: &Request) -> Reply;

    /// The last lines that a container wrote; empty if it wrote none.
    async fn logs(&self, query: &LogQuery) -> Result<Vec<String>, ReadFailure>;

    /// Whether we may do `verb` (`get`, `patch`, …) on `kind` in `namespace`.
    async fn may(
        &self,
        verb: &str,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<bool, ReadFailure>;
}

/// Which series to read, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricQuery {
    /// Metric name, as Prometheus knows it.
    pub metric: String,
    /// Labels that must match exactly.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Seconds to look back: 0 for the latest value, else the average over the window.
    #[serde(default)]
    pub window_seconds: u32,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// The series' labels.
    pub labels: BTreeMap<String, String>,
    /// When it was taken.
    pub at: Timestamp,
    /// The value, finite.
    pub value: f64,
}

/// A source of metrics. What is not measured is absent, never zero.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// The samples that match, in order of their labels.
    async fn query(&self, query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure>;
}
