//! `Status` objects that only the door gives: paths that lead nowhere, and deletions that leave nothing to show.

use serde_json::{Map, Value, json};

use crate::api::{Cause, Refusal, Resource, group};

impl Refusal {
    /// 404 for a path under which there is nothing.
    pub(super) fn no_such_path() -> Self {
        let cause = Cause {
            reason: "UnexpectedServerResponse".into(),
            message: "404 page not found".into(),
            field: String::new(),
        };
        Self { causes: vec![cause], ..Self::unknown_resource() }
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 413.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415, with what is understood.
    pub(super) fn unsupported(sent: &str, understood: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format ({sent}) - accepted media types include: {}",
            understood.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The same, about this resource and name, unless it is about something already.
    pub(super) fn of(mut self, resource: &Resource, name: &str) -> Self {
        if self.kind.is_empty() {
            self.kind.clone_from(&resource.plural);
            self.group = group(&resource.kind).into();
            self.name = name.into();
        }
        self
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
