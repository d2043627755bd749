//! Ids: a prefix and a ULID that derives from what made it, so that a replay makes the same ids.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: expected `{prefix}_` and 26 characters of a ULID")]
pub struct BadId {
    text: String,
    prefix: &'static str,
}

/// The ULID of design D2: time part is `now`, random part the first 80 bits of SHA-256 over parent, kind and counter.
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
            /// What every id of this kind begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Derives the id of the `counter`-th thing of this kind that `parent` made, at `now`.
            pub fn derive(now: Timestamp, parent: &str, counter: u64) -> Self {
                Self(format!("{}_{}", $prefix, derive(now, parent, $prefix, counter)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: text.chars().take(64).collect(), prefix: $prefix };
                let ulid = text.strip_prefix(concat!($prefix, "_")).ok_or_else(bad)?;
                let parsed = Ulid::from_string(ulid).map_err(|_| bad())?;
                Ok(Self(format!("{}_{parsed}", $prefix)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
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
    /// Names an alert: one episode of one label set.
    AlertId = "alr";
    /// Names an incident.
    IncidentId = "inc";
    /// Names a collection of evidence.
    EvidenceId = "evd";
    /// Names a candidate.
    CandidateId = "cnd";
    /// Names a plan.
    PlanId = "pln";
    /// Names a decision.
    DecisionId = "dec";
    /// Names a run.
    RunId = "run";
    /// Names an effect asked of a driver.
    EffectId = "eff";
    /// Names an outcome.
    OutcomeId = "out";
    /// Names one piece of feedback.
    FeedbackId = "fbk";
    /// Names an experiment.
    ExperimentId = "exp";
    /// Names an evaluation.
    EvaluationId = "evl";
    /// Names a workflow definition.
    WorkflowId = "wfd";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_origin_gives_the_same_id_and_another_gives_another() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let id = PlanId::derive(now, "inc_x", 1);
        assert_eq!(id, PlanId::derive(now, "inc_x", 1));
        assert_ne!(id, PlanId::derive(now, "inc_x", 2));
        assert_eq!(id.as_str().parse::<PlanId>().unwrap(), id);
        assert!(id.as_str().parse::<RunId>().is_err());
    }
}
