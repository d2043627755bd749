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
    /// Where it was made: `live`, or `import:<name of the file>` for history that was brought in.
    pub origin: String,
}
