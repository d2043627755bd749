use cluster::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::{Resource, group};

/// Why a call was not done, as a Kubernetes `Status` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Kubernetes' reason: `NotFound`, `Invalid`, `Conflict`.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
    /// Name of the object meant; empty where none is.
    pub name: String,
    /// Its group; empty for the core group, and where no object is meant.
    pub group: String,
    /// Its resource (`pods`), or its kind where what was sent is not valid.
    pub kind: String,
    /// What is wrong, one by one.
    pub causes: Vec<Cause>,
    /// When it may be tried again.
    pub retry_after_seconds: Option<u32>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Kubernetes' word for it: `FieldValueInvalid`, `FieldManagerConflict`.
    pub reason: String,
    /// The sentence for people.
    pub message: String,
    /// The field; empty where it is about none.
    pub field: String,
}

/// What a message is about: `deployments.apps "cart"`.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    group: String,
    resource: String,
    kind: String,
    name: String,
}

impl Named {
    pub(crate) fn new(resource: Option<&Resource>, kind: &Kind, name: &str) -> Self {
        let plural = resource
            .map_or_else(|| format!("{}s", kind.kind.to_lowercase()), |known| known.plural.clone());
        Self {
            group: group(kind).into(),
            resource: plural,
            kind: kind.kind.clone(),
            name: name.into(),
        }
    }

    /// What a path names, whether or not there is such a resource.
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
        dotted(&self.resource, &self.group)
    }
}

fn dotted(word: &str, group: &str) -> String {
    if group.is_empty() { word.into() } else { format!("{word}.{group}") }
}

impl Refusal {
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

    fn about(self, named: &Named) -> Self {
        Self {
            name: named.name.clone(),
            group: named.group.clone(),
            kind: named.resource.clone(),
            ..self
        }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 400 for an object that is called otherwise than the path says.
    pub(crate) fn misnamed(own: &str, wanted: &str) -> Self {
        Self::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({wanted})"
        ))
    }

    /// 400 for an object of another namespace than the path says.
    pub(crate) fn misplaced() -> Self {
        Self::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )
    }

    /// 400 for an object of another kind than the path says.
    pub(crate) fn of_another_kind() -> Self {
        Self::bad_request("the object in the body is of another kind than the path")
    }

    /// 404 for a resource that is not served.
    pub fn unknown_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405.
    pub fn not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 410 for a version, or a page, that is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn absent(named: &Named) -> Self {
        let message = format!("{} {:?} not found", named.qualified(), named.name);
        Self::new(404, "NotFound", message).about(named)
    }

    pub(crate) fn exists(named: &Named) -> Self {
        let message = format!("{} {:?} already exists", named.qualified(), named.name);
        Self::new(409, "AlreadyExists", message).about(named)
    }

    /// 409 with the server's usual beginning.
    pub(crate) fn conflict(named: &Named, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: {why}",
            named.qualified(),
            named.name
        );
        Self::new(409, "Conflict", message).about(named)
    }

    pub(crate) fn modified(named: &Named) -> Self {
        Self::conflict(
            named,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(named: &Named, why: &str) -> Self {
        let message = if named.name.is_empty() {
            format!("{} is forbidden: {why}", named.qualified())
        } else {
            format!("{} {:?} is forbidden: {why}", named.qualified(), named.name)
        };
        Self::new(403, "Forbidden", message).about(named)
    }

    /// 422, with a cause for each thing that is wrong.
    pub(crate) fn invalid(named: &Named, causes: Vec<Cause>) -> Self {
        let told: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let told =
            if let [one] = &told[..] { one.clone() } else { format!("[{}]", told.join(", ")) };
        let kind = dotted(&named.kind, &named.group);
        let message = format!("{kind} {:?} is invalid: {told}", named.name);
        Self { kind: named.kind.clone(), causes, ..Self::new(422, "Invalid", message).about(named) }
    }

    /// 422 for an update of a custom object that does not say of which version.
    pub(crate) fn unversioned(named: &Named) -> Self {
        let cause = Cause::new(
            "FieldValueInvalid",
            "metadata.resourceVersion",
            "Invalid value: 0: must be specified for an update",
        );
        let message = format!(
            "{} {:?} is invalid: {}: {}",
            named.qualified(),
            named.name,
            cause.field,
            cause.message
        );
        Self { causes: vec![cause], ..Self::new(422, "Invalid", message).about(named) }
    }

    pub(crate) fn throttled(retry_after_seconds: u32) -> Self {
        let message = "too many requests, please try again later";
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(429, "TooManyRequests", message)
        }
    }

    /// The `Status` object that goes over the wire.
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
            details.insert("causes".into(), self.causes.iter().map(Cause::wire).collect());
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

impl Cause {
    pub(crate) fn new(reason: &str, field: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), field: field.into() }
    }

    fn wire(&self) -> Value {
        let mut cause = json!({"reason": self.reason, "message": self.message});
        if !self.field.is_empty() {
            cause["field"] = self.field.clone().into();
        }
        cause
    }
}
