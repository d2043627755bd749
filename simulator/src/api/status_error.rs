use cluster::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::{ServedResource, group};

/// An error response of the API server, as in a Kubernetes `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusError {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason: `NotFound`, `Invalid`, `Conflict`.
    pub reason: String,
    /// The message for humans.
    pub message: String,
    /// The name of the object. Empty if the error is not about an object.
    pub name: String,
    /// The group of the object. Empty for the core group, and if the error is not about an object.
    pub group: String,
    /// The resource (`pods`) of the object; its kind if the object is invalid.
    pub kind: String,
    /// One entry per error.
    pub causes: Vec<StatusCause>,
    /// The delay before the client may retry, in seconds.
    pub retry_after_seconds: Option<u32>,
}

/// One cause of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCause {
    /// The machine-readable reason: `FieldValueInvalid`, `FieldManagerConflict`.
    pub reason: String,
    /// The message for humans.
    pub message: String,
    /// The path of the field. Empty if the cause is not about a field.
    pub field: String,
}

/// The object that an error is about, for messages: `deployments.apps "cart"`.
#[derive(Clone, Debug)]
pub(crate) struct ResourceName {
    group: String,
    resource: String,
    kind: String,
    name: String,
}

impl ResourceName {
    pub(crate) fn new(resource: Option<&ServedResource>, kind: &Kind, name: &str) -> Self {
        let plural = resource
            .map_or_else(|| format!("{}s", kind.kind.to_lowercase()), |known| known.plural.clone());
        Self {
            group: group(kind).into(),
            resource: plural,
            kind: kind.kind.clone(),
            name: name.into(),
        }
    }

    /// Names an object by its path, whether or not the resource exists.
    pub(crate) fn of(group: &str, plural: &str, name: &str) -> Self {
        Self {
            group: group.into(),
            resource: plural.into(),
            kind: String::new(),
            name: name.into(),
        }
    }

    /// `deployments.apps`, `pods`.
    pub(crate) fn qualified(&self) -> String {
        with_group(&self.resource, &self.group)
    }
}

fn with_group(name: &str, group: &str) -> String {
    if group.is_empty() { name.into() } else { format!("{name}.{group}") }
}

impl StatusError {
    pub(crate) fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            causes: Vec::new(),
            retry_after_seconds: None,
        }
    }

    fn with_details(self, target: &ResourceName) -> Self {
        Self {
            name: target.name.clone(),
            group: target.group.clone(),
            kind: target.resource.clone(),
            ..self
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 400 for an object with another name than the path.
    pub(crate) fn name_mismatch(object: &str, path: &str) -> Self {
        Self::bad_request(format!(
            "the name of the object ({object}) does not match the name on the URL ({path})"
        ))
    }

    /// 400 for an object with another namespace than the path.
    pub(crate) fn namespace_mismatch() -> Self {
        Self::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )
    }

    /// 400 for an object of another kind than the path.
    pub(crate) fn kind_mismatch() -> Self {
        Self::bad_request(
            "the kind of the object in the body does not match the resource on the URL",
        )
    }

    /// 404 for a resource that is not served.
    pub fn unknown_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 410 for a version or a continue token that is compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn not_found(target: &ResourceName) -> Self {
        let message = format!("{} {:?} not found", target.qualified(), target.name);
        Self::new(404, "NotFound", message).with_details(target)
    }

    pub(crate) fn already_exists(target: &ResourceName) -> Self {
        let message = format!("{} {:?} already exists", target.qualified(), target.name);
        Self::new(409, "AlreadyExists", message).with_details(target)
    }

    /// 409 with the message prefix of a Kubernetes API server.
    pub(crate) fn conflict(target: &ResourceName, detail: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: {detail}",
            target.qualified(),
            target.name
        );
        Self::new(409, "Conflict", message).with_details(target)
    }

    pub(crate) fn modified(target: &ResourceName) -> Self {
        Self::conflict(
            target,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(target: &ResourceName, detail: &str) -> Self {
        let message = if target.name.is_empty() {
            format!("{} is forbidden: {detail}", target.qualified())
        } else {
            format!("{} {:?} is forbidden: {detail}", target.qualified(), target.name)
        };
        Self::new(403, "Forbidden", message).with_details(target)
    }

    /// 422 with one cause per error.
    pub(crate) fn invalid(target: &ResourceName, causes: Vec<StatusCause>) -> Self {
        let details: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let details = if let [one] = &details[..] {
            one.clone()
        } else {
            format!("[{}]", details.join(", "))
        };
        let kind = with_group(&target.kind, &target.group);
        let message = format!("{kind} {:?} is invalid: {details}", target.name);
        Self {
            kind: target.kind.clone(),
            causes,
            ..Self::new(422, "Invalid", message).with_details(target)
        }
    }

    /// 422 for an update of a custom object without a resource version.
    pub(crate) fn missing_resource_version(target: &ResourceName) -> Self {
        let cause = StatusCause::new(
            "FieldValueInvalid",
            "metadata.resourceVersion",
            "Invalid value: 0: must be specified for an update",
        );
        let message = format!(
            "{} {:?} is invalid: {}: {}",
            target.qualified(),
            target.name,
            cause.field,
            cause.message
        );
        Self { causes: vec![cause], ..Self::new(422, "Invalid", message).with_details(target) }
    }

    pub(crate) fn throttled(retry_after_seconds: u32) -> Self {
        let message = "too many requests, please try again later";
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(429, "TooManyRequests", message)
        }
    }

    /// Returns the error as a `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        let mut details = serde_json::Map::new();
        for (member, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                details.insert(member.into(), text.clone().into());
            }
        }
        if !self.causes.is_empty() {
            details
                .insert("causes".into(), self.causes.iter().map(StatusCause::to_value).collect());
        }
        if let Some(seconds) = self.retry_after_seconds {
            details.insert("retryAfterSeconds".into(), seconds.into());
        }
        if !details.is_empty() || self.code == 404 {
            status["details"] = details.into();
        }
        status
    }
}

impl StatusCause {
    pub(crate) fn new(reason: &str, field: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), field: field.into() }
    }

    fn to_value(&self) -> Value {
        let mut cause = json!({"reason": self.reason, "message": self.message});
        if !self.field.is_empty() {
            cause["field"] = self.field.clone().into();
        }
        cause
    }
}
