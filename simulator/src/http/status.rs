//! `Status` objects that only the door gives: paths that lead nowhere, and deletions that leave nothing to show.

use serde_json::{Map, Value, json};

use crate::api::{Cause, Refusal, Resource, group};

impl Refusal {
    /// 404 for a path under which there is nothing.
    pub(super) fn no_such_path() -> Self {
        Self::unknown_resource()
    }

    /// 422 about an option of the request: `CreateOptions`, its field, and what is wrong with that.
    pub(super) fn bad_option(options: &str, reason: &str, field: &str, why: &str) -> Self {
        let message = format!("{options}.meta.k8s.io \"\" is invalid: {field}: {why}");
        let cause = Cause { reason: reason.into(), message: why.into(), field: field.into() };
        let (group, kind) = ("meta.k8s.io".into(), options.into());
        Self { group, kind, causes: vec![cause], ..Self::new(422, "Invalid", message) }
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 504 for a body that does not come.
    pub(super) fn too_slow() -> Self {
        Self::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout")
    }

    /// 413.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415 for a whole object in a form that is not known.
    pub(super) fn unknown_form(known: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            known.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 415 for a patch in a form that is not known, or not for this kind.
    pub(super) fn unknown_patch() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
    }
}

/// The answer to a deletion after which nothing is left to show.
pub(super) fn success(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = Map::new();
    for (member, text) in
        [("name", name), ("group", group(&resource.kind)), ("kind", &resource.plural), ("uid", uid)]
    {
        if !text.is_empty() {
            details.insert(member.into(), text.into());
        }
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
