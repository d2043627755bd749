//! OpenAPI v3: an index, and one document for each group and version, for `kubectl explain` and for validation.

use std::collections::BTreeSet;

use cluster::{Digest, Kind, Object};
use serde_json::{Map, Value, json};

use super::discovery::GIT_VERSION;
use super::respond::{self, Answered};
use super::schema::{Field, SCHEMA, Shape, Type};
use crate::api::{Refusal, Resource, Selection, group, version_of};
use crate::world::World;

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// `/openapi/v3`: where the documents are. The hash lets a client keep one until it changes.
pub(super) fn index(world: &World, resources: &[Resource]) -> Value {
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
pub(super) fn document(world: &World, resources: &[Resource], name: &str) -> Answered {
    let own: Vec<&Resource> =
        resources.iter().filter(|one| path(&one.kind.api_version) == name).collect();
    if own.is_empty() {
        return Err(Refusal::no_such_path());
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let mut wanted: BTreeSet<&'static str> =
        BTreeSet::from(["meta.DeleteOptions", "meta.ObjectMeta"]);
    for resource in own {
        let kind = &resource.kind;
        describe_paths(&mut paths, resource);
        match SCHEMA.of_kind(&kind.api_version, &kind.kind) {
            Some((name, _)) => {
                wanted.insert(name);
            }
            None => {
                let name = custom_name(resource);
                schemas.insert(name, custom(world, resource));
            }
        }
    }
    let mut told = BTreeSet::new();
    while let Some(name) = wanted.pop_first() {
        if !told.insert(name) {
            continue;
        }
        let known = SCHEMA.get(name).expect("every type that a field names is described");
        wanted.extend(
            known
                .fields
                .iter()
                .filter(|field| !field.is("inline"))
                .filter_map(|field| field.shape.bottom()),
        );
        schemas.insert(full(name), schema(name, known));
    }
    schemas.extend(plain());
    let document = json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": paths, "components": {"schemas": schemas}});
    Ok(respond::json(200, &document))
}

/// The name of a type as Kubernetes writes it out.
fn full(name: &str) -> String {
    match name.split_once('.') {
        Some(("meta", rest)) => format!("{META}{rest}"),
        Some(("runtime" | "util" | "api" | "version", _)) => {
            format!("io.k8s.apimachinery.pkg.{name}")
        }
        _ => format!("io.k8s.api.{name}"),
    }
}

fn schema(name: &str, known: &Type) -> Value {
    let mut properties = Map::new();
    if known.api_version.is_some() {
        properties
            .insert("apiVersion".into(), json!({"type": "string", "description": API_VERSION}));
        properties.insert("kind".into(), json!({"type": "string", "description": KIND}));
    }
    for field in known.fields.iter().filter(|field| !field.is("inline")) {
        properties.insert(field.name.into(), property(field));
    }
    let mut schema =
        json!({"type": "object", "description": known.description, "properties": properties});
    let required: Vec<&str> =
        known.fields.iter().filter(|field| field.is("r")).map(|field| field.name).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if let Some(api_version) = known.api_version {
        let kind = name.rsplit('.').next().unwrap_or_default();
        schema["x-kubernetes-group-version-kind"] =
            json!([group_version_kind(&Kind::new(api_version, kind))]);
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut property = shape(&field.shape);
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

fn shape(of: &Shape) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    match of {
        Shape::Text => json!({"type": "string"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Double => json!({"type": "number", "format": "double"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::Time => reference(&format!("{META}Time")),
        Shape::MicroTime => reference(&format!("{META}MicroTime")),
        Shape::Quantity => reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
        Shape::IntOrText => reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
        Shape::Raw => json!({"type": "object"}),
        Shape::Fields => reference(&format!("{META}FieldsV1")),
        Shape::Of(name) => reference(&full(name)),
        Shape::List(item) => json!({"type": "array", "items": item_shape(item)}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": item_shape(item)}),
    }
}

/// Items say what they are by default, as Kubernetes' own documents do.
fn item_shape(item: &Shape) -> Value {
    let mut told = shape(item);
    match item {
        Shape::Text => told["default"] = "".into(),
        Shape::Of(_) => told = json!({"allOf": [told], "default": {}}),
        Shape::Int32 | Shape::Int64 => told["default"] = 0.into(),
        Shape::Double
        | Shape::Bool
        | Shape::Bytes
        | Shape::Time
        | Shape::MicroTime
        | Shape::Quantity
        | Shape::IntOrText
        | Shape::Raw
        | Shape::Fields
        | Shape::List(_)
        | Shape::Map(_) => {}
    }
    told
}

/// Types that are plain values on the wire.
fn plain() -> Map<String, Value> {
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

/// Where a resource is found, and what a patch of it may say.
fn describe_paths(paths: &mut Map<String, Value>, resource: &Resource) {
    let base = format!("/{}", path(&resource.kind.api_version));
    let kind = group_version_kind(&resource.kind);
    let place =
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
    let writing = ["dryRun", "fieldManager", "fieldValidation"];
    if !resource.verbs.iter().any(|verb| verb == "get") {
        paths.insert(
            format!("{place}/{}", resource.plural),
            json!({"post": operation("post", &writing)}),
        );
        return;
    }
    let listing = [
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
        format!("{place}/{}", resource.plural),
        json!({"get": operation("list", &listing), "post": operation("post", &writing), "delete": operation("deletecollection", &listing)}),
    );
    if resource.namespaced {
        paths.insert(
            format!("{base}/{}", resource.plural),
            json!({"get": operation("list", &listing)}),
        );
    }
    paths.insert(
        format!("{place}/{}/{{name}}", resource.plural),
        json!({"get": operation("get", &[]), "put": operation("put", &writing), "delete": operation("delete", &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"]),
            "patch": operation("patch", &["dryRun", "fieldManager", "fieldValidation", "force"])}),
    );
}

fn definitions(world: &World) -> Vec<Object> {
    let kind = Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    world
        .collect(&kind, None, &Selection::default(), None, None)
        .map_or_else(|_| Vec::new(), |listed| listed.items)
}

/// `io.example.v1.Widget`: the group turned round.
fn custom_name(resource: &Resource) -> String {
    let group: Vec<&str> = group(&resource.kind).split('.').rev().collect();
    let version = version_of(&resource.kind);
    format!("{}.{version}.{}", group.join("."), resource.kind.kind)
}

/// What a definition says of its kind; of a kind that nothing is known of, that it is an object.
fn custom(world: &World, resource: &Resource) -> Value {
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
