//! The schemas of the API's types as components of the OpenAPI document.
//!
//! The types derive [`JsonSchema`], as the payloads in `workflow` do. OpenAPI 3.1 uses JSON Schema 2020-12, so a schema
//! that schemars generates is a component as it is; only its references have to point to `#/components/schemas`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// The OpenAPI document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenApiResponse {
    /// Version of OpenAPI: `3.1.0`.
    pub openapi: String,
    /// Title, version and description of the API.
    pub info: Map<String, Value>,
    /// The routes, by path and method.
    pub paths: BTreeMap<String, Map<String, Value>>,
    /// Schemas and security schemes to which the routes refer.
    pub components: BTreeMap<String, Map<String, Value>>,
    /// Authentication of all routes that do not declare another one.
    pub security: Vec<Value>,
}

/// Returns the schema of `T` and of all types to which it refers, by component name.
///
/// `contract` is the direction: a response contains every field that is not skipped, whereas a request may leave out
/// optional fields.
pub fn components<T: JsonSchema>(contract: Contract) -> BTreeMap<String, Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = contract;
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let schema = generator.subschema_for::<T>().to_value();
    let mut components: BTreeMap<_, _> = generator.take_definitions(true).into_iter().collect();
    // A type that schemars inlines where it is used is a component of its own here.
    components.entry(T::schema_name().into()).or_insert(schema);
    components
}

/// Converts a JSON Schema to a schema of utoipa.
///
/// utoipa has no member for most keywords of JSON Schema (`const`, `prefixItems`, `unevaluatedProperties`), but it
/// serializes the extensions of a schema next to its members. All keywords are therefore carried as extensions.
fn to_utoipa(schema: Value) -> RefOr<Schema> {
    let keywords = match schema {
        Value::Object(mut keywords) => {
            if let (1, Some(Value::String(location))) = (keywords.len(), keywords.get_mut("$ref")) {
                return RefOr::Ref(Ref::new(std::mem::take(location)));
            }
            keywords
        }
        // `true`: any value is valid.
        _ => Map::new(),
    };
    let object = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    RefOr::T(object.extensions(Some(Extensions::from_iter(keywords))).into())
}

fn schema_of<T: JsonSchema>(contract: Contract) -> RefOr<Schema> {
    let schema = components::<T>(contract).remove(&*T::schema_name());
    to_utoipa(schema.expect("the components of a type contain the type"))
}

fn collect<T: JsonSchema>(contract: Contract, schemas: &mut Vec<(String, RefOr<Schema>)>) {
    let components = components::<T>(contract);
    schemas.extend(components.into_iter().map(|(name, schema)| (name, to_utoipa(schema))));
}

/// Implements [`ToSchema`] for types that implement [`JsonSchema`].
macro_rules! bridge {
    ($($contract:ident { $($name:ident),* $(,)? })*) => {
        $($(
            impl PartialSchema for crate::$name {
                fn schema() -> RefOr<Schema> {
                    schema_of::<Self>(Contract::$contract)
                }
            }

            impl ToSchema for crate::$name {
                fn name() -> Cow<'static, str> {
                    Self::schema_name()
                }

                fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                    collect::<Self>(Contract::$contract, schemas);
                }
            }
        )*)*

        #[cfg(test)]
        fn all() -> Vec<(String, BTreeMap<String, Value>)> {
            vec![$($((stringify!($name).into(), components::<crate::$name>(Contract::$contract)),)*)*]
        }
    };
}

bridge! {
    Serialize {
        AlertItem, AlertResponse, CreateExperimentResponse, EmergencyStopsResponse, EventItem, ExperimentItem,
        ExperimentResponse, ExperimentResultsResponse, ExplainPlanResponse, FeedbackResponse, GuardrailItem,
        GuardrailResponse, IncidentItem, IncidentResponse, IngestResponse, LearnerResponse, OpenApiResponse, PlanItem,
        PlanResponse, ProblemResponse, RunEventItem, RunItem, RunResponse, SimilarExecutionsResponse, ValidateManifestResponse,
    }
    Deserialize {
        AlertmanagerRequest, ClearEmergencyStopRequest, CreateExperimentRequest, CreatePlanRequest, FeedbackRequest,
        ReasonRequest, SetEmergencyStopRequest,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{EventItem, PlanResponse, ReasonRequest, SimilarExecutionsResponse};

    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(members) => {
                let own = members.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(members.values().flat_map(references)).collect()
            }
            Value::Array(items) => items.iter().flat_map(references).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    #[test]
    fn components_contain_every_referenced_type() {
        for (name, components) in all() {
            assert!(components.contains_key(&name), "{name}");
            for location in components.values().flat_map(references) {
                let target = location.strip_prefix("#/components/schemas/").unwrap();
                assert!(components.contains_key(target), "{name} refers to {location}");
            }
        }
    }

    /// A component has one schema, although requests and responses are generated separately.
    #[test]
    fn component_name_has_one_schema() {
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for (of, components) in all() {
            for (name, schema) in components {
                let first = known.entry(name.clone()).or_insert_with(|| schema.clone());
                assert_eq!(*first, schema, "{name}, of {of}");
            }
        }
    }

    #[test]
    fn response_requires_every_field_that_is_always_written() {
        let components = components::<EventItem>(Contract::Serialize);
        let schema = &components["EventItem"];
        assert_eq!(schema["required"], json!(["seq", "kind", "stream", "at"]));
        assert_eq!(schema["properties"]["at"]["format"], "date-time");
    }

    #[test]
    fn request_requires_no_optional_field_and_refuses_unknown_fields() {
        let components = components::<ReasonRequest>(Contract::Deserialize);
        let schema = &components["ReasonRequest"];
        assert_eq!(
            (schema.get("required"), &schema["additionalProperties"]),
            (None, &json!(false))
        );
    }

    #[test]
    fn newtype_is_a_component_of_its_own() {
        let components = components::<SimilarExecutionsResponse>(Contract::Serialize);
        assert_eq!(components["SimilarExecutionsResponse"]["type"], "array");
    }

    #[test]
    fn bridged_schema_is_serialized_with_all_keywords() {
        for (name, schema) in components::<PlanResponse>(Contract::Serialize) {
            assert_eq!(serde_json::to_value(to_utoipa(schema.clone())).unwrap(), schema, "{name}");
        }
    }
}
