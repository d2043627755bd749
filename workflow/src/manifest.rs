//! The manifests `RemediationWorkflow` and `RemediationTemplate`.
//!
//! `apiVersion: chiron.dev/v1alpha1`, kinds `RemediationWorkflow` and `RemediationTemplate`. The format is
//! extended only by adding fields.

use std::collections::BTreeMap;

use cluster::{Digest, canonical_json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::Args;
use crate::condition::Condition;
use crate::duration::Duration;
use crate::expression::Expression;
use crate::fact::FactPattern;

/// Version of the format.
pub const API_VERSION: &str = "chiron.dev/v1alpha1";

/// A versioned sequence of remediation steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workflow {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationWorkflow`.
    pub kind: String,
    /// Name and further metadata.
    pub metadata: ManifestMetadata,
    /// Parameters, steps and success conditions.
    pub spec: WorkflowSpec,
}

/// Metadata of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestMetadata {
    /// Name: lower-case letters, digits and dashes, at most 63 characters.
    pub name: String,
    /// Description for operators, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels of the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Version of the definition, assigned by its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Spec of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowSpec {
    /// Declared parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Values of the parameters, available in CEL as `params`. Set when a candidate is created; empty in a definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bound: BTreeMap<String, Value>,
    /// The steps. Their order is determined by `needs`, not by the list.
    pub steps: Vec<Step>,
    /// Conditions that must be true at the end for the run to succeed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Condition>,
}

/// A parameter of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Name; available in expressions as `params.NAME`.
    pub name: String,
    /// Type of the value.
    pub r#type: ParameterType,
    /// Description for operators.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Default value. Without a default, the parameter is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Minimum, for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Maximum, for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Allowed values. Default: all values of the type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub r#enum: Vec<Value>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParameterType {
    /// A string.
    String,
    /// An integer.
    Integer,
    /// A finite number.
    Number,
    /// True or false.
    Boolean,
    /// A duration: `90s`.
    Duration,
    /// A Kubernetes quantity: `128Mi`.
    Quantity,
    /// An object reference: `{kind, namespace, name}`.
    ObjectRef,
}

/// A step of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Id, unique within the workflow: lower-case letters, digits and dashes, at most 63 characters.
    pub id: String,
    /// Name of the action in the catalogue: `scale`.
    pub action: String,
    /// Arguments of the action. Strings may contain `${{ CEL }}` over `params`, `steps.ID.output` and `incident`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub arguments: Args,
    /// Ids of the steps that must succeed before this step starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The step is skipped unless this is true; unknown counts as not true. Steps that need a skipped step still run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// Retry policy.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// Timeout of one attempt, excluding post-conditions. Default: 60 s.
    #[serde(default = "Step::default_timeout")]
    pub timeout: Duration,
    /// Conditions that must be true before each attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Condition>,
    /// Conditions that must become true after the action, within a time and for a time. Unknown counts as failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postconditions: Vec<Condition>,
    /// How the step is undone. Default: the inverse that the catalogue declares, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// What happens when the step fails after all retries.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Approval that is required before the step. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

impl Step {
    /// Returns the default timeout of 60 s.
    pub fn default_timeout() -> Duration {
        Duration::from_secs(60)
    }
}

/// Retry policy of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// How the pauses between attempts grow.
    pub strategy: RetryStrategy,
    /// Total number of attempts, 1 to 10.
    pub attempts: u32,
    /// Pause after the first attempt.
    pub initial: Duration,
    /// Maximum pause.
    pub cap: Duration,
    /// Fraction of a pause that is random, derived from the run's seed; 0 to 1.
    pub jitter: f64,
    /// Failures that are retried.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            strategy: RetryStrategy::Exponential,
            attempts: 3,
            initial: Duration::from_secs(2),
            cap: Duration::from_secs(30),
            jitter: 0.2,
            on: vec![RetryOn::Conflict, RetryOn::Throttled, RetryOn::Unavailable],
        }
    }
}

impl Retry {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How pauses between attempts grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RetryStrategy {
    /// No retries.
    None,
    /// Constant pause.
    Fixed,
    /// Each pause is twice as long as the previous one, up to the cap.
    Exponential,
}

/// A kind of failure that a retry may resolve.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RetryOn {
    /// Conflict with another writer.
    Conflict,
    /// The API server throttles requests.
    Throttled,
    /// The API server is unavailable.
    Unavailable,
    /// The attempt exceeded its timeout.
    Timeout,
    /// A post-condition did not become true in time.
    Postcondition,
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", untagged, deny_unknown_fields)]
pub enum Compensation {
    /// `inverse`: the inverse that the catalogue declares. `none`: the step is deliberately not undone.
    Declared(DeclaredCompensation),
    /// Another action.
    Step {
        /// Name of the action in the catalogue.
        action: String,
        /// Arguments; may use `steps.ID.prior`, the state captured before the step.
        #[serde(default)]
        #[schemars(with = "BTreeMap<String, Value>")]
        arguments: Args,
    },
}

/// A compensation without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeclaredCompensation {
    /// The inverse that the catalogue declares (compare and revert).
    Inverse,
    /// The step is not undone.
    None,
}

/// What happens when a step fails after all retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The run fails; nothing is undone.
    Abort,
    /// The run continues as if the step had been skipped.
    Continue,
    /// Completed steps are undone in reverse order; the run ends as rolled back.
    #[default]
    RollBack,
    /// As `rollBack`, and another plan is requested.
    NextPlan,
}

/// Approval by an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The question to the operator.
    pub reason: String,
    /// Time until the request expires; it is then rejected. Default: 1 h.
    #[serde(default = "Approval::default_expiry")]
    pub expires: Duration,
}

impl Approval {
    fn default_expiry() -> Duration {
        Duration::from_secs(3600)
    }
}

/// A parameterized workflow with the facts that it remediates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationTemplate`.
    pub kind: String,
    /// Name and further metadata.
    pub metadata: ManifestMetadata,
    /// Fact patterns, parameters and steps.
    pub spec: TemplateSpec,
}

/// Spec of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateSpec {
    /// Fact patterns that must match. `$target` is the incident's target. The placeholder `$NAME` sets the parameter `NAME`.
    #[serde(rename = "match")]
    pub matches: Vec<FactPattern>,
    /// Parameters of the workflow, set by placeholders or defaults.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Steps of the workflow.
    pub steps: Vec<Step>,
    /// Conditions that must be true at the end for the run to succeed.
    #[serde(default)]
    pub success: Vec<Condition>,
}

impl Workflow {
    /// Creates a workflow of these steps, without parameters.
    pub fn of_steps(
        name: &str,
        description: &str,
        steps: Vec<Step>,
        success: Vec<Condition>,
    ) -> Self {
        Self {
            api_version: API_VERSION.into(),
            kind: "RemediationWorkflow".into(),
            metadata: ManifestMetadata {
                name: name.into(),
                description: description.into(),
                ..ManifestMetadata::default()
            },
            spec: WorkflowSpec { parameters: Vec::new(), bound: BTreeMap::new(), steps, success },
        }
    }

    /// Returns the canonical JSON; equal workflows have equal canonical JSON, regardless of their source format.
    pub fn canonical(&self) -> String {
        canonical_json(self).expect("a validated workflow contains no integer beyond ±(2^53 − 1)")
    }

    /// Returns the digest of the canonical JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical().as_bytes())
    }

    /// Returns the step with this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.spec.steps.iter().find(|step| step.id == id)
    }
}
