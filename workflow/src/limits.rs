//! The central limits on what comes in (`bad-inputs` 2), with hard maxima that no configuration passes.

use serde::{Deserialize, Serialize};

/// How much of anything is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request body, after decompression.
    pub body_bytes: usize,
    /// Alerts in one body.
    pub alerts_per_body: usize,
    /// Labels of one alert.
    pub labels_per_alert: usize,
    /// Bytes of a label's name.
    pub label_name_bytes: usize,
    /// Bytes of a label's value.
    pub label_value_bytes: usize,
    /// Bytes of an annotation's value.
    pub annotation_bytes: usize,
    /// Bytes of a document (workflow, template, guardrail file).
    pub document_bytes: usize,
    /// Nesting of JSON and YAML.
    pub depth: usize,
    /// Nodes of a YAML document.
    pub yaml_nodes: usize,
    /// Aliases in a YAML document.
    pub yaml_aliases: usize,
    /// Steps of a workflow, above which a warning stands; 256 is the hard end.
    pub steps: usize,
    /// Edges between the steps of a workflow.
    pub edges: usize,
    /// Inputs waiting for the engine before new deliveries are answered with 503.
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
    /// The hard maxima: no configuration goes beyond.
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

    /// The same limits with every figure brought within [`Limits::HARD`].
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
