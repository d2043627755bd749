use cluster::Object;
use serde_json::Value;

use super::{Wrong, wrong};
use crate::api::refusal::Refusal;
use crate::api::resource::Resource;

/// Bytes of all annotations of an object together.
const ANNOTATIONS: usize = 256 * 1024;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

pub(super) fn check_name(resource: &Resource, object: &Object) -> Result<(), Refusal> {
    let name = object.name();
    if name.is_empty() {
        return Err(wrong(
            object,
            "metadata.name",
            &Wrong::Required("name or generateName is required"),
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
    let (fits, longest, why) = match resource.shelf {
        "Namespace" => (is_part(name), 63, LABEL),
        "Service" => {
            (is_part(name) && name.starts_with(|c: char| c.is_ascii_lowercase()), 63, SERVICE)
        }
        // Roles may have names with colons and capitals.
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => {
            (is_segment, usize::MAX, "may not contain '/' or '%', or be '.' or '..'")
        }
        _ => (name.split('.').all(is_part), 253, SUBDOMAIN),
    };
    let value = Value::from(name);
    if !fits {
        return Err(wrong(object, "metadata.name", &Wrong::Invalid(&value, why)));
    }
    if name.len() > longest {
        let why = format!("must be no more than {longest} bytes");
        return Err(wrong(object, "metadata.name", &Wrong::Invalid(&value, &why)));
    }
    match (resource.namespaced, object.namespace()) {
        (true, None) => Err(wrong(object, "metadata.namespace", &Wrong::Required(""))),
        (false, Some(_)) => {
            Err(wrong(object, "metadata.namespace", &Wrong::Forbidden("not allowed on this type")))
        }
        (true, Some(_)) | (false, None) => Ok(()),
    }
}

pub(super) fn check_labels(object: &Object) -> Result<(), Refusal> {
    let invalid = |text: &str, why: &str| {
        Err(wrong(object, "metadata.labels", &Wrong::Invalid(&Value::from(text), why)))
    };
    for (key, value) in &object.metadata().labels {
        if let Some(why) = flaw_of_label_key(key) {
            return invalid(key, why);
        }
        if value.len() > 63 {
            return invalid(value, "must be no more than 63 bytes");
        }
        if !(value.is_empty() || is_word(value, 63)) {
            return invalid(value, LABEL_VALUE);
        }
    }
    Ok(())
}

pub(super) fn check_finalizers(object: &Object) -> Result<(), Refusal> {
    for (i, one) in object.metadata().finalizers.iter().enumerate() {
        let is_known = matches!(one.as_str(), "orphan" | "foregroundDeletion" | "kubernetes");
        let is_qualified = one
            .split_once('/')
            .is_some_and(|(domain, name)| is_word(domain, 253) && is_word(name, 63));
        if !is_known && !is_qualified {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            let field = format!("metadata.finalizers[{i}]");
            return Err(wrong(object, &field, &Wrong::Invalid(&Value::from(one.as_str()), why)));
        }
    }
    Ok(())
}

/// Whether `text` may be the key of a label; if not, why.
pub(super) fn flaw_of_label_key(text: &str) -> Option<&'static str> {
    let is_key = match text.split_once('/') {
        Some((prefix, name)) => is_word(prefix, 253) && is_word(name, 63),
        None => is_word(text, 63),
    };
    (!is_key).then_some(LABEL_KEY)
}

fn is_word(text: &str, longest: usize) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.len() <= longest && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
}

pub(super) fn check_annotations(object: &Object) -> Result<(), Refusal> {
    let annotations = &object.metadata().annotations;
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS {
        return Err(wrong(object, "metadata.annotations", &Wrong::TooLong(ANNOTATIONS)));
    }
    for key in annotations.keys() {
        let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name);
        if !is_word(name, 63) {
            return Err(wrong(
                object,
                "metadata.annotations",
                &Wrong::Invalid(&Value::from(key.as_str()), LABEL_KEY),
            ));
        }
    }
    Ok(())
}

pub(super) fn check_owners(object: &Object) -> Result<(), Refusal> {
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
                return Err(wrong(
                    object,
                    &field,
                    &Wrong::Invalid(&Value::from(""), "must not be empty"),
                ));
            }
        }
    }
    if owners.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
        let value = serde_json::to_value(owners).unwrap_or_default();
        let why = "Only one reference can have Controller set to true";
        return Err(wrong(object, "metadata.ownerReferences", &Wrong::Invalid(&value, why)));
    }
    Ok(())
}

pub(super) fn check_update(before: &Object, after: &Object) -> Result<(), Refusal> {
    if before.metadata().deletion_timestamp.is_none() {
        return Ok(());
    }
    let known = &before.metadata().finalizers;
    let new: Vec<String> = after
        .metadata()
        .finalizers
        .iter()
        .filter(|one| !known.contains(one))
        .map(|one| format!("{one:?}"))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        new.join(", ")
    );
    Err(wrong(after, "metadata.finalizers", &Wrong::Forbidden(&why)))
}
