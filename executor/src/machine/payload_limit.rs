//! Limits replies to what the record can store: canonical JSON of a bounded size.

use std::collections::BTreeMap;

use cluster::{Metadata, NotSent, Object, ReadReply, WriteReply};
use serde::Serialize;

/// Maximum size of one reply as JSON. The payload of a record is limited to 128 KiB.
const MAX_REPLY_BYTES: usize = 112 * 1024;

/// Returns the replies to a read, or `NotRecordable` in place of each if they cannot be recorded: a decision may only
/// depend on recorded data.
pub(super) fn read_replies(replies: &[ReadReply]) -> Vec<ReadReply> {
    match limit_error(replies) {
        None => replies.to_vec(),
        Some(message) => {
            vec![ReadReply::NotRecordable { message }; replies.len().clamp(1, 8)]
        }
    }
}

/// Returns the reply to a change. If it cannot be recorded, the object is reduced to its identity, so that the fact that
/// the change was accepted is kept.
pub(super) fn write_reply(reply: &WriteReply) -> WriteReply {
    let Some(message) = limit_error(reply) else { return reply.clone() };
    match reply {
        WriteReply::Accepted(object) => WriteReply::Accepted(identity(object)),
        WriteReply::Refused { code, reason, .. } => {
            WriteReply::Refused { code: *code, reason: reason.chars().take(80).collect(), message }
        }
        WriteReply::Conflict { .. } => WriteReply::Conflict { message },
        WriteReply::NotSent(NotSent::Unavailable { retry_after_seconds, .. }) => {
            let retry_after_seconds = *retry_after_seconds;
            WriteReply::NotSent(NotSent::Unavailable { message, retry_after_seconds })
        }
        WriteReply::NotSent(NotSent::JournalFailed { .. }) => {
            WriteReply::NotSent(NotSent::JournalFailed { message })
        }
        WriteReply::NotSent(NotSent::InvalidRequest { .. } | NotSent::OtherCluster { .. }) => {
            WriteReply::NotSent(NotSent::InvalidRequest { message })
        }
        // Without a message of variable length, only `Unknown` can exceed the limit.
        WriteReply::NotFound
        | WriteReply::Deleted
        | WriteReply::Throttled { .. }
        | WriteReply::Unknown { .. } => WriteReply::Unknown { message },
    }
}

/// Returns the unknown reply to a change and the read that resolved it. If both together cannot be recorded, the message
/// and the object are reduced.
pub(super) fn resolution(lost_reply: &WriteReply, read: &ReadReply) -> (WriteReply, ReadReply) {
    let Some(message) = limit_error(&(lost_reply, read)) else {
        return (lost_reply.clone(), read.clone());
    };
    let read = match read {
        ReadReply::Found(object) => ReadReply::Found(identity(object)),
        ReadReply::NotFound => ReadReply::NotFound,
        ReadReply::Listed(_)
        | ReadReply::Refused { .. }
        | ReadReply::Unavailable { .. }
        | ReadReply::NotSent(_)
        | ReadReply::NotRecordable { .. } => ReadReply::NotRecordable { message: message.clone() },
    };
    (WriteReply::Unknown { message }, read)
}

/// Returns why a reply cannot be recorded, if it cannot.
fn limit_error(reply: &(impl Serialize + ?Sized)) -> Option<String> {
    match cluster::canonical_json(reply) {
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
                read_replies(&[ReadReply::Found(object.clone())])[..],
                [ReadReply::NotRecordable { .. }]
            ));
            let kept = write_reply(&WriteReply::Accepted(object.clone()));
            let WriteReply::Accepted(kept) = kept else { panic!("{kept:?}") };
            assert_eq!(
                (kept.name(), kept.metadata().uid.as_str(), kept.field("data")),
                ("m", "u", None)
            );
            let lost = WriteReply::Unknown { message: "reset".into() };
            let (lost, read) = resolution(&lost, &ReadReply::Found(object));
            assert!(matches!(lost, WriteReply::Unknown { .. }), "{lost:?}");
            assert_eq!(read, ReadReply::Found(kept));
        }
        let small = config_map(json!({"k": "v"}));
        let accepted = WriteReply::Accepted(small.clone());
        assert_eq!(write_reply(&accepted), accepted);
        let resolved = (WriteReply::Unknown { message: "reset".into() }, ReadReply::Found(small));
        assert_eq!(resolution(&resolved.0, &resolved.1), resolved);
    }
}
