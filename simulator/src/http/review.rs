//! Requests of which no object is kept: who am I, may I, and a token for a service account.

use bytes::Bytes;
use cluster::Kind;
use hyper::header;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::door::{Door, Request};
use super::media;
use super::payload::decode;
use super::respond::{self, Answered};
use crate::api::{Refusal, Resource};
use crate::authorize::{self, Deed, Wanted};
use crate::user::{MASTERS, User};

/// The bounds of a token's life, in seconds, and how long it is where nobody says.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
const USUAL: i64 = 3600;

/// Answers a review.
pub(super) fn review(
    door: &Door,
    request: &Request,
    resource: &Resource,
    bytes: &Bytes,
) -> Answered {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let kind = &resource.kind;
    let mut body = decode(media, bytes, &kind.kind)?;
    if !body.is_object() {
        return Err(Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {})",
            kind.kind
        )));
    }
    let spec = body["spec"].clone();
    let status = match kind.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": request.user.to_value()}),
        "TokenReview" => token_review(door, &spec),
        "SelfSubjectRulesReview" => rules_review(door, request, &spec),
        "SelfSubjectAccessReview" => access_review(door, &request.user, &spec)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            access_review(door, &user_of(&spec), &spec)?
        }
        _ => return Err(Refusal::not_allowed()),
    };
    body["apiVersion"] = kind.api_version.clone().into();
    body["kind"] = kind.kind.clone().into();
    body["metadata"] = json!({});
    body["status"] = status;
    Ok(respond::written(201, &body, request.accepted.writing))
}

fn access_review(door: &Door, user: &User, spec: &Value) -> Result<Value, Refusal> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_string();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let deed = match (resource.is_object(), path.is_object()) {
        (true, false) => Deed::Resource(Wanted {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            plural: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: Some(text(resource, "namespace")).filter(|namespace| !namespace.is_empty()),
            name: text(resource, "name"),
        }),
        (false, true) => Deed::Path { verb: text(path, "verb"), path: text(path, "path") },
        (false, false) | (true, true) => {
            let message = "spec: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(Refusal::new(422, "Invalid", message));
        }
    };
    let is_allowed = authorize::may(&door.world(), user, &deed);
    Ok(if is_allowed {
        json!({"allowed": true, "reason": "RBAC: allowed"})
    } else {
        json!({"allowed": false})
    })
}

/// The user whom a SubjectAccessReview is about.
fn user_of(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().into(),
        uid: spec["uid"].as_str().unwrap_or_default().into(),
        groups: groups.filter_map(|group| group.as_str().map(String::from)).collect(),
    }
}

fn rules_review(door: &Door, request: &Request, spec: &Value) -> Value {
    let mut rules = authorize::rules(&door.world(), &request.user, spec["namespace"].as_str());
    if request.user.is_in(MASTERS) {
        rules.splice(0..0, authorize::of_masters());
    }
    authorize::told(&rules)
}

fn token_review(door: &Door, spec: &Value) -> Value {
    let header = format!("Bearer {}", spec["token"].as_str().unwrap_or_default());
    match door.credentials.user(Some(&header), &door.world()) {
        Ok(user) => json!({"authenticated": true, "user": user.to_value()}),
        Err(_) => json!({"user": {}, "error": "invalid bearer token"}),
    }
}

/// Issues a token for the service account `name`.
pub(super) fn token(door: &Door, request: &Request, name: &str, bytes: &Bytes) -> Answered {
    let media = media::of_body(request.header(header::CONTENT_TYPE));
    let mut body = decode(media, bytes, "TokenRequest")?;
    let namespace = request.place.namespace.as_deref().unwrap_or_default();
    let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(USUAL);
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        let message = format!(
            "TokenRequest.authentication.k8s.io {name:?} is invalid: spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        );
        return Err(Refusal::new(422, "Invalid", message));
    }
    let (account, now) = {
        let world = door.world();
        (world.find(&Kind::new("v1", "ServiceAccount"), Some(namespace), name)?, world.now())
    };
    let lifetime = SignedDuration::from_secs(seconds);
    let token = door.credentials.issue(namespace, name, &account.metadata().uid, now, lifetime);
    let until = jiff::Timestamp::from_second((now + lifetime).as_second()).unwrap_or(now);
    if !body.is_object() {
        body = json!({});
    }
    body["apiVersion"] = "authentication.k8s.io/v1".into();
    body["kind"] = "TokenRequest".into();
    body["metadata"] = json!({"name": name, "namespace": namespace});
    body["spec"]["expirationSeconds"] = seconds.into();
    body["status"] = json!({"token": token, "expirationTimestamp": until.to_string()});
    Ok(respond::written(201, &body, request.accepted.writing))
}
