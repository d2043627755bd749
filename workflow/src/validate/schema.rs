//! JSON Schemas of the manifests, generate from the Rust types.

use std::sync::OnceLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::guardrail::Guardrails;
use crate::manifest::{Template, Workflow};

/// Returns the JSON Schema of `RemediationWorkflow`.
pub fn workflow_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| generate::<Workflow>("workflow"))
}

/// Returns the JSON Schema of `RemediationTemplate`.
pub fn template_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| generate::<Template>("template"))
}

/// Returns the JSON Schema of `RemediationGuardrail`.
pub fn guardrails_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| generate::<Guardrails>("guardrails"))
}

fn generate<T: JsonSchema>(name: &str) -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(
            "$id".into(),
            format!("https://chiron.dev/schemas/v1alpha1/{name}.json").into(),
        );
    }
    schema
}
