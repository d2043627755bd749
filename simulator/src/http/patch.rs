//! PATCH: the four forms of a patch.

use bytes::Bytes;
use cluster::{JsonOp, Patch};
use serde_json::Value;

use super::door::Request;
use super::payload::{decode, object};
use super::validate;
use crate::api::{Deed, Options, Refusal, Resource, builtin};

/// How many operations one JSON patch may have.
const OPERATIONS: usize = 10_000;
const APPLY: &str = "application/apply-patch+yaml";

/// What a patch asks for; what it says that its kind does not have goes to `warnings`.
pub(super) fn deed(
    request: &Request,
    resource: &Resource,
    media: &str,
    bytes: &Bytes,
    options: &mut Options,
    warnings: &mut Vec<String>,
) -> Result<Deed, Refusal> {
    if options.force && media != APPLY {
        let why = "Forbidden: may not be specified for non-apply patch";
        return Err(Refusal::bad_option("PatchOptions", "FieldValueForbidden", "force", why));
    }
    match media {
        "application/json-patch+json" => json(bytes),
        "application/merge-patch+json" => {
            let mut tree = tree(bytes)?;
            warnings.extend(fit(request, resource, &mut tree, options)?);
            Ok(Deed::Patch(Patch::Merge(tree)))
        }
        // How lists of a custom kind are merged, nobody knows.
        "application/strategic-merge-patch+json" if builtin(&resource.kind).is_some() => {
            let mut tree = tree(bytes)?;
            warnings.extend(fit(request, resource, &mut tree, options)?);
            Ok(Deed::Patch(Patch::Strategic(tree)))
        }
        APPLY => {
            let Some(manager) = request.query.text("fieldManager") else {
                let why = "Required value: is required for apply patch";
                return Err(Refusal::bad_option(
                    "PatchOptions",
                    "FieldValueRequired",
                    "fieldManager",
                    why,
                ));
            };
            options.manager = manager.into();
            apply(request, resource, bytes, options)
        }
        _ => Err(Refusal::unknown_patch()),
    }
}

fn value(bytes: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
}

fn json(bytes: &Bytes) -> Result<Deed, Refusal> {
    let Value::Array(operations) = value(bytes)? else {
        return Err(Refusal::bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ));
    };
    if operations.len() > OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS}, got {}",
            operations.len()
        );
        return Err(Refusal::new(413, "RequestEntityTooLarge", message));
    }
    let operations: Result<Vec<JsonOp>, _> =
        operations.into_iter().map(serde_json::from_value).collect();
    let operations = operations.map_err(|_| {
        Refusal::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    })?;
    Ok(Deed::Patch(Patch::Json(operations)))
}

fn tree(bytes: &Bytes) -> Result<Value, Refusal> {
    let value = value(bytes)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Refusal::bad_request("error decoding patch: a merge patch is a JSON object"))
    }
}

/// Fits the tree of a patch to its kind; a Scale is what its own few fields say.
fn fit(
    request: &Request,
    resource: &Resource,
    tree: &mut Value,
    options: &Options,
) -> Result<Vec<String>, Refusal> {
    if request.place.subresource.as_deref() == Some("scale") {
        return Ok(Vec::new());
    }
    let told = tree.to_string();
    validate::fit(&resource.kind, tree, options.validation).map_err(|misfit| misfit.of_patch(&told))
}

/// Server-side apply: the fields that a manager wants.
fn apply(
    request: &Request,
    resource: &Resource,
    bytes: &Bytes,
    options: &Options,
) -> Result<Deed, Refusal> {
    let is_scale = request.place.subresource.as_deref() == Some("scale");
    let (api_version, kind) = if is_scale {
        ("autoscaling/v1", "Scale")
    } else {
        (resource.kind.api_version.as_str(), resource.kind.kind.as_str())
    };
    let mut body = decode("application/yaml", bytes, kind)?;
    if !body.is_object() {
        return Err(Refusal::bad_request("error decoding YAML: what is applied is an object"));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (own_version, own_kind) = (text(&body["apiVersion"]), text(&body["kind"]));
    if (own_version.as_str(), own_kind.as_str()) != (api_version, kind) {
        let (group, version) = own_version.rsplit_once('/').unwrap_or(("", &own_version));
        let message = format!("invalid object type: {group}/{version}, Kind={own_kind}");
        return Err(Refusal::bad_request(message));
    }
    if !body["metadata"].is_object() {
        body["metadata"] = serde_json::json!({});
    }
    let name = request.place.name.clone().unwrap_or_default();
    match text(&body["metadata"]["name"]) {
        none if none.is_empty() => body["metadata"]["name"] = name.into(),
        own if own == name => {}
        own => {
            return Err(Refusal::misnamed(&own, &name));
        }
    }
    if let Some(namespace) = &request.place.namespace {
        body["metadata"]["namespace"] = namespace.clone().into();
    }
    let unknown = fit(
        request,
        resource,
        &mut body,
        &Options { validation: crate::api::FieldValidation::Warn, ..options.clone() },
    )?;
    if let Some(first) = unknown.into_iter().next() {
        let field = first.trim_start_matches("unknown field ").trim_matches('"');
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let namespace = request.place.namespace.as_deref().unwrap_or_default();
        let message = format!(
            "failed to create typed patch object ({namespace}/{}; {}{version}, Kind={kind}): .{field}: field not declared in schema",
            text(&body["metadata"]["name"]),
            if group.is_empty() { "/".to_string() } else { format!("{group}/") }
        );
        return Err(Refusal::new(500, "InternalError", message));
    }
    object(body).map(Deed::Apply)
}
