//! Workflows and templates as people write them.
//!
//! `apiVersion: chiron.dev/v1alpha1`, kinds `RemediationWorkflow` and `RemediationTemplate`. The format grows by added
//! fields only.

use std::collections::BTreeMap;

use cluster::{Digest, canonical_json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::Args;
use crate::condition::Condition;
use crate::duration::Span;
use crate::expression::Expression;
use crate::fact::FactPattern;

/// The version of the format.
pub const API_VERSION: &str = "chiron.dev/v1alpha1";

/// A versioned definition of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workflow {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationWorkflow`.
    pub kind: String,
    /// Its name, and what else is said about it.
    pub metadata: ManifestMetadata,
    /// What it does.
    pub spec: WorkflowSpec,
}

/// What is said about a manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestMetadata {
    /// Lower-case letters, digits and dashes, at most 63.
    pub name: String,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Version of the definition, as its author counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a workflow does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkflowSpec {
    /// What it can be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// What it was told: filled when a candidate is made, empty in a definition. CEL knows it as `params`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bound: BTreeMap<String, Value>,
    /// Its steps. Order in the list means nothing; `needs` does.
    pub steps: Vec<Step>,
    /// What must hold at the end for the run to have succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Condition>,
}

/// One thing a workflow can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    /// Its name, as expressions know it: `params.NAME`.
    pub name: String,
    /// Its type.
    pub r#type: ParameterType,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its value where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Least value, of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value, of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Every legal value, where they can be counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub r#enum: Vec<Value>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParameterType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A finite number.
    Number,
    /// True or false.
    Boolean,
    /// A duration: `90s`.
    Duration,
    /// A Kubernetes quantity: `128Mi`.
    Quantity,
    /// An object: `{kind, namespace, name}`.
    ObjectRef,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Its id within the workflow: lower-case letters, digits and dashes, at most 63.
    pub id: String,
    /// The action, out of the catalogue: `scale`.
    pub action: String,
    /// What the action is told. Texts may hold `${{ CEL }}` over `params`, `steps.ID.output` and `incident`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub arguments: Args,
    /// Steps that must have ended well before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The step is skipped unless this is true (unknown is not true). Steps that need a skipped step run all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// How often it is tried.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
    /// How long one attempt may take, post-conditions excluded.
    #[serde(default = "Step::default_timeout")]
    pub timeout: Span,
    /// What must hold before it is tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Condition>,
    /// What must hold after it, within a time and for a time. Unknown means failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postconditions: Vec<Condition>,
    /// How it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// What happens when it has failed for good.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Whether a person must say yes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

impl Step {
    /// One minute.
    pub fn default_timeout() -> Span {
        Span::from_secs(60)
    }
}

/// How often, and how far apart, a step is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// How pauses grow.
    pub strategy: RetryStrategy,
    /// Attempts in all, 1 to 10.
    pub attempts: u32,
    /// The first pause.
    pub initial: Span,
    /// The longest pause.
    pub cap: Span,
    /// Share of a pause that is drawn by the run's seed, 0 to 1.
    pub jitter: f64,
    /// Which failures are worth another try.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            strategy: RetryStrategy::Exponential,
            attempts: 3,
            initial: Span::from_secs(2),
            cap: Span::from_secs(30),
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
    /// One attempt.
    None,
    /// The same pause every time.
    Fixed,
    /// Each pause twice the last, up to the cap.
    Exponential,
}

/// A kind of failure that may pass.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RetryOn {
    /// Another writer was first.
    Conflict,
    /// The cluster asked to wait.
    Throttled,
    /// The cluster could not be reached.
    Unavailable,
    /// The attempt took too long.
    Timeout,
    /// The post-condition did not come true.
    Postcondition,
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", untagged, deny_unknown_fields)]
pub enum Compensation {
    /// `inverse`: what the catalogue declares. `none`: nothing; said on purpose.
    Declared(DeclaredCompensation),
    /// An action of its own.
    Step {
        /// The action.
        action: String,
        /// What it is told; may use `steps.ID.prior`, the state captured before the step.
        #[serde(default)]
        #[schemars(with = "BTreeMap<String, Value>")]
        arguments: Args,
    },
}

/// A compensation that is one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeclaredCompensation {
    /// The inverse that the catalogue declares: compare and revert.
    Inverse,
    /// Nothing is undone.
    None,
}

/// What happens when a step has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The run ends failed; nothing is undone.
    Abort,
    /// The run goes on as if the step had been skipped.
    Continue,
    /// What was applied is undone in reverse order, and the run ends rolled back.
    #[default]
    RollBack,
    /// As `rollBack`, and a new decision is wanted.
    NextPlan,
}

/// A person's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// What the person is asked.
    pub reason: String,
    /// How long the question stands; no answer is a no.
    #[serde(default = "Approval::default_expiry")]
    pub expires: Span,
}

impl Approval {
    fn default_expiry() -> Span {
        Span::from_secs(3600)
    }
}

/// A parameterised workflow with the facts that call for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    /// `chiron.dev/v1alpha1`.
    pub api_version: String,
    /// `RemediationTemplate`.
    pub kind: String,
    /// Its name, and what else is said about it.
    pub metadata: ManifestMetadata,
    /// What it matches and what it makes.
    pub spec: TemplateSpec,
}

/// What a template matches and what it makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateSpec {
    /// Fault families that it was written for; never used to choose, only to judge the templates.
    #[serde(default)]
    pub families: Vec<String>,
    /// Facts that must hold, with holes. `$target` is the incident's target. A parameter is filled by the hole of its name.
    #[serde(rename = "match")]
    pub matches: Vec<FactPattern>,
    /// What the workflow can be told: filled by the holes, or by defaults.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// What must hold at the end.
    #[serde(default)]
    pub success: Vec<Condition>,
}

impl Workflow {
    /// A workflow of these steps, without parameters.
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

    /// Its canonical bytes: equal workflows give equal bytes, whatever they were read from.
    pub fn canonical(&self) -> String {
        canonical_json(self).expect("a validated workflow holds no integer beyond ±(2^53 − 1)")
    }

    /// Digest of its canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical().as_bytes())
    }

    /// The step of this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.spec.steps.iter().find(|step| step.id == id)
    }
}
