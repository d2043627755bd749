//! Past executions: what retrieval searches and what imported history is made of.

use cluster::ObjectRef;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fact::Facts;
use crate::features::Features;
use crate::manifest::Workflow;
use crate::outcome::{StepOutcome, Verdict};

/// One finished execution: what the trouble looked like, what was done, what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastExecution {
    /// Its id: that of the run, or an imported one.
    pub id: String,
    /// Name of the alert.
    pub alert: String,
    /// The target.
    pub target: ObjectRef,
    /// What was known then.
    pub facts: Facts,
    /// Words by which it is found: alert, reasons, kinds, changed paths. No names of objects.
    pub signature: Vec<String>,
    /// What was done, every parameter bound.
    pub workflow: Workflow,
    /// What the learner saw.
    pub features: Features,
    /// What came of it.
    pub verdict: Verdict,
    /// The reward, where it can be said.
    pub reward: Option<f64>,
    /// Of each step.
    pub steps: Vec<StepOutcome>,
    /// Seconds to resolve, where it was.
    pub seconds_to_resolve: Option<f64>,
    /// When it ended.
    pub at: Timestamp,
    /// Where it was made.
    pub origin: Provenance,
}

/// Where an execution was made, written `live`, `import:<name of the file>` or `feedback:<who>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Provenance {
    /// Here: Chiron ran it and saw what came of it.
    Live,
    /// Somewhere else: it was brought in from the file of this name.
    Import(String),
    /// Nowhere yet: this person said what should have been done.
    Feedback(String),
}

/// The text says of no execution where it was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not say where an execution was made: use `live`, `import:NAME` or `feedback:WHO`"
)]
pub struct BadProvenance(String);

impl TryFrom<String> for Provenance {
    type Error = BadProvenance;

    fn try_from(text: String) -> Result<Self, BadProvenance> {
        match text.split_once(':') {
            None if text == "live" => Ok(Self::Live),
            Some(("import", name)) => Ok(Self::Import(name.into())),
            Some(("feedback", who)) => Ok(Self::Feedback(who.into())),
            None | Some(_) => Err(BadProvenance(text)),
        }
    }
}

impl From<Provenance> for String {
    fn from(provenance: Provenance) -> Self {
        match provenance {
            Provenance::Live => "live".into(),
            Provenance::Import(name) => format!("import:{name}"),
            Provenance::Feedback(who) => format!("feedback:{who}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provenance_reads_back_as_it_was_written_and_another_word_is_refused() {
        let all = [
            Provenance::Live,
            Provenance::Import("a:b.jsonl".into()),
            Provenance::Feedback("ann".into()),
        ];
        for provenance in all {
            assert_eq!(Provenance::try_from(String::from(provenance.clone())), Ok(provenance));
        }
        for bad in ["", "Live", "import", "elsewhere:x"] {
            assert_eq!(Provenance::try_from(bad.to_string()), Err(BadProvenance(bad.into())));
        }
    }
}
