//! What a kind's own rules say of an object that is to be stored.

mod budget;
mod data;
mod definition;
mod metadata;
mod service;
mod workload;

use cluster::Object;
use serde_json::Value;

use super::refusal::{Cause, Named, Refusal};
use super::resource::Resource;

/// What is wrong with a field, in Kubernetes' words.
enum Wrong<'a> {
    /// It must be there.
    Required(&'a str),
    /// It has a value that it may not have.
    Invalid(&'a Value, &'a str),
    /// It may not have this value here.
    Forbidden(&'a str),
    /// Another element has the value already.
    Duplicate(&'a Value),
    /// It holds more bytes than this.
    TooLong(usize),
    /// It is none of these.
    Unsupported(&'a Value, &'a [&'a str]),
}

fn cause(field: &str, what: &Wrong<'_>) -> Cause {
    let (reason, message) = match what {
        Wrong::Required("") => ("FieldValueRequired", "Required value".to_string()),
        Wrong::Required(why) => ("FieldValueRequired", format!("Required value: {why}")),
        Wrong::Invalid(value, why) => {
            ("FieldValueInvalid", format!("Invalid value: {value}: {why}"))
        }
        Wrong::Forbidden(why) => ("FieldValueForbidden", format!("Forbidden: {why}")),
        Wrong::Duplicate(value) => ("FieldValueDuplicate", format!("Duplicate value: {value}")),
        Wrong::TooLong(most) => {
            ("FieldValueTooLong", format!("Too long: may not be more than {most} bytes"))
        }
        Wrong::Unsupported(value, known) => {
            let known: Vec<String> = known.iter().map(|one| format!("{one:?}")).collect();
            let known = known.join(", ");
            (
                "FieldValueNotSupported",
                format!("Unsupported value: {value}: supported values: {known}"),
            )
        }
    };
    Cause::new(reason, field, message)
}

fn wrong(object: &Object, field: &str, what: &Wrong<'_>) -> Refusal {
    refused(object, vec![cause(field, what)])
}

fn refused(object: &Object, causes: Vec<Cause>) -> Refusal {
    Refusal::invalid(&Named::new(None, object.kind(), object.name()), causes)
}

/// Checks an object as it is to be stored.
pub(super) fn check(resource: &Resource, object: &Object) -> Result<(), Refusal> {
    metadata::check_name(resource, object)?;
    metadata::check_labels(object)?;
    metadata::check_annotations(object)?;
    metadata::check_owners(object)?;
    metadata::check_finalizers(object)?;
    match resource.shelf {
        "Deployment" | "ReplicaSet" => workload::check(object),
        "Pod" => workload::check_containers(object, "spec"),
        "Service" => service::check(object),
        "ConfigMap" | "Secret" => data::check(object),
        "CustomResourceDefinition" => definition::check(object),
        "PodDisruptionBudget" => budget::check(object),
        _ => Ok(()),
    }
}

/// Checks an object that is to take the place of another, and tells all that is wrong with it.
pub(super) fn check_change(
    resource: &Resource,
    before: &Object,
    after: &Object,
) -> Result<(), Refusal> {
    match (check(resource, after), check_update(resource, before, after)) {
        (Err(state), Err(change)) if state.code == change.code => {
            Err(refused(after, state.causes.into_iter().chain(change.causes).collect()))
        }
        (Err(refusal), _) | (Ok(()), Err(refusal)) => Err(refusal),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// Checks that a change leaves alone what may not change.
fn check_update(resource: &Resource, before: &Object, after: &Object) -> Result<(), Refusal> {
    metadata::check_update(before, after)?;
    let is_same = |pointer: &str| before.at(pointer) == after.at(pointer);
    let immutable = |pointer: &str| {
        let value = after.at(pointer).cloned().unwrap_or_default();
        let field = pointer[1..].replace('/', ".");
        Err(wrong(after, &field, &Wrong::Invalid(&value, "field is immutable")))
    };
    match resource.shelf {
        "Deployment" | "ReplicaSet" if !is_same("/spec/selector") => immutable("/spec/selector"),
        "ReplicaSet" if !is_same("/spec/template") && before.controller().is_some() => {
            immutable("/spec/template")
        }
        "Service" => service::check_update(before, after),
        "ConfigMap" | "Secret" => data::check_update(before, after),
        "RoleBinding" | "ClusterRoleBinding" if !is_same("/roleRef") => {
            let part = |name: &str| after.at(&format!("/roleRef/{name}")).cloned();
            // Told as the server holds it, not as it is on the wire.
            let value = serde_json::json!({"APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name")});
            Err(wrong(after, "roleRef", &Wrong::Invalid(&value, "cannot change roleRef")))
        }
        "Pod" => workload::check_pod_update(before, after),
        _ => Ok(()),
    }
}
