//! Watches: changes as they happen, one JSON object a line.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Object, WatchEvent};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::door::{Door, Request};
use super::media::Shape;
use super::read::{included, selection, version};
use super::respond::{self, Answered};
use super::table::{self, Columns, Included, Names};
use super::wire::Wire;
use crate::api::{Refusal, Resource, Selection, shown};

/// How long a watch lasts that says nothing of it.
const LASTS: Duration = Duration::from_secs(40 * 60);
/// How often a watch that allows it is told how far the world is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How many pieces may wait for a slow reader; then the watch waits too.
const WAITING: usize = 16;

/// One watch: what it wants, and in which form.
struct Watch {
    door: Arc<Door>,
    resource: Arc<Resource>,
    namespace: Option<String>,
    selection: Selection,
    shape: Shape,
    columns: Option<Columns>,
    included: Included,
    names: Names,
    has_bookmarks: bool,
}

/// Where a watch begins.
enum Begin {
    /// With the objects that are there, each as if it were new.
    Now,
    /// After this version.
    After(u64),
}

pub(super) fn watch(door: &Arc<Door>, request: &Request, resource: &Arc<Resource>) -> Answered {
    let selection = selection(request, resource)?;
    let begin = match request.query.text("resourceVersion") {
        None | Some("0") => Begin::Now,
        Some(text) => {
            // A real server fails here, and says no more than this.
            Begin::After(version(text).map_err(|why| Refusal::new(500, "InternalError", why))?)
        }
    };
    let has_bookmarks = request.query.is("allowWatchBookmarks");
    let initial = request.query.text("sendInitialEvents");
    let initial = initial.map(|_| request.query.is("sendInitialEvents"));
    let forbidden = |why: &str| {
        let why = format!("Forbidden: {why}");
        Refusal::bad_option("ListOptions", "FieldValueForbidden", "resourceVersionMatch", &why)
    };
    match (initial, request.query.text("resourceVersionMatch")) {
        (None, None) | (Some(_), Some("NotOlderThan")) => {}
        (None, Some(_)) => {
            return Err(forbidden(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        (Some(_), _) => {
            return Err(forbidden(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
    }
    let seconds = request.query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let lasts = seconds.map_or(LASTS, |seconds| Duration::from_secs(seconds.unsigned_abs()));
    let begin = match initial {
        Some(true) => Begin::Now,
        Some(false) | None => begin,
    };
    let columns =
        (request.accepted.shape == Shape::Table).then(|| Columns::of(&door.world(), resource));
    let included = if columns.is_some() { included(request)? } else { Included::Metadata };
    let watch = Watch {
        door: door.clone(),
        resource: resource.clone(),
        namespace: request.place.namespace.clone(),
        selection,
        shape: request.accepted.shape,
        columns,
        included,
        names: Names::Told,
        has_bookmarks,
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(watch.run(begin, initial == Some(true), lasts, sender));
    Ok(respond::stream("application/json", receiver))
}

impl Watch {
    async fn run(
        mut self,
        begin: Begin,
        marks_end: bool,
        lasts: Duration,
        sender: mpsc::Sender<Bytes>,
    ) {
        let until = Instant::now() + lasts;
        let mut news = self.door.clock.news();
        let (mut lines, mut at) = match begin {
            Begin::After(version) => (Vec::new(), version),
            Begin::Now => match self.initial() {
                Ok(begun) => begun,
                Err(refusal) => {
                    drop(sender.send(error(&refusal).into()).await);
                    return;
                }
            },
        };
        if marks_end && self.has_bookmarks {
            lines.extend(self.bookmark(at, true));
        }
        let mut bookmark =
            tokio::time::interval_at(Instant::now() + BOOKMARK_EVERY, BOOKMARK_EVERY);
        loop {
            let ended = match self.since(at) {
                Ok((more, version)) => {
                    lines.extend(more);
                    at = at.max(version);
                    false
                }
                Err(refusal) => {
                    lines.extend(error(&refusal));
                    true
                }
            };
            if !lines.is_empty() && sender.send(std::mem::take(&mut lines).into()).await.is_err()
                || ended
            {
                return;
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                _ = bookmark.tick(), if self.has_bookmarks => lines.extend(self.bookmark(at, false)),
                () = tokio::time::sleep_until(until) => return,
                () = sender.closed() => return,
            }
        }
    }

    /// The objects that are there, and the version that they are of.
    fn initial(&mut self) -> Result<(Vec<u8>, u64), Refusal> {
        let (listed, now) = {
            let world = self.door.world();
            let namespace = self.namespace.as_deref();
            (
                world.collect(&self.resource.kind, namespace, &self.selection, None, None)?,
                world.now(),
            )
        };
        let mut lines = Vec::new();
        for object in &listed.items {
            lines.extend(self.line("ADDED", object, now));
        }
        Ok((lines, listed.version))
    }

    /// What happened after `at`, and up to which version that is.
    fn since(&mut self, at: u64) -> Result<(Vec<u8>, u64), Refusal> {
        let (events, version, now) = {
            let world = self.door.world();
            let namespace = self.namespace.as_deref();
            let events =
                world.changes_since(&self.resource.kind, namespace, &self.selection, at)?;
            (events, world.version(), world.now())
        };
        let mut lines = Vec::new();
        for event in &events {
            match event {
                WatchEvent::Added(object) => lines.extend(self.line("ADDED", object, now)),
                WatchEvent::Modified(object) => lines.extend(self.line("MODIFIED", object, now)),
                WatchEvent::Deleted(object) => lines.extend(self.line("DELETED", object, now)),
                WatchEvent::Bookmark(_) => {}
            }
        }
        Ok((lines, version))
    }

    fn line(&mut self, kind: &str, object: &Object, now: Timestamp) -> Vec<u8> {
        let told = match (&self.columns, self.shape) {
            (Some(columns), _) => {
                let metadata = json!({"resourceVersion": object.metadata().resource_version});
                let names = std::mem::replace(&mut self.names, Names::Known);
                table::table(
                    columns,
                    std::slice::from_ref(object),
                    metadata,
                    self.included,
                    names,
                    now,
                )
            }
            (None, Shape::Metadata) => table::metadata_of(object),
            (None, Shape::Whole | Shape::Table | Shape::Discovery) => {
                return line(
                    &json!({"type": kind, "object": Wire::with_type(&shown(object)).to_value()}),
                );
            }
        };
        line(&json!({"type": kind, "object": told}))
    }

    fn bookmark(&self, at: u64, marks_end: bool) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": at.to_string(), "creationTimestamp": null});
        if marks_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, api_version) = match self.shape {
            Shape::Table => ("Table", "meta.k8s.io/v1"),
            Shape::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1"),
            Shape::Whole | Shape::Discovery => {
                (self.resource.kind.kind.as_str(), self.resource.kind.api_version.as_str())
            }
        };
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        if self.shape == Shape::Table {
            object["columnDefinitions"] = Value::Null;
            object["rows"] = json!([]);
        }
        line(&json!({"type": "BOOKMARK", "object": object}))
    }
}

fn error(refusal: &Refusal) -> Vec<u8> {
    line(&json!({"type": "ERROR", "object": refusal.status()}))
}

fn line(event: &Value) -> Vec<u8> {
    let mut line = event.to_string().into_bytes();
    line.push(b'\n');
    line
}
