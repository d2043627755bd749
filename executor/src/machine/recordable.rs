//! Answers as they can be recorded: canonical JSON of a bounded size.

use std::collections::BTreeMap;

use cluster::{Metadata, Object, Reply};

/// The most that one answer may hold, as JSON; a record's payload ends at 128 KiB.
const LARGEST_ANSWER_BYTES: usize = 112 * 1024;

/// The replies to a read; refused in their place where they cannot be recorded, for what is decided on is recorded.
pub(super) fn replies(replies: &[Reply]) -> Vec<Reply> {
    match objection(replies) {
        None => replies.to_vec(),
        Some(message) => {
            vec![
                Reply::Refused { code: 413, reason: "NotRecordable".into(), message };
                replies.len().clamp(1, 8)
            ]
        }
    }
}

/// The answer to a change. That it was accepted must not be lost for the size of what was answered: then the object
/// keeps its identity only.
pub(super) fn answer(reply: &Reply) -> Reply {
    let Some(message) = objection(std::slice::from_ref(reply)) else { return reply.clone() };
    match reply {
        Reply::Found(object) => Reply::Found(identity(object)),
        Reply::Accepted(object) => Reply::Accepted(identity(object)),
        Reply::Refused { code, reason, .. } => {
            Reply::Refused { code: *code, reason: reason.chars().take(80).collect(), message }
        }
        Reply::Conflict { .. } => Reply::Conflict { message },
        Reply::Absent
        | Reply::Deleted
        | Reply::Throttled { .. }
        | Reply::Listed(_)
        | Reply::Unknown { .. } => Reply::Unknown { message },
    }
}

/// Why the replies cannot be recorded, if they cannot.
fn objection(replies: &[Reply]) -> Option<String> {
    match cluster::canonical_json(replies) {
        Ok(json) if json.len() <= LARGEST_ANSWER_BYTES => None,
        Ok(json) => Some(format!(
            "the answer has {} bytes, more than the {LARGEST_ANSWER_BYTES} that can be recorded",
            json.len()
        )),
        Err(error) => Some(format!("the answer cannot be recorded: {error}")),
    }
}

fn identity(object: &Object) -> Object {
    let whole = object.metadata();
    let metadata = Metadata {
        name: whole.name.clone(),
        namespace: whole.namespace.clone(),
        uid: whole.uid.clone(),
        resource_version: whole.resource_version.clone(),
        generation: whole.generation,
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

    #[test]
    fn an_answer_too_large_to_record_is_no_ground_to_decide_on_and_keeps_that_it_was_accepted() {
        for bad in [json!({"k": "x".repeat(200_000)}), json!({"k": 9_007_199_254_740_993_i64})] {
            let object = config_map(bad);
            assert!(matches!(
                replies(&[Reply::Found(object.clone())])[..],
                [Reply::Refused { code: 413, .. }]
            ));
            let kept = answer(&Reply::Accepted(object));
            let Reply::Accepted(kept) = kept else { panic!("{kept:?}") };
            assert_eq!(
                (kept.name(), kept.metadata().uid.as_str(), kept.field("data")),
                ("m", "u", None)
            );
        }
        let small = Reply::Accepted(config_map(json!({"k": "v"})));
        assert_eq!(answer(&small), small);
    }
}
