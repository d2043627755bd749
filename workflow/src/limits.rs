//! Limits on input, with hard maxima that the configuration cannot exceed.

use serde::{Deserialize, Serialize};

/// Limits on input. Larger input is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Maximum bytes of a request body after decompression.
    pub body_bytes: usize,
    /// Maximum number of alerts in one body.
    pub alerts_per_body: usize,
    /// Maximum number of labels per alert.
    pub labels_per_alert: usize,
    /// Maximum bytes of a label name.
    pub label_name_bytes: usize,
    /// Maximum bytes of a label value.
    pub label_value_bytes: usize,
    /// Maximum bytes of an annotation value.
    pub annotation_bytes: usize,
    /// Maximum bytes of a manifest (workflow, template, guardrail file).
    pub document_bytes: usize,
    /// Maximum nesting of JSON and YAML.
    pub depth: usize,
    /// Maximum number of nodes in a YAML document.
    pub yaml_nodes: usize,
    /// Maximum number of aliases in a YAML document.
    pub yaml_aliases: usize,
    /// Number of workflow steps above which a warning is reported; more than 256 steps are an error.
    pub steps: usize,
    /// Maximum number of edges in the step graph of a workflow.
    pub edges: usize,
    /// Maximum number of inputs in the engine's queue; further deliveries are rejected with 503.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            alerts_per_body: 1_000,
            labels_per_alert: 64,
            label_name_bytes: 128,
            label_value_bytes: 1 << 10,
            annotation_bytes: 8 << 10,
            document_bytes: 1 << 20,
            depth: 32,
            yaml_nodes: 20_000,
            yaml_aliases: 100,
            steps: 100,
            edges: 1_000,
            queue: 4_096,
        }
    }
}

impl Limits {
    /// The hard maxima, which the configuration cannot exceed.
    pub const HARD: Self = Self {
        body_bytes: 8 << 20,
        alerts_per_body: 10_000,
        labels_per_alert: 256,
        label_name_bytes: 1 << 10,
        label_value_bytes: 8 << 10,
        annotation_bytes: 64 << 10,
        document_bytes: 8 << 20,
        depth: 64,
        yaml_nodes: 200_000,
        yaml_aliases: 1_000,
        steps: 256,
        edges: 10_000,
        queue: 65_536,
    };

    /// Returns these limits with every value reduced to at most that of [`Limits::HARD`].
    pub fn clamped(&self) -> Self {
        let hard = Self::HARD;
        Self {
            body_bytes: self.body_bytes.min(hard.body_bytes),
            alerts_per_body: self.alerts_per_body.min(hard.alerts_per_body),
            labels_per_alert: self.labels_per_alert.min(hard.labels_per_alert),
            label_name_bytes: self.label_name_bytes.min(hard.label_name_bytes),
            label_value_bytes: self.label_value_bytes.min(hard.label_value_bytes),
            annotation_bytes: self.annotation_bytes.min(hard.annotation_bytes),
            document_bytes: self.document_bytes.min(hard.document_bytes),
            depth: self.depth.min(hard.depth),
            yaml_nodes: self.yaml_nodes.min(hard.yaml_nodes),
            yaml_aliases: self.yaml_aliases.min(hard.yaml_aliases),
            steps: self.steps.min(hard.steps),
            edges: self.edges.min(hard.edges),
            queue: self.queue.min(hard.queue),
        }
    }
}
