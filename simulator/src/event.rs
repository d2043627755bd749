use cluster::{Digest, Object};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::objects::Key;
use crate::world::World;

/// How long Events are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
const SWEEP: SignedDuration = SignedDuration::from_mins(1);

impl World {
    /// Writes an Event about `object`, or counts it if it was written before.
    pub(crate) fn record(
        &mut self,
        object: &Object,
        kind: &str,
        reason: &str,
        message: &str,
        component: &str,
    ) {
        self.record_times(object, kind, reason, message, component, 1);
    }

    /// As [`World::record`], for what happened `times` since it was last written.
    pub(crate) fn record_times(
        &mut self,
        object: &Object,
        kind: &str,
        reason: &str,
        message: &str,
        component: &str,
        times: u64,
    ) {
        let (metadata, now) = (object.metadata(), self.written_now());
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
        self.forget_old_events();
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
        // Refused only where the namespace is gone, and its Events with it.
        let _ = self.make(Object::from_value(value).expect("it is written as an object"));
    }

    /// At most once a minute, and only when a new one is written: nobody waits for an Event to go.
    fn forget_old_events(&mut self) {
        if self.now < self.events_swept + SWEEP {
            return;
        }
        self.events_swept = self.now;
        let horizon = crate::world::written(self.now - KEPT);
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
