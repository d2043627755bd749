//! PATCH: the four patch formats.

use bytes::Bytes;
use cluster::{JsonOp, Patch};
use serde_json::Value;

use super::payload::{decode, object};
use super::server::ApiRequest;
use super::validate;
use crate::api::{CallOptions, Operation, ServedResource, StatusError, builtin};

/// The maximum number of operations in a JSON patch.
const MAX_JSON_PATCH_OPERATIONS: usize = 10_000;
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Parses a patch. Warnings about unknown fields are added to `warnings`.
pub(super) fn operation(
    request: &ApiRequest,
    resource: &ServedResource,
    media: &str,
    bytes: &Bytes,
    options: &mut CallOptions,
    warnings: &mut Vec<String>,
) -> Result<Operation, StatusError> {
    if options.force && media != APPLY_PATCH {
        let detail = "Forbidden: may not be specified for non-apply patch";
        return Err(StatusError::invalid_option(
            "PatchOptions",
            "FieldValueForbidden",
            "force",
            detail,
        ));
    }
    match media {
        "application/json-patch+json" => json_patch(bytes),
        "application/merge-patch+json" => {
            let mut patch = parse_object(bytes)?;
            warnings.extend(prune_unknown_fields(request, resource, &mut patch, options)?);
            Ok(Operation::Patch(Patch::Merge(patch)))
        }
        // Custom kinds have no strategic merge patch, because their lists have no merge keys.
        "application/strategic-merge-patch+json" if builtin(&resource.kind).is_some() => {
            let mut patch = parse_object(bytes)?;
            warnings.extend(prune_unknown_fields(request, resource, &mut patch, options)?);
            Ok(Operation::Patch(Patch::Strategic(patch)))
        }
        APPLY_PATCH => {
            let Some(manager) = request.query.text("fieldManager") else {
                let detail = "Required value: is required for apply patch";
                return Err(StatusError::invalid_option(
                    "PatchOptions",
                    "FieldValueRequired",
                    "fieldManager",
                    detail,
                ));
            };
            options.manager = manager.into();
            apply(request, resource, bytes, options)
        }
        _ => Err(StatusError::unsupported_patch_type()),
    }
}

fn parse_json(bytes: &Bytes) -> Result<Value, StatusError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StatusError::bad_request(format!("error decoding patch: {error}")))
}

fn json_patch(bytes: &Bytes) -> Result<Operation, StatusError> {
    let Value::Array(operations) = parse_json(bytes)? else {
        return Err(StatusError::bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ));
    };
    if operations.len() > MAX_JSON_PATCH_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(StatusError::new(413, "RequestEntityTooLarge", message));
    }
    let operations: Result<Vec<JsonOp>, _> =
        operations.into_iter().map(serde_json::from_value).collect();
    let operations = operations.map_err(|_| {
        StatusError::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    })?;
    Ok(Operation::Patch(Patch::Json(operations)))
}

fn parse_object(bytes: &Bytes) -> Result<Value, StatusError> {
    let value = parse_json(bytes)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(StatusError::bad_request("error decoding patch: a merge patch is a JSON object"))
    }
}

/// Removes unknown fields from a merge patch. Patches of a Scale are not checked.
fn prune_unknown_fields(
    request: &ApiRequest,
    resource: &ServedResource,
    patch: &mut Value,
    options: &CallOptions,
) -> Result<Vec<String>, StatusError> {
    if request.target.subresource.as_deref() == Some("scale") {
        return Ok(Vec::new());
    }
    let text = patch.to_string();
    validate::prune_unknown_fields(&resource.kind, patch, options.validation)
        .map_err(|error| error.for_patch(&text))
}

/// Parses a server-side apply patch.
fn apply(
    request: &ApiRequest,
    resource: &ServedResource,
    bytes: &Bytes,
    options: &CallOptions,
) -> Result<Operation, StatusError> {
    let is_scale = request.target.subresource.as_deref() == Some("scale");
    let (api_version, kind) = if is_scale {
        ("autoscaling/v1", "Scale")
    } else {
        (resource.kind.api_version.as_str(), resource.kind.kind.as_str())
    };
    let mut body = decode("application/yaml", bytes, kind)?;
    if !body.is_object() {
        return Err(StatusError::bad_request(
            "error decoding YAML: an apply patch must be an object",
        ));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (own_version, own_kind) = (text(&body["apiVersion"]), text(&body["kind"]));
    if (own_version.as_str(), own_kind.as_str()) != (api_version, kind) {
        let (group, version) = own_version.rsplit_once('/').unwrap_or(("", &own_version));
        let message = format!("invalid object type: {group}/{version}, Kind={own_kind}");
        return Err(StatusError::bad_request(message));
    }
    if !body["metadata"].is_object() {
        body["metadata"] = serde_json::json!({});
    }
    let name = request.target.name.clone().unwrap_or_default();
    match text(&body["metadata"]["name"]) {
        name_in_body if name_in_body.is_empty() => body["metadata"]["name"] = name.into(),
        own if own == name => {}
        own => {
            return Err(StatusError::name_mismatch(&own, &name));
        }
    }
    if let Some(namespace) = &request.target.namespace {
        body["metadata"]["namespace"] = namespace.clone().into();
    }
    let unknown = prune_unknown_fields(
        request,
        resource,
        &mut body,
        &CallOptions { validation: crate::api::FieldValidation::Warn, ..options.clone() },
    )?;
    if let Some(first) = unknown.into_iter().next() {
        let field = first.trim_start_matches("unknown field ").trim_matches('"');
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let namespace = request.target.namespace.as_deref().unwrap_or_default();
        let message = format!(
            "failed to create typed patch object ({namespace}/{}; {}{version}, Kind={kind}): .{field}: field not declared in schema",
            text(&body["metadata"]["name"]),
            if group.is_empty() { "/".to_string() } else { format!("{group}/") }
        );
        return Err(StatusError::new(500, "InternalError", message));
    }
    object(body).map(Operation::Apply)
}
