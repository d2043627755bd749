//! Conditions: the objects and metrics that they read, and a CEL expression over them.
//!
//! ```
//! use serde_json::json;
//! use workflow::{Condition, Read};
//!
//! let condition: Condition = serde_json::from_value(json!({
//!     "read": {"pods": {"kind": "Pod", "namespace": "shop", "selector": "app=checkout"}},
//!     "check": "pods.size() > 0 && pods.all(p, p.status.phase == 'Running')",
//!     "within": "2m",
//!     "holdFor": "30s",
//! }))?;
//! assert!(matches!(condition.read["pods"], Read::Objects { .. }));
//! assert!(condition.check.variables().contains("pods"));
//!
//! // An expression is checked when the condition is read.
//! let error = serde_json::from_value::<Condition>(json!({"read": {}, "check": "pods.size() >"})).unwrap_err();
//! assert!(error.to_string().starts_with("expression_syntax: "));
//! # Ok::<(), serde_json::Error>(())
//! ```
// The example stands here, because the doc comment of `Condition` is also its description in the published schemas.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::expression::Expression;

/// A condition on the state of the cluster.
///
/// `{read: {d: {kind: Deployment, name: checkout, namespace: shop}}, check: 'd.status.readyReplicas >= d.spec.replicas'}`.
/// Names may contain placeholders `${{ … }}`. An object that does not exist is null. The condition is unknown if something
/// cannot be read or evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Description for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the condition reads, by variable name in `check`; at most 8.
    pub read: BTreeMap<String, Read>,
    /// A CEL expression over these variables that evaluates to a boolean.
    pub check: Expression,
    /// Maximum time until the condition becomes true. Default: 0. Only in post-conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// How long the condition must stay true. Default: 0. Only in post-conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_for: Option<Duration>,
}

/// Maximum number of reads in one condition.
pub const MAX_READS: usize = 8;

/// One read of a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", untagged, deny_unknown_fields)]
pub enum Read {
    /// A metric, as the list of the values of its samples.
    Metric {
        /// Name of the metric.
        metric: String,
        /// Labels that the samples must have.
        #[serde(default)]
        labels: BTreeMap<String, String>,
        /// Window for the average. Default: the latest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<Duration>,
    },
    /// One object.
    Object {
        /// Kind of the object.
        kind: String,
        /// Group and version. Default: the version of the built-in kind.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "apiVersion")]
        api_version: Option<String>,
        /// Namespace; absent for cluster-scoped objects.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Name of the object.
        name: String,
    },
    /// All objects of a kind in a namespace that match a label selector, as a list.
    Objects {
        /// Kind of the objects.
        kind: String,
        /// Group and version. Default: the version of the built-in kind.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "apiVersion")]
        api_version: Option<String>,
        /// Namespace of the objects.
        namespace: String,
        /// Label selector: `app=checkout,tier!=cache`.
        selector: String,
    },
}
