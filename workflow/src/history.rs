//! Past executions: the documents of retrieval and the format of imported history.

use std::borrow::Cow;

use cluster::ObjectRef;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::fact::Facts;
use crate::features::Features;
use crate::manifest::Workflow;
use crate::outcome::{OutcomeStatus, StepOutcome};

/// One finished execution: the problem, the workflow and its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastExecution {
    /// Id of the run, or an imported id.
    pub id: String,
    /// Name of the alert.
    pub alert: String,
    /// The target.
    pub target: ObjectRef,
    /// Facts at the time of the execution.
    pub facts: Facts,
    /// Terms for retrieval: alert, reasons, kinds, changed paths. Contains no object names.
    pub signature: Vec<String>,
    /// The executed workflow with all parameters bound.
    pub workflow: Workflow,
    /// Features at the time of the decision.
    pub features: Features,
    /// The outcome.
    pub outcome: OutcomeStatus,
    /// The reward, if it is known.
    pub reward: Option<f64>,
    /// Results of the steps.
    pub steps: Vec<StepOutcome>,
    /// Seconds until the incident was resolved, if it was.
    pub seconds_to_resolve: Option<f64>,
    /// When the execution ended.
    pub at: Timestamp,
    /// Provenance of the execution.
    pub origin: Provenance,
}

/// Provenance of an execution, written as `live`, `import:<file name>` or `feedback:<actor>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Provenance {
    /// Executed by this instance.
    Live,
    /// Imported from the file with this name.
    Import(String),
    /// Not executed: a correction given by this actor.
    Feedback(String),
}

/// Error of parsing a [`Provenance`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a provenance: use `live`, `import:NAME` or `feedback:ACTOR`")]
pub struct ParseProvenanceError(String);

impl JsonSchema for Provenance {
    fn schema_name() -> Cow<'static, str> {
        "Provenance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(live|import:.*|feedback:.*)$",
            "description": "Where an execution was recorded: `live`, `import:NAME` or `feedback:ACTOR`."
        })
    }
}

impl TryFrom<String> for Provenance {
    type Error = ParseProvenanceError;

    fn try_from(text: String) -> Result<Self, ParseProvenanceError> {
        match text.split_once(':') {
            None if text == "live" => Ok(Self::Live),
            Some(("import", name)) => Ok(Self::Import(name.into())),
            Some(("feedback", actor)) => Ok(Self::Feedback(actor.into())),
            None | Some(_) => Err(ParseProvenanceError(text)),
        }
    }
}

impl From<Provenance> for String {
    fn from(provenance: Provenance) -> Self {
        match provenance {
            Provenance::Live => "live".into(),
            Provenance::Import(name) => format!("import:{name}"),
            Provenance::Feedback(actor) => format!("feedback:{actor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_round_trips_and_rejects_unknown_text() {
        let all = [
            Provenance::Live,
            Provenance::Import("a:b.jsonl".into()),
            Provenance::Feedback("ann".into()),
        ];
        for provenance in all {
            assert_eq!(Provenance::try_from(String::from(provenance.clone())), Ok(provenance));
        }
        for bad in ["", "Live", "import", "elsewhere:x"] {
            assert_eq!(
                Provenance::try_from(bad.to_string()),
                Err(ParseProvenanceError(bad.into()))
            );
        }
    }
}
