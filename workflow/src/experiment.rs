//! Experiments: two variants of the planner, with incidents assigned to them at random.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ExperimentId, IncidentId};

/// A comparison of two variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// Id of the experiment.
    pub id: ExperimentId,
    /// Short name.
    pub name: String,
    /// The expected result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hypothesis: String,
    /// Exactly two variants; the first is the baseline.
    pub variants: Vec<Variant>,
    /// Names of the alerts that take part. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    /// Significance level of the confidence sequences, in (0, 0.5].
    pub alpha: f64,
    /// Minimum number of outcomes per variant before results are reported.
    pub minimum: u32,
    /// Current status.
    pub status: ExperimentStatus,
    /// When the experiment was created.
    pub created_at: Timestamp,
    /// When the experiment was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the experiment was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
}

/// One variant of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// Name of the variant.
    pub name: String,
    /// Fraction of the incidents assigned to the variant, in (0, 1). The fractions of all variants sum to 1.
    pub share: f64,
    /// How the variant differs from the baseline.
    pub treatment: Treatment,
}

/// How a variant differs from the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Treatment {
    /// No difference.
    Baseline,
    /// Another policy of the learner.
    Policy {
        /// Name of the policy: `first`, `greedy`, `igw`.
        policy: String,
    },
    /// Only candidates from the given sources.
    Sources {
        /// Names as returned by `plan::Source::as_str`.
        sources: Vec<String>,
    },
    /// All templates except the given ones.
    WithoutTemplates {
        /// Names of the excluded templates.
        templates: Vec<String>,
    },
}

/// Status of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExperimentStatus {
    /// Created, but not started.
    Draft,
    /// Incidents are assigned to variants.
    Running,
    /// Stopped. No more incidents are assigned.
    Stopped,
}

/// A recorded change of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum ExperimentEvent {
    /// The experiment was created.
    Created {
        /// The experiment.
        experiment: Experiment,
    },
    /// The experiment was started.
    Started {
        /// Id of the experiment.
        id: ExperimentId,
        /// When the event was decided.
        at: Timestamp,
    },
    /// The experiment was stopped.
    Stopped {
        /// Id of the experiment.
        id: ExperimentId,
        /// When the event was decided.
        at: Timestamp,
        /// Justification given by the operator.
        reason: String,
    },
    /// An incident was assigned to a variant, before any decision for it.
    Exposed {
        /// Id of the experiment.
        id: ExperimentId,
        /// The incident.
        incident: IncidentId,
        /// The variant.
        variant: String,
        /// When the event was decided.
        at: Timestamp,
    },
}

impl ExperimentStatus {
    /// Returns the name of the status, as used in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

impl ExperimentEvent {
    /// Returns the id of the experiment.
    pub fn experiment(&self) -> &ExperimentId {
        match self {
            Self::Created { experiment } => &experiment.id,
            Self::Started { id, .. } | Self::Stopped { id, .. } | Self::Exposed { id, .. } => id,
        }
    }
}

impl Experiment {
    /// Folds one event of this experiment.
    pub fn apply(&mut self, event: &ExperimentEvent) {
        match event {
            ExperimentEvent::Started { at, .. } => {
                (self.status, self.started_at) = (ExperimentStatus::Running, Some(*at));
            }
            ExperimentEvent::Stopped { at, .. } => {
                (self.status, self.stopped_at) = (ExperimentStatus::Stopped, Some(*at));
            }
            ExperimentEvent::Created { .. } | ExperimentEvent::Exposed { .. } => {}
        }
    }

    /// Returns the variant of an incident. The same incident always gets the same variant.
    pub fn variant(&self, incident: &IncidentId) -> &Variant {
        let draw = crate::seed::uniform01(&format!("experiment/{}", self.id), incident.as_str());
        let mut cumulative = 0.0;
        for variant in &self.variants {
            cumulative += variant.share;
            if draw < cumulative {
                return variant;
            }
        }
        self.variants.last().expect("an experiment has two variants")
    }
}
