use cluster::{Digest, Object};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::objects::Key;
use crate::world::World;

/// How long an Event is retained after its last occurrence.
const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);
const EVENT_SWEEP_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

impl World {
    /// Records an Event about `object`, or increments the count of an existing one.
    pub(crate) fn record_event(
        &mut self,
        object: &Object,
        kind: &str,
        reason: &str,
        message: &str,
        component: &str,
    ) {
        self.record_event_times(object, kind, reason, message, component, 1);
    }

    /// As [`World::record_event`], for `times` occurrences since the last call.
    pub(crate) fn record_event_times(
        &mut self,
        object: &Object,
        kind: &str,
        reason: &str,
        message: &str,
        component: &str,
        times: u64,
    ) {
        let (metadata, now) = (object.metadata(), self.now_rfc3339());
        let hash =
            Digest::of_all(&[metadata.uid.as_bytes(), reason.as_bytes(), b" ", message.as_bytes()])
                .short(16);
        let namespace = object.namespace().unwrap_or("default");
        let key = Key::new("Event", namespace, &format!("{}.{hash}", object.name()));
        if let Some(event) = self.objects.get(&key).cloned() {
            let count = event.field("count").and_then(Value::as_u64).unwrap_or(1);
            self.store(
                &key,
                &event
                    .with_field("count", (count + times).into())
                    .with_field("lastTimestamp", now.into()),
            );
            return;
        }
        self.sweep_expired_events();
        let value = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": &*key.name, "namespace": namespace},
            "involvedObject": {"apiVersion": object.kind().api_version, "kind": object.kind().kind, "namespace": object.namespace(),
                "name": object.name(), "uid": metadata.uid},
            "reason": reason,
            "message": message,
            "type": kind,
            "count": times,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": component},
            "reportingComponent": component,
        });
        // Rejected only if the namespace was deleted, and its Events with it.
        let _ = self
            .create_object(Object::from_value(value).expect("the literal above is a valid object"));
    }

    /// Removes expired Events. Runs at most once a minute, and only before a new Event is recorded: nothing depends
    /// on the exact time at which an Event disappears.
    fn sweep_expired_events(&mut self) {
        if self.now < self.events_swept + EVENT_SWEEP_INTERVAL {
            return;
        }
        self.events_swept = self.now;
        let horizon = crate::world::rfc3339_seconds(self.now - EVENT_TTL);
        let is_old = |event: &&Object| {
            event
                .field("lastTimestamp")
                .and_then(Value::as_str)
                .is_some_and(|last| last < horizon.as_str())
        };
        let old: Vec<Key> =
            self.objects.of_kind("Event", None).filter(is_old).filter_map(Key::of).collect();
        for key in old {
            self.objects.remove(&key);
        }
    }
}
