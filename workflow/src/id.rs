//! Ids: a prefix and a ULID derived from the parent, so that a replay creates the same ids.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Error of parsing an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid id: expected `{prefix}_` followed by the 26 characters of a ULID")]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

/// Returns the ULID of design D2: the time part is `now`, the random part the first 80 bits of SHA-256 over parent, kind
/// and counter.
fn derive(now: Timestamp, parent: &str, kind: &str, counter: u64) -> Ulid {
    let digest = cluster::digest_of_parts(&[parent, kind, &counter.to_string()]);
    let random =
        digest.bytes()[..10].iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Ulid::from_parts(milliseconds, random)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Prefix of every id of this type, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Derives the id of the `counter`-th entity of this type that `parent` created at `now`.
            pub fn derive(now: Timestamp, parent: &str, counter: u64) -> Self {
                Self(format!("{}_{}", $prefix, derive(now, parent, $prefix, counter)))
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": concat!("^", $prefix, "_[0-9A-HJKMNP-TV-Z]{26}$") })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bad = || ParseIdError { text: text.chars().take(64).collect(), prefix: $prefix };
                let ulid = text.strip_prefix(concat!($prefix, "_")).ok_or_else(bad)?;
                let parsed = Ulid::from_string(ulid).map_err(|_| bad())?;
                Ok(Self(format!("{}_{parsed}", $prefix)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )*};
}

ids! {
    /// Id of an alert: one episode of one label set.
    AlertId = "alr";
    /// Id of an incident.
    IncidentId = "inc";
    /// Id of evidence.
    EvidenceId = "evd";
    /// Id of a candidate.
    CandidateId = "cnd";
    /// Id of a plan.
    PlanId = "pln";
    /// Id of a decision.
    DecisionId = "dec";
    /// Id of a run.
    RunId = "run";
    /// Id of an effect.
    EffectId = "eff";
    /// Id of an outcome.
    OutcomeId = "out";
    /// Id of feedback.
    FeedbackId = "fbk";
    /// Id of an experiment.
    ExperimentId = "exp";
    /// Id of an evaluation.
    EvaluationId = "evl";
    /// Id of a workflow definition.
    WorkflowId = "wfd";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_id_depends_on_parent_and_counter() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let id = PlanId::derive(now, "inc_x", 1);
        assert_eq!(id, PlanId::derive(now, "inc_x", 1));
        assert_ne!(id, PlanId::derive(now, "inc_x", 2));
        assert_eq!(id.as_str().parse::<PlanId>().unwrap(), id);
        let error = id.as_str().parse::<RunId>().unwrap_err();
        assert_eq!(error, ParseIdError { text: id.to_string(), prefix: "run" });
        assert!(
            error.to_string().ends_with("expected `run_` followed by the 26 characters of a ULID")
        );
    }
}
