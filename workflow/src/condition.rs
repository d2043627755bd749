//! Conditions: what they read, and what must hold of it, in CEL.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Span;
use crate::expression::Expression;

/// Something that must hold in the cluster.
///
/// `{read: {d: {kind: Deployment, name: checkout, namespace: shop}}, check: 'd.status.readyReplicas >= d.spec.replicas'}`.
/// Names may hold `${{ … }}`. An object that is absent is bound to null; what cannot be read or evaluated is unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// What it is about, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it reads, by the name that the check knows it by. At most 8.
    pub read: BTreeMap<String, Read>,
    /// A CEL expression over those names, true where the condition holds.
    pub check: Expression,
    /// How long it may take to come true; at once where absent. Of post-conditions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// How long it must stay true; not at all where absent. Of post-conditions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_for: Option<Span>,
}

/// How many objects or series one condition may read.
pub const MAX_READS: usize = 8;

/// One thing that a condition reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", untagged, deny_unknown_fields)]
pub enum Read {
    /// A series, as the list of its samples' values.
    Metric {
        /// The metric's name.
        metric: String,
        /// Labels that must match.
        #[serde(default)]
        labels: BTreeMap<String, String>,
        /// Window to average over; the latest value where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<Span>,
    },
    /// One object.
    Object {
        /// Its kind.
        kind: String,
        /// Group and version; that of the built-in kind where absent.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "apiVersion")]
        api_version: Option<String>,
        /// Its namespace; absent outside namespaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// All objects of a kind in a namespace that a selector picks, as a list.
    Objects {
        /// Their kind.
        kind: String,
        /// Group and version; that of the built-in kind where absent.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "apiVersion")]
        api_version: Option<String>,
        /// Their namespace.
        namespace: String,
        /// A label selector in its text form: `app=checkout,tier!=cache`.
        selector: String,
    },
}
