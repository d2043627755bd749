//! Validation of objects before they are stored, by kind.

mod budget;
mod data;
mod definition;
mod metadata;
mod service;
mod workload;

use cluster::Object;
use serde_json::Value;

use super::resource::ServedResource;
use super::status_error::{ResourceName, StatusCause, StatusError};

/// An error in one field, as in Kubernetes' `field.Error`.
enum FieldError<'a> {
    /// A required field is missing.
    Required(&'a str),
    /// The value is invalid.
    Invalid(&'a Value, &'a str),
    /// The value is not allowed in this context.
    Forbidden(&'a str),
    /// Another list element has the same value.
    Duplicate(&'a Value),
    /// The value is longer than this many bytes.
    TooLong(usize),
    /// The value is not one of the supported values.
    Unsupported(&'a Value, &'a [&'a str]),
}

fn cause(field: &str, error: &FieldError<'_>) -> StatusCause {
    let (reason, message) = match error {
        FieldError::Required("") => ("FieldValueRequired", "Required value".to_string()),
        FieldError::Required(detail) => ("FieldValueRequired", format!("Required value: {detail}")),
        FieldError::Invalid(value, detail) => {
            ("FieldValueInvalid", format!("Invalid value: {value}: {detail}"))
        }
        FieldError::Forbidden(detail) => ("FieldValueForbidden", format!("Forbidden: {detail}")),
        FieldError::Duplicate(value) => {
            ("FieldValueDuplicate", format!("Duplicate value: {value}"))
        }
        FieldError::TooLong(limit) => {
            ("FieldValueTooLong", format!("Too long: may not be more than {limit} bytes"))
        }
        FieldError::Unsupported(value, known) => {
            let known: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
            let known = known.join(", ");
            (
                "FieldValueNotSupported",
                format!("Unsupported value: {value}: supported values: {known}"),
            )
        }
    };
    StatusCause::new(reason, field, message)
}

fn invalid_field(object: &Object, field: &str, error: &FieldError<'_>) -> StatusError {
    invalid_object(object, vec![cause(field, error)])
}

fn invalid_object(object: &Object, causes: Vec<StatusCause>) -> StatusError {
    StatusError::invalid(&ResourceName::new(None, object.kind(), object.name()), causes)
}

/// Checks that `object` may be stored.
pub(super) fn check(resource: &ServedResource, object: &Object) -> Result<(), StatusError> {
    metadata::check_name(resource, object)?;
    metadata::check_labels(object)?;
    metadata::check_annotations(object)?;
    metadata::check_owners(object)?;
    metadata::check_finalizers(object)?;
    match resource.storage_kind {
        "Deployment" | "ReplicaSet" => workload::check(object),
        "Pod" => workload::check_containers(object, "spec"),
        "Service" => service::check(object),
        "ConfigMap" | "Secret" => data::check(object),
        "CustomResourceDefinition" => definition::check(object),
        "PodDisruptionBudget" => budget::check(object),
        _ => Ok(()),
    }
}

/// Checks that `after` may replace `before`, and returns the causes of both checks in one error.
pub(super) fn check_change(
    resource: &ServedResource,
    before: &Object,
    after: &Object,
) -> Result<(), StatusError> {
    match (check(resource, after), check_update(resource, before, after)) {
        (Err(state), Err(change)) if state.code == change.code => {
            Err(invalid_object(after, state.causes.into_iter().chain(change.causes).collect()))
        }
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// Checks that no immutable field changes.
fn check_update(
    resource: &ServedResource,
    before: &Object,
    after: &Object,
) -> Result<(), StatusError> {
    metadata::check_update(before, after)?;
    let is_same = |pointer: &str| before.at(pointer) == after.at(pointer);
    let immutable = |pointer: &str| {
        let value = after.at(pointer).cloned().unwrap_or_default();
        let field = pointer[1..].replace('/', ".");
        Err(invalid_field(after, &field, &FieldError::Invalid(&value, "field is immutable")))
    };
    match resource.storage_kind {
        "Deployment" | "ReplicaSet" if !is_same("/spec/selector") => immutable("/spec/selector"),
        "ReplicaSet" if !is_same("/spec/template") && before.controller().is_some() => {
            immutable("/spec/template")
        }
        "Service" => service::check_update(before, after),
        "ConfigMap" | "Secret" => data::check_update(before, after),
        "RoleBinding" | "ClusterRoleBinding" if !is_same("/roleRef") => {
            let part = |name: &str| after.at(&format!("/roleRef/{name}")).cloned();
            // The message of a real server shows the internal (Go) representation, not the serialized one.
            let value = serde_json::json!({"APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name")});
            Err(invalid_field(
                after,
                "roleRef",
                &FieldError::Invalid(&value, "cannot change roleRef"),
            ))
        }
        "Pod" => workload::check_pod_update(before, after),
        _ => Ok(()),
    }
}
