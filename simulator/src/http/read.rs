//! GET: objects and lists.

use std::str::FromStr as _;

use cluster::Selector;
use serde_json::Value;

use super::media::Representation;
use super::respond::{self, HandlerResult, KubernetesList};
use super::server::{ApiRequest, ApiServer};
use super::table::{self, ColumnDefinitions, IncludeObject, TableColumns};
use super::wire::WireObject;
use crate::api::{
    FieldSelector, Selection, ServedResource, StatusError, builtin, with_managed_fields,
};

/// Parses the selectors of a list, a watch or a deletion of a collection.
pub(super) fn selection(
    request: &ApiRequest,
    resource: &ServedResource,
) -> Result<Selection, StatusError> {
    let labels = match request.query.text("labelSelector") {
        None => Selector::default(),
        Some(text) => Selector::from_str(text).map_err(|error| {
            // An unclosed parenthesis, the most common error, has the message of a real server.
            let is_open = text.matches('(').count() > text.matches(')').count();
            let detail =
                if is_open { "found '', expected: ',' or ')'".into() } else { error.to_string() };
            StatusError::bad_request(format!("unable to parse requirement: {detail}"))
        })?,
    };
    let fields = match request.query.text("fieldSelector") {
        None => FieldSelector::default(),
        Some(text) => FieldSelector::from_str(text)
            .map_err(|error| StatusError::bad_request(error.to_string()))?,
    };
    for path in fields.paths() {
        check_field(resource, path)?;
    }
    Ok(Selection { labels, fields })
}

/// Returns 400 if the field selector does not support `path` for this kind.
fn check_field(resource: &ServedResource, path: &str) -> Result<(), StatusError> {
    let known: &[&str] = match resource.kind.kind.as_str() {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Namespace" => &["status.phase"],
        "Node" => &["spec.unschedulable"],
        "ReplicaSet" | "ReplicationController" => &["status.replicas"],
        "Secret" => &["type"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Job" => &["status.successful"],
        _ => &[],
    };
    if matches!(path, "metadata.name" | "metadata.namespace") || known.contains(&path) {
        return Ok(());
    }
    let message = if known.is_empty() {
        format!(
            "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {path}")
    };
    Err(StatusError::bad_request(message))
}

/// Parses `includeObject`: how much of each object a table row contains.
pub(super) fn include_object(request: &ApiRequest) -> Result<IncludeObject, StatusError> {
    match request.query.text("includeObject") {
        None | Some("Metadata") => Ok(IncludeObject::Metadata),
        Some("None") => Ok(IncludeObject::None),
        Some("Object") => Ok(IncludeObject::Object),
        Some(other) => Err(StatusError::bad_request(format!(
            "TableOptions.meta.k8s.io \"\" is invalid: includeObject: Unsupported value: {other:?}"
        ))),
    }
}

/// Serves one object.
pub(super) fn get(
    server: &ApiServer,
    request: &ApiRequest,
    resource: &ServedResource,
    name: &str,
) -> HandlerResult {
    let namespace = request.target.namespace.as_deref();
    match request.accepted.representation {
        Representation::Table => {
            let (columns, object, now) = {
                let world = server.world();
                (
                    TableColumns::of(&world, resource),
                    world.get(&resource.kind, namespace, name)?,
                    world.now(),
                )
            };
            let version = Value::from(object.metadata().resource_version.clone());
            let metadata = serde_json::json!({"resourceVersion": version});
            let table = table::table(
                &columns,
                &[object],
                metadata,
                include_object(request)?,
                ColumnDefinitions::Include,
                now,
            );
            Ok(respond::encoded(200, &table, request.accepted.encoding))
        }
        Representation::Full | Representation::Metadata | Representation::Discovery => {
            let object = server.world().get(&resource.kind, namespace, name)?;
            Ok(respond::object(200, &object, request.accepted))
        }
    }
}

/// Serves a list, or one page of it.
pub(super) fn list(
    server: &ApiServer,
    request: &ApiRequest,
    resource: &ServedResource,
) -> HandlerResult {
    let selection = selection(request, resource)?;
    let limit = match request.query.number("limit")? {
        Some(limit) if limit > 0 => usize::try_from(limit).ok(),
        Some(_) | None => None,
    };
    let continue_token = request.query.text("continue");
    let (page, columns, now) = {
        let world = server.world();
        check_version(request, world.version(), continue_token.is_some())?;
        let namespace = request.target.namespace.as_deref();
        let page = world.list(&resource.kind, namespace, &selection, limit, continue_token)?;
        let columns = (request.accepted.representation == Representation::Table)
            .then(|| TableColumns::of(&world, resource));
        (page, columns, world.now())
    };
    let is_selected = request.query.text("labelSelector").is_some()
        || request.query.text("fieldSelector").is_some();
    // A real server sets no `remainingItemCount` if the list has a selector.
    let remaining = page.remaining.filter(|_| !is_selected);
    let metadata = respond::list_metadata(page.version, page.continue_token.as_deref(), remaining);
    let items = &page.items;
    let encoding = request.accepted.encoding;
    if let Some(columns) = columns {
        let table = table::table(
            &columns,
            items,
            metadata,
            include_object(request)?,
            ColumnDefinitions::Include,
            now,
        );
        return Ok(respond::encoded(200, &table, encoding));
    }
    if request.accepted.representation == Representation::Metadata {
        let items: Vec<Value> = items.iter().map(table::metadata_of).collect();
        let list = serde_json::json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items});
        return Ok(respond::encoded(200, &list, encoding));
    }
    let items: Vec<cluster::Object> = items.iter().map(with_managed_fields).collect();
    Ok(respond::encoded(200, &object_list(resource, metadata, &items), encoding))
}

