//! `Status` objects that only the HTTP server returns.

use serde_json::{Map, Value, json};

use crate::api::{ServedResource, StatusCause, StatusError, group};

impl StatusError {
    /// 404 for an unknown path.
    pub(super) fn no_such_path() -> Self {
        Self::unknown_resource()
    }

    /// 422 for an invalid option: the options type (`CreateOptions`), the reason, the field and the detail.
    pub(super) fn invalid_option(options: &str, reason: &str, field: &str, detail: &str) -> Self {
        let message = format!("{options}.meta.k8s.io \"\" is invalid: {field}: {detail}");
        let cause =
            StatusCause { reason: reason.into(), message: detail.into(), field: field.into() };
        let (group, kind) = ("meta.k8s.io".into(), options.into());
        Self { group, kind, causes: vec![cause], ..Self::new(422, "Invalid", message) }
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 504 for a request body that does not arrive in time.
    pub(super) fn body_timeout() -> Self {
        Self::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout")
    }

    /// 413.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415 for an object in an unsupported media type.
    pub(super) fn unsupported_media_type(known: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            known.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 415 for a patch format that is unknown or not supported for the kind.
    pub(super) fn unsupported_patch_type() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
    }
}

/// Returns the `Status` of a successful deletion.
pub(super) fn success(resource: &ServedResource, name: &str, uid: &str) -> Value {
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
