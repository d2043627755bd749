//! Limits replies to what the record can store: canonical JSON of a bounded size.

use std::collections::BTreeMap;

use cluster::{Metadata, Object, Reply};

/// Maximum size of one reply as JSON. The payload of a record is limited to 128 KiB.
const MAX_REPLY_BYTES: usize = 112 * 1024;

/// Returns the replies to a read, or a `NotRecordable` refusal in place of each if they cannot be recorded: a decision
/// may only depend on recorded data.
pub(super) fn replies(replies: &[Reply]) -> Vec<Reply> {
    match limit_error(replies) {
        None => replies.to_vec(),
        Some(message) => {
            vec![
                Reply::Refused { code: 413, reason: "NotRecordable".into(), message };
                replies.len().clamp(1, 8)
            ]
        }
    }
}

/// Returns the reply to a change. If it cannot be recorded, the object is reduced to its identity, so that the fact that
/// the change was accepted is kept.
pub(super) fn reply(reply: &Reply) -> Reply {
    let Some(message) = limit_error(std::slice::from_ref(reply)) else { return reply.clone() };
    match reply {
        Reply::Found(object) => Reply::Found(identity(object)),
        Reply::Accepted(object) => Reply::Accepted(identity(object)),
        Reply::Refused { code, reason, .. } => {
            Reply::Refused { code: *code, reason: reason.chars().take(80).collect(), message }
        }
        Reply::Conflict { .. } => Reply::Conflict { message },
        Reply::NotFound
        | Reply::Deleted
        | Reply::Throttled { .. }
        | Reply::Listed(_)
        | Reply::Unknown { .. } => Reply::Unknown { message },
    }
}

/// Returns why the replies cannot be recorded, if they cannot.
fn limit_error(replies: &[Reply]) -> Option<String> {
    match cluster::canonical_json(replies) {
        Ok(json) if json.len() <= MAX_REPLY_BYTES => None,
        Ok(json) => Some(format!(
            "the reply has {} bytes; at most {MAX_REPLY_BYTES} can be recorded",
            json.len()
        )),
        Err(error) => Some(format!("the reply cannot be recorded: {error}")),
    }
}

fn identity(object: &Object) -> Object {
    let full = object.metadata();
    let metadata = Metadata {
        name: full.name.clone(),
        namespace: full.namespace.clone(),
        uid: full.uid.clone(),
        resource_version: full.resource_version.clone(),
        generation: full.generation,
        ..Metadata::default()
    };
    Object::new(object.kind().clone(), metadata, BTreeMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn config_map(data: Value) -> Object {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "uid": "u", "resourceVersion": "7"}, "data": data});
        Object::from_value(value).unwrap()
    }

    /// A read reply that cannot be recorded is refused; the reply to a change keeps that the change was accepted.
    #[test]
    fn unrecordable_reply_is_refused_or_reduced_to_identity() {
        for bad in [json!({"k": "x".repeat(200_000)}), json!({"k": 9_007_199_254_740_993_i64})] {
            let object = config_map(bad);
            assert!(matches!(
                replies(&[Reply::Found(object.clone())])[..],
                [Reply::Refused { code: 413, .. }]
            ));
            let kept = reply(&Reply::Accepted(object));
            let Reply::Accepted(kept) = kept else { panic!("{kept:?}") };
            assert_eq!(
                (kept.name(), kept.metadata().uid.as_str(), kept.field("data")),
                ("m", "u", None)
            );
        }
        let small = Reply::Accepted(config_map(json!({"k": "v"})));
        assert_eq!(reply(&small), small);
    }
}
