//! Reviews and token requests, whose objects are not stored.

use bytes::Bytes;
use cluster::Kind;
use hyper::header;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::media;
use super::payload::decode;
use super::respond::{self, HandlerResult};
use super::server::{ApiRequest, ApiServer};
use crate::api::{ServedResource, StatusError};
use crate::authorize::{self, Attributes, ResourceAttributes};
use crate::user::{MASTERS, User};

/// The minimum, maximum and default lifetime of a token, in seconds.
const MIN_TOKEN_SECONDS: i64 = 600;
const MAX_TOKEN_SECONDS: i64 = 1 << 32;
const DEFAULT_TOKEN_SECONDS: i64 = 3600;

/// Serves a review.
pub(super) fn review(
    server: &ApiServer,
    request: &ApiRequest,
    resource: &ServedResource,
    bytes: &Bytes,
) -> HandlerResult {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let kind = &resource.kind;
    let mut body = decode(media, bytes, &kind.kind)?;
    if !body.is_object() {
        return Err(StatusError::bad_request(format!(
            "the object provided is unrecognized (must be of type {})",
            kind.kind
        )));
    }
    let spec = body["spec"].clone();
    let status = match kind.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": request.user.to_value()}),
        "TokenReview" => token_review(server, &spec),
        "SelfSubjectRulesReview" => rules_review(server, request, &spec),
        "SelfSubjectAccessReview" => access_review(server, &request.user, &spec)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            access_review(server, &user_of(&spec), &spec)?
        }
        _ => return Err(StatusError::method_not_allowed()),
    };
    body["apiVersion"] = kind.api_version.clone().into();
    body["kind"] = kind.kind.clone().into();
    body["metadata"] = json!({});
    body["status"] = status;
    Ok(respond::encoded(201, &body, request.accepted.encoding))
}

fn access_review(server: &ApiServer, user: &User, spec: &Value) -> Result<Value, StatusError> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_string();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let attributes = match (resource.is_object(), path.is_object()) {
        (true, false) => Attributes::Resource(ResourceAttributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            plural: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: Some(text(resource, "namespace")).filter(|namespace| !namespace.is_empty()),
            name: text(resource, "name"),
        }),
        (false, true) => Attributes::Path { verb: text(path, "verb"), path: text(path, "path") },
        (false, false) | (true, true) => {
            let message = "spec: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(StatusError::new(422, "Invalid", message));
        }
    };
    let is_allowed = authorize::is_allowed(&server.world(), user, &attributes);
    Ok(if is_allowed {
        json!({"allowed": true, "reason": "RBAC: allowed"})
    } else {
        json!({"allowed": false})
    })
}

/// Returns the user of a SubjectAccessReview.
fn user_of(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().into(),
        uid: spec["uid"].as_str().unwrap_or_default().into(),
        groups: groups.filter_map(|group| group.as_str().map(String::from)).collect(),
    }
}

fn rules_review(server: &ApiServer, request: &ApiRequest, spec: &Value) -> Value {
    let mut rules =
        authorize::rules_for(&server.world(), &request.user, spec["namespace"].as_str());
    if request.user.is_in(MASTERS) {
        rules.splice(0..0, authorize::admin_rules());
    }
    authorize::rules_status(&rules)
}

fn token_review(server: &ApiServer, spec: &Value) -> Value {
    let header = format!("Bearer {}", spec["token"].as_str().unwrap_or_default());
    match server.credentials.user(Some(&header), &server.world()) {
        Ok(user) => json!({"authenticated": true, "user": user.to_value()}),
        Err(_) => json!({"user": {}, "error": "invalid bearer token"}),
    }
}

/// Issues a token for the service account `name`.
pub(super) fn token(
    server: &ApiServer,
    request: &ApiRequest,
    name: &str,
    bytes: &Bytes,
) -> HandlerResult {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let mut body = decode(media, bytes, "TokenRequest")?;
    let namespace = request.target.namespace.as_deref().unwrap_or_default();
    let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_TOKEN_SECONDS);
    if !(MIN_TOKEN_SECONDS..=MAX_TOKEN_SECONDS).contains(&seconds) {
        let message = format!(
            "TokenRequest.authentication.k8s.io {name:?} is invalid: spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        );
        return Err(StatusError::new(422, "Invalid", message));
    }
    let (account, now) = {
        let world = server.world();
        (world.get(&Kind::new("v1", "ServiceAccount"), Some(namespace), name)?, world.now())
    };
    let lifetime = SignedDuration::from_secs(seconds);
    let token = server.credentials.issue(namespace, name, &account.metadata().uid, now, lifetime);
    let expires_at = jiff::Timestamp::from_second((now + lifetime).as_second()).unwrap_or(now);
    if !body.is_object() {
        body = json!({});
    }
    body["apiVersion"] = "authentication.k8s.io/v1".into();
    body["kind"] = "TokenRequest".into();
    body["metadata"] = json!({"name": name, "namespace": namespace});
    body["spec"]["expirationSeconds"] = seconds.into();
    body["status"] = json!({"token": token, "expirationTimestamp": expires_at.to_string()});
    Ok(respond::encoded(201, &body, request.accepted.encoding))
}