/// Returns a list. Items of a built-in kind have no `kind` and `apiVersion`, as on a real server.
pub(super) fn object_list<'a>(
    resource: &'a ServedResource,
    metadata: Value,
    items: &'a [cluster::Object],
) -> KubernetesList<'a> {
    let is_built_in = builtin(&resource.kind).is_some();
    let wire = if is_built_in { WireObject::without_type } else { WireObject::with_type };
    KubernetesList {
        kind: format!("{}List", resource.kind.kind),
        api_version: &resource.kind.api_version,
        metadata,
        items: items.iter().map(wire).collect(),
    }
}

/// Checks `resourceVersion` and `resourceVersionMatch` of a list.
fn check_version(
    request: &ApiRequest,
    current: u64,
    is_continued: bool,
) -> Result<(), StatusError> {
    let text = request.query.text("resourceVersion");
    let wanted = text.map(version).transpose();
    let wanted = wanted.map_err(|detail| {
        StatusError::bad_request(format!("invalid resource version: {detail}"))
    })?;
    let matching = request.query.text("resourceVersionMatch");
    let forbidden = |detail: &str| {
        let detail = format!("Forbidden: {detail}");
        StatusError::invalid_option(
            "ListOptions",
            "FieldValueForbidden",
            "resourceVersionMatch",
            &detail,
        )
    };
    match (matching, wanted) {
        (None, _) => {}
        (Some("Exact" | "NotOlderThan"), Some(_)) if !is_continued => {}
        (Some("Exact" | "NotOlderThan"), Some(_)) => {
            return Err(forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
        (Some("Exact" | "NotOlderThan"), None) => {
            return Err(forbidden(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        (Some(other), _) => {
            let detail = format!(
                "Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
            );
            let reason = "FieldValueNotSupported";
            return Err(StatusError::invalid_option(
                "ListOptions",
                reason,
                "resourceVersionMatch",
                &detail,
            ));
        }
    }
    match wanted {
        Some(wanted) if wanted > current => Err(future_version_error(wanted, current)),
        Some(wanted) if matching == Some("Exact") && wanted != current => {
            Err(StatusError::expired("The resourceVersion for the provided list is too old."))
        }
        Some(_) | None => Ok(()),
    }
}

/// Parses a resource version. The error is the message of a real server.
pub(super) fn version(text: &str) -> Result<u64, String> {
    let detail = "strconv.ParseUint: parsing";
    text.parse().map_err(|_| {
        format!("resourceVersion: Invalid value: {text:?}: {detail} {text:?}: invalid syntax")
    })
}

/// Returns the 504 error for a future version.
fn future_version_error(wanted: u64, current: u64) -> StatusError {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let cause = crate::api::StatusCause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    };
    StatusError {
        causes: vec![cause],
        retry_after_seconds: Some(1),
        ..StatusError::new(504, "Timeout", message)
    }
}
