//! OpenAPI v3: an index and one document per group and version, for `kubectl explain` and client-side validation.

use std::collections::BTreeSet;

use cluster::{Digest, Kind, Object};
use serde_json::{Map, Value, json};

use super::discovery::GIT_VERSION;
use super::respond::{self, HandlerResult};
use super::schema::{FieldSchema, FieldType, SCHEMA, TypeSchema};
use crate::api::{Selection, ServedResource, StatusError, group, version_of};
use crate::world::World;

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// `/openapi/v3`: the URLs of the documents. The hash changes with the document, so that clients can cache it.
pub(super) fn index(world: &World, resources: &[ServedResource]) -> Value {
    let versions: BTreeSet<&str> =
        resources.iter().map(|one| one.kind.api_version.as_str()).collect();
    let custom: Vec<String> =
        definitions(world).iter().map(|one| one.metadata().resource_version.clone()).collect();
    let hash =
        Digest::of(format!("{GIT_VERSION} {}", custom.join(" ")).as_bytes()).hex().to_uppercase();
    let paths: Map<String, Value> = versions
        .into_iter()
        .map(|version| {
            let path = path(version);
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// `api/v1`, `apis/apps/v1`.
fn path(api_version: &str) -> String {
    if api_version.contains('/') {
        format!("apis/{api_version}")
    } else {
        format!("api/{api_version}")
    }
}

/// `/openapi/v3/apis/apps/v1`.
pub(super) fn document(world: &World, resources: &[ServedResource], name: &str) -> HandlerResult {
    let group_resources: Vec<&ServedResource> =
        resources.iter().filter(|one| path(&one.kind.api_version) == name).collect();
    if group_resources.is_empty() {
        return Err(StatusError::no_such_path());
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let mut pending: BTreeSet<&'static str> =
        BTreeSet::from(["meta.DeleteOptions", "meta.ObjectMeta"]);
    for resource in group_resources {
        let kind = &resource.kind;
        describe_paths(&mut paths, resource);
        match SCHEMA.of_kind(&kind.api_version, &kind.kind) {
            Some((name, _)) => {
                pending.insert(name);
            }
            None => {
                let name = custom_name(resource);
                schemas.insert(name, custom(world, resource));
            }
        }
    }
    let mut done = BTreeSet::new();
    while let Some(name) = pending.pop_first() {
        if !done.insert(name) {
            continue;
        }
        let type_schema = SCHEMA.get(name).expect("the schema contains every referenced type");
        pending.extend(
            type_schema
                .fields
                .iter()
                .filter(|field| !field.is("inline"))
                .filter_map(|field| field.field_type.element_type()),
        );
        schemas.insert(full_name(name), schema(name, type_schema));
    }
    schemas.extend(scalar_schemas());
    let document = json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": paths, "components": {"schemas": schemas}});
    Ok(respond::json(200, &document))
}

/// Returns the full name of a type in Kubernetes' OpenAPI documents.
fn full_name(name: &str) -> String {
    match name.split_once('.') {
        Some(("meta", rest)) => format!("{META}{rest}"),
        Some(("runtime" | "util" | "api" | "version", _)) => {
            format!("io.k8s.apimachinery.pkg.{name}")
        }
        _ => format!("io.k8s.api.{name}"),
    }
}

fn schema(name: &str, type_schema: &TypeSchema) -> Value {
    let mut properties = Map::new();
    if type_schema.api_version.is_some() {
        properties
            .insert("apiVersion".into(), json!({"type": "string", "description": API_VERSION}));
        properties.insert("kind".into(), json!({"type": "string", "description": KIND}));
    }
    for field in type_schema.fields.iter().filter(|field| !field.is("inline")) {
        properties.insert(field.name.into(), property(field));
    }
    let mut schema =
        json!({"type": "object", "description": type_schema.description, "properties": properties});
    let required: Vec<&str> =
        type_schema.fields.iter().filter(|field| field.is("r")).map(|field| field.name).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some(api_version) = type_schema.api_version {
        let kind = name.rsplit('.').next().unwrap_or_default();
        schema["x-kubernetes-group-version-kind"] =
            json!([group_version_kind(&Kind::new(api_version, kind))]);
    }
    schema
}

fn property(field: &FieldSchema) -> Value {
    let mut property = field_schema(&field.field_type);
    if let Some(reference) = property.get("$ref").cloned() {
        property = json!({"allOf": [{"$ref": reference}]});
    }
    property["description"] = field.description.clone().into();
    if let Some(values) = field.value("enum") {
        property["enum"] = values.split('|').collect();
    }
    if let Some(value) = field.value("default").and_then(|text| serde_json::from_str(text).ok()) {
        property["default"] = value;
    }
    if let Some(key) = field.value("merge") {
        property["x-kubernetes-patch-merge-key"] = key.into();
        property["x-kubernetes-patch-strategy"] = "merge".into();
    } else if field.is("merge") {
        property["x-kubernetes-patch-strategy"] = "merge".into();
    }
    if let Some(keys) = field.value("keys") {
        property["x-kubernetes-list-type"] = "map".into();
        property["x-kubernetes-list-map-keys"] = keys.split('|').collect();
    }
    for kind in ["atomic", "set"] {
        if field.is(kind) {
            property["x-kubernetes-list-type"] = kind.into();
        }
    }
    if let Some(kind) = field.value("map") {
        property["x-kubernetes-map-type"] = kind.into();
    }
    property
}

fn field_schema(of: &FieldType) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    match of {
        FieldType::String => json!({"type": "string"}),
        FieldType::Int32 => json!({"type": "integer", "format": "int32"}),
        FieldType::Int64 => json!({"type": "integer", "format": "int64"}),
        FieldType::Double => json!({"type": "number", "format": "double"}),
        FieldType::Bool => json!({"type": "boolean"}),
        FieldType::Bytes => json!({"type": "string", "format": "byte"}),
        FieldType::Time => reference(&format!("{META}Time")),
        FieldType::MicroTime => reference(&format!("{META}MicroTime")),
        FieldType::Quantity => reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
        FieldType::IntOrString => reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
        FieldType::Raw => json!({"type": "object"}),
        FieldType::Fields => reference(&format!("{META}FieldsV1")),
        FieldType::Ref(name) => reference(&full_name(name)),
        FieldType::List(item) => json!({"type": "array", "items": item_schema(item)}),
        FieldType::Map(item) => {
            json!({"type": "object", "additionalProperties": item_schema(item)})
        }
    }
}

/// Returns the schema of a list or map item with its default, as in Kubernetes' documents.
fn item_schema(item: &FieldType) -> Value {
    let mut schema = field_schema(item);
    match item {
        FieldType::String => schema["default"] = "".into(),
        FieldType::Ref(_) => schema = json!({"allOf": [schema], "default": {}}),
        FieldType::Int32 | FieldType::Int64 => schema["default"] = 0.into(),
        FieldType::Double
        | FieldType::Bool
        | FieldType::Bytes
        | FieldType::Time
        | FieldType::MicroTime
        | FieldType::Quantity
        | FieldType::IntOrString
        | FieldType::Raw
        | FieldType::Fields
        | FieldType::List(_)
        | FieldType::Map(_) => {}
    }
    schema
}

/// Returns the schemas of types that serialize as scalars.
fn scalar_schemas() -> Map<String, Value> {
    let named = |name: &str, value: Value| (name.to_string(), value);
    [
        named(&format!("{META}Time"), json!({"type": "string", "format": "date-time", "description": "Time is a wrapper around time.Time which supports correct marshaling to YAML and JSON.  Wrappers are provided for many of the factory methods that the time package offers."})),
        named(&format!("{META}MicroTime"), json!({"type": "string", "format": "date-time", "description": "MicroTime is version of Time with microsecond level precision."})),
        named(&format!("{META}FieldsV1"), json!({"type": "object", "description": "FieldsV1 stores a set of fields in a data structure like a Trie, in JSON format."})),
        named("io.k8s.apimachinery.pkg.util.intstr.IntOrString", json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string", "description": "IntOrString is a type that can hold an int32 or a string.  When used in JSON or YAML marshalling and unmarshalling, it produces or consumes the inner type.  This allows you to have, for example, a JSON field that can accept a name or number."})),
        named("io.k8s.apimachinery.pkg.api.resource.Quantity", json!({"oneOf": [{"type": "string"}, {"type": "number"}], "description": "Quantity is a fixed-point representation of a number. It provides convenient marshaling/unmarshaling in JSON and YAML, in addition to String() and AsInt64() accessors."})),
    ]
    .into_iter()
    .collect()
}

pub(super) fn group_version_kind(kind: &Kind) -> Value {
    json!({"group": group(kind), "version": version_of(kind), "kind": kind.kind})
}

/// Adds the paths of a resource with their operations and parameters.
fn describe_paths(paths: &mut Map<String, Value>, resource: &ServedResource) {
    let base = format!("/{}", path(&resource.kind.api_version));
    let kind = group_version_kind(&resource.kind);
    let prefix =
        if resource.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.clone() };
    let operation = |action: &str, parameters: &[&str]| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        json!({"operationId": format!("{action}{}{}", base.replace(['/', '.'], "_"), resource.kind.kind), "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind})
    };
    let write_parameters = ["dryRun", "fieldManager", "fieldValidation"];
    if !resource.verbs.iter().any(|verb| verb == "get") {
        paths.insert(
            format!("{prefix}/{}", resource.plural),
            json!({"post": operation("post", &write_parameters)}),
        );
        return;
    }
    let list_parameters = [
        "allowWatchBookmarks",
        "continue",
        "fieldSelector",
        "labelSelector",
        "limit",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "timeoutSeconds",
        "watch",
    ];
    paths.insert(
        format!("{prefix}/{}", resource.plural),
        json!({"get": operation("list", &list_parameters), "post": operation("post", &write_parameters), "delete": operation("deletecollection", &list_parameters)}),
    );
    if resource.namespaced {
        paths.insert(
            format!("{base}/{}", resource.plural),
            json!({"get": operation("list", &list_parameters)}),
        );
    }
    paths.insert(
        format!("{prefix}/{}/{{name}}", resource.plural),
        json!({"get": operation("get", &[]), "put": operation("put", &write_parameters), "delete": operation("delete", &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"]),
            "patch": operation("patch", &["dryRun", "fieldManager", "fieldValidation", "force"])}),
    );
}

fn definitions(world: &World) -> Vec<Object> {
    let kind = Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    world
        .list(&kind, None, &Selection::default(), None, None)
        .map_or_else(|_| Vec::new(), |page| page.items)
}

/// Returns the schema name of a custom kind, with the group reversed: `io.example.v1.Widget`.
fn custom_name(resource: &ServedResource) -> String {
    let group: Vec<&str> = group(&resource.kind).split('.').rev().collect();
    let version = version_of(&resource.kind);
    format!("{}.{version}.{}", group.join("."), resource.kind.kind)
}

/// Returns the schema of a custom kind from its CustomResourceDefinition. Default: any object.
fn custom(world: &World, resource: &ServedResource) -> Value {
    let name = format!("{}.{}", resource.plural, group(&resource.kind));
    let version = version_of(&resource.kind);
    let definition = definitions(world).into_iter().find(|one| one.name() == name);
    let versions =
        definition.as_ref().and_then(|one| one.at("/spec/versions")).and_then(Value::as_array);
    let own = versions.into_iter().flatten().find(|one| one["name"] == version);
    let mut schema = own.map_or(Value::Null, |own| own["schema"]["openAPIV3Schema"].clone());
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    schema["properties"]["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    schema["properties"]["kind"] = json!({"type": "string", "description": KIND});
    schema["properties"]["metadata"] = json!({"allOf": [{"$ref": format!("#/components/schemas/{META}ObjectMeta")}],
        "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"});
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(&resource.kind)]);
    schema
}
