use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use workflow::experiment::{Experiment, ExperimentStatus, Variant};
use workflow::id::ExperimentId;

/// A new experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateExperimentRequest {
    /// A short name.
    pub name: String,
    /// The expected result.
    #[serde(default)]
    pub hypothesis: String,
    /// Two variants, the first the baseline. Shares sum to 1.
    pub variants: Vec<Variant>,
    /// Alert names that the experiment includes. Default: all.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// Error level of the confidence sequences, in (0, 0.5]. Default: 0.05.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// Minimum number of outcomes per variant before results are computed. Default: 20.
    #[serde(default = "default_minimum")]
    pub minimum: u32,
}

fn default_alpha() -> f64 {
    0.05
}

fn default_minimum() -> u32 {
    20
}

/// A created experiment, which has no exposures yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateExperimentResponse(pub Experiment);

/// An experiment in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentItem {
    /// Id of the experiment.
    pub id: ExperimentId,
    /// A short name.
    pub name: String,
    /// Status of the experiment.
    pub status: ExperimentStatus,
    /// Names of its variants.
    pub variants: Vec<String>,
    /// Alert names that the experiment includes; empty means all.
    pub alerts: Vec<String>,
    /// Number of exposed incidents, by variant.
    pub exposures: BTreeMap<String, u64>,
    /// Time at which the experiment was created.
    pub created_at: Timestamp,
    /// Time at which the experiment was started.
    pub started_at: Option<Timestamp>,
    /// Time at which the experiment was stopped.
    pub stopped_at: Option<Timestamp>,
}

/// An experiment with the number of exposed incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentResponse {
    /// The experiment.
    #[serde(flatten)]
    pub experiment: Experiment,
    /// Number of exposed incidents, by variant.
    pub exposures: BTreeMap<String, u64>,
    /// Reason given when the experiment was stopped.
    pub stop_reason: Option<String>,
}

/// The results of an experiment so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentResultsResponse {
    /// Whether the results may be interpreted: every variant has the minimum number of outcomes, and there is no sample
    /// ratio mismatch.
    pub has_enough_data: bool,
    /// What is still missing, or the interval of the difference, as a sentence for the operator.
    pub message: String,
    /// Conclusion from the data so far.
    pub verdict: ExperimentConclusion,
    /// The verdict as text: `not enough data`, `sample ratio mismatch`, `no difference shown`, `VARIANT is better`.
    pub summary: String,
    /// Results of each variant, the baseline first.
    pub variants: Vec<VariantItem>,
    /// Mean reward of the second variant less that of the baseline.
    pub difference: DifferenceItem,
    /// Anytime-valid p-value of the sample ratio test.
    pub sample_ratio_p_value: f64,
    /// Significance level: all intervals at all times contain the true values with probability `1 - alpha`.
    pub alpha: f64,
}

/// Conclusion of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum ExperimentConclusion {
    /// A variant has too few outcomes.
    NotEnoughData,
    /// The assignment of incidents to variants deviates from the intended shares.
    SampleRatioMismatch,
    /// The interval of the difference contains 0.
    NoDifferenceShown,
    /// One variant is better.
    Better {
        /// Name of the variant.
        variant: String,
    },
}

/// Results of one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariantItem {
    /// Name of the variant.
    pub name: String,
    /// Number of incidents that were exposed to the variant.
    pub exposed: u64,
    /// Number of exposed incidents with an outcome.
    pub outcomes: u64,
    /// Number of outcomes that are unknown. They count with reward 0.
    pub unknown: u64,
    /// Mean reward; absent without outcomes.
    pub mean: Option<f64>,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}

/// Difference between the mean rewards of the variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceItem {
    /// Difference of the sample means; absent while a variant has no outcomes.
    pub estimate: Option<f64>,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
}
