//! Experiments: two variants of the planner side by side, incidents shared out between them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ExperimentId, IncidentId};

/// A comparison of two variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// Its id.
    pub id: ExperimentId,
    /// A short name.
    pub name: String,
    /// What is hoped for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hypothesis: String,
    /// The variants: exactly two, the first is the baseline.
    pub variants: Vec<Variant>,
    /// Alert names that take part; all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<String>,
    /// Level of the confidence sequences, in (0, 0.5].
    pub alpha: f64,
    /// Fewest outcomes of each variant before results are read at all.
    pub minimum: u32,
    /// Where it stands.
    pub status: ExperimentStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
}

/// One side of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Share of the incidents, in (0, 1); all shares sum to 1.
    pub share: f64,
    /// What is different in it.
    pub treatment: Treatment,
}

/// What a variant does differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Treatment {
    /// Nothing.
    Baseline,
    /// Another policy of the learner: `first`, `greedy`, `igw`.
    Policy {
        /// Name of the policy.
        policy: String,
    },
    /// Only candidates of these sources.
    Sources {
        /// Words of `plan::Source::word`.
        sources: Vec<String>,
    },
    /// Without templates of these names.
    WithoutTemplates {
        /// The names.
        templates: Vec<String>,
    },
}

/// Where an experiment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExperimentStatus {
    /// Made, not started.
    Draft,
    /// Incidents are exposed to it.
    Running,
    /// Ended.
    Stopped,
}

/// A recorded change of experiments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub enum ExperimentEvent {
    /// Made.
    Created {
        /// The experiment.
        experiment: Experiment,
    },
    /// Started.
    Started {
        /// Which.
        id: ExperimentId,
        /// When.
        at: Timestamp,
    },
    /// Stopped.
    Stopped {
        /// Which.
        id: ExperimentId,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// An incident was exposed to a variant, before anything was decided for it.
    Exposed {
        /// Which.
        id: ExperimentId,
        /// The incident.
        incident: IncidentId,
        /// The variant.
        variant: String,
        /// When.
        at: Timestamp,
    },
}

impl ExperimentEvent {
    /// The experiment that it is about.
    pub fn experiment(&self) -> &ExperimentId {
        match self {
            Self::Created { experiment } => &experiment.id,
            Self::Started { id, .. } | Self::Stopped { id, .. } | Self::Exposed { id, .. } => id,
        }
    }
}

impl Experiment {
    /// The variant of an incident: sticky, by its id, in the fixed shares.
    pub fn variant(&self, incident: &IncidentId) -> &Variant {
        let draw = crate::seed::unit(&format!("experiment/{}", self.id), incident.as_str());
        let mut reached = 0.0;
        for variant in &self.variants {
            reached += variant.share;
            if draw < reached {
                return variant;
            }
        }
        self.variants.last().expect("an experiment has two variants")
    }
}
