use cluster::Object;
use serde_json::Value;

use super::{FieldError, invalid_field};
use crate::api::resource::ServedResource;
use crate::api::status_error::StatusError;

/// The maximum total size of an object's annotations, in bytes.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

const INVALID_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const INVALID_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const INVALID_SERVICE_NAME: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const INVALID_LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const INVALID_LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

pub(super) fn check_name(resource: &ServedResource, object: &Object) -> Result<(), StatusError> {
    let name = object.name();
    if name.is_empty() {
        return Err(invalid_field(
            object,
            "metadata.name",
            &FieldError::Required("name or generateName is required"),
        ));
    }
    let is_part = |part: &str| {
        let edge = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| edge(Some(byte)) || *byte == b'-')
    };
    let is_segment = !matches!(name, "." | "..") && !name.contains(['/', '%']);
    let (is_valid, max_len, detail) = match resource.storage_kind {
        "Namespace" => (is_part(name), 63, INVALID_LABEL),
        "Service" => (
            is_part(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
            63,
            INVALID_SERVICE_NAME,
        ),
        // Names of RBAC objects may contain colons and upper-case letters.
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => {
            (is_segment, usize::MAX, "may not contain '/' or '%', or be '.' or '..'")
        }
        _ => (name.split('.').all(is_part), 253, INVALID_SUBDOMAIN),
    };
    let value = Value::from(name);
    if !is_valid {
        return Err(invalid_field(object, "metadata.name", &FieldError::Invalid(&value, detail)));
    }
    if name.len() > max_len {
        let detail = format!("must be no more than {max_len} bytes");
        return Err(invalid_field(object, "metadata.name", &FieldError::Invalid(&value, &detail)));
    }
    match (resource.namespaced, object.namespace()) {
        (true, None) => Err(invalid_field(object, "metadata.namespace", &FieldError::Required(""))),
        (false, Some(_)) => Err(invalid_field(
            object,
            "metadata.namespace",
            &FieldError::Forbidden("not allowed on this type"),
        )),
        (true, Some(_)) | (false, None) => Ok(()),
    }
}

pub(super) fn check_labels(object: &Object) -> Result<(), StatusError> {
    let invalid = |text: &str, detail: &str| {
        Err(invalid_field(
            object,
            "metadata.labels",
            &FieldError::Invalid(&Value::from(text), detail),
        ))
    };
    for (key, value) in &object.metadata().labels {
        if let Some(detail) = label_key_error(key) {
            return invalid(key, detail);
        }
        if value.len() > 63 {
            return invalid(value, "must be no more than 63 bytes");
        }
        if !(value.is_empty() || is_qualified_part(value, 63)) {
            return invalid(value, INVALID_LABEL_VALUE);
        }
    }
    Ok(())
}

pub(super) fn check_finalizers(object: &Object) -> Result<(), StatusError> {
    for (i, one) in object.metadata().finalizers.iter().enumerate() {
        let is_known = matches!(one.as_str(), "orphan" | "foregroundDeletion" | "kubernetes");
        let is_qualified = one.split_once('/').is_some_and(|(domain, name)| {
            is_qualified_part(domain, 253) && is_qualified_part(name, 63)
        });
        if !is_known && !is_qualified {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            let field = format!("metadata.finalizers[{i}]");
            return Err(invalid_field(
                object,
                &field,
                &FieldError::Invalid(&Value::from(one.as_str()), detail),
            ));
        }
    }
    Ok(())
}

/// Returns why `text` is not a valid label key, or `None` if it is valid.
pub(super) fn label_key_error(text: &str) -> Option<&'static str> {
    let is_key = match text.split_once('/') {
        Some((prefix, name)) => is_qualified_part(prefix, 253) && is_qualified_part(name, 63),
        None => is_qualified_part(text, 63),
    };
    (!is_key).then_some(INVALID_LABEL_KEY)
}

fn is_qualified_part(text: &str, max_len: usize) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.len() <= max_len && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

pub(super) fn check_annotations(object: &Object) -> Result<(), StatusError> {
    let annotations = &object.metadata().annotations;
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATION_BYTES {
        return Err(invalid_field(
            object,
            "metadata.annotations",
            &FieldError::TooLong(MAX_ANNOTATION_BYTES),
        ));
    }
    for key in annotations.keys() {
        let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name);
        if !is_qualified_part(name, 63) {
            return Err(invalid_field(
                object,
                "metadata.annotations",
                &FieldError::Invalid(&Value::from(key.as_str()), INVALID_LABEL_KEY),
            ));
        }
    }
    Ok(())
}

pub(super) fn check_owners(object: &Object) -> Result<(), StatusError> {
    let owners = &object.metadata().owner_references;
    for owner in owners {
        for (member, text) in [
            ("apiVersion", &owner.api_version),
            ("kind", &owner.kind),
            ("name", &owner.name),
            ("uid", &owner.uid),
        ] {
            if text.is_empty() {
                let field = format!("metadata.ownerReferences.{member}");
                return Err(invalid_field(
                    object,
                    &field,
                    &FieldError::Invalid(&Value::from(""), "must not be empty"),
                ));
            }
        }
    }
    if owners.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
        let value = serde_json::to_value(owners).unwrap_or_default();
        let detail = "Only one reference can have Controller set to true";
        return Err(invalid_field(
            object,
            "metadata.ownerReferences",
            &FieldError::Invalid(&value, detail),
        ));
    }
    Ok(())
}

pub(super) fn check_update(before: &Object, after: &Object) -> Result<(), StatusError> {
    if before.metadata().deletion_timestamp.is_none() {
        return Ok(());
    }
    let existing = &before.metadata().finalizers;
    let new: Vec<String> = after
        .metadata()
        .finalizers
        .iter()
        .filter(|one| !existing.contains(one))
        .map(|one| format!("{one:?}"))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        new.join(", ")
    );
    Err(invalid_field(after, "metadata.finalizers", &FieldError::Forbidden(&detail)))
}
