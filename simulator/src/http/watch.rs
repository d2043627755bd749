//! Watches: a stream of events, one JSON object per line.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Object, WatchEvent};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::media::Representation;
use super::read::{include_object, selection, version};
use super::respond::{self, HandlerResult};
use super::server::{ApiRequest, ApiServer};
use super::table::{self, ColumnDefinitions, IncludeObject, TableColumns};
use super::wire::WireObject;
use crate::api::{Selection, ServedResource, StatusError, with_managed_fields};

/// The duration of a watch without `timeoutSeconds`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(40 * 60);
/// The interval of bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// The number of chunks that are buffered for a slow client before the watch blocks.
const MAX_BUFFERED_CHUNKS: usize = 16;

/// One watch.
struct WatchStream {
    server: Arc<ApiServer>,
    resource: Arc<ServedResource>,
    namespace: Option<String>,
    selection: Selection,
    representation: Representation,
    columns: Option<TableColumns>,
    include_object: IncludeObject,
    column_definitions: ColumnDefinitions,
    has_bookmarks: bool,
}

/// Where a watch starts.
enum WatchStart {
    /// With an `ADDED` event for every existing object.
    Now,
    /// After this resource version.
    After(u64),
}

pub(super) fn watch(
    server: &Arc<ApiServer>,
    request: &ApiRequest,
    resource: &Arc<ServedResource>,
) -> HandlerResult {
    let selection = selection(request, resource)?;
    let start = match request.query.text("resourceVersion") {
        None | Some("0") => WatchStart::Now,
        Some(text) => {
            // A real server returns 500 with only this message.
            WatchStart::After(
                version(text).map_err(|message| StatusError::new(500, "InternalError", message))?,
            )
        }
    };
    let has_bookmarks = request.query.is("allowWatchBookmarks");
    let initial = request.query.text("sendInitialEvents");
    let initial = initial.map(|_| request.query.is("sendInitialEvents"));
    let forbidden = |message: &str| {
        let message = format!("Forbidden: {message}");
        StatusError::invalid_option(
            "ListOptions",
            "FieldValueForbidden",
            "resourceVersionMatch",
            &message,
        )
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
    let timeout =
        seconds.map_or(DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.unsigned_abs()));
    let start = match initial {
        Some(true) => WatchStart::Now,
        Some(false) | None => start,
    };
    let columns = (request.accepted.representation == Representation::Table)
        .then(|| TableColumns::of(&server.world(), resource));
    let include_object =
        if columns.is_some() { include_object(request)? } else { IncludeObject::Metadata };
    let watch = WatchStream {
        server: server.clone(),
        resource: resource.clone(),
        namespace: request.target.namespace.clone(),
        selection,
        representation: request.accepted.representation,
        columns,
        include_object,
        column_definitions: ColumnDefinitions::Include,
        has_bookmarks,
    };
    let (sender, receiver) = mpsc::channel(MAX_BUFFERED_CHUNKS);
    tokio::spawn(watch.run(start, initial == Some(true), timeout, sender));
    Ok(respond::stream("application/json", receiver))
}

impl WatchStream {
    async fn run(
        mut self,
        start: WatchStart,
        sends_initial_end: bool,
        timeout: Duration,
        sender: mpsc::Sender<Bytes>,
    ) {
        let deadline = Instant::now() + timeout;
        let mut versions = self.server.clock.versions();
        let (mut lines, mut at) = match start {
            WatchStart::After(version) => (Vec::new(), version),
            WatchStart::Now => match self.initial() {
                Ok(initial) => initial,
                Err(error) => {
                    drop(sender.send(error_line(&error).into()).await);
                    return;
                }
            },
        };
        if sends_initial_end && self.has_bookmarks {
            lines.extend(self.bookmark(at, true));
        }
        let mut bookmark =
            tokio::time::interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL);
        loop {
            let ended = match self.since(at) {
                Ok((more, version)) => {
                    lines.extend(more);
                    at = at.max(version);
                    false
                }
                Err(error) => {
                    lines.extend(error_line(&error));
                    true
                }
            };
            if !lines.is_empty() && sender.send(std::mem::take(&mut lines).into()).await.is_err()
                || ended
            {
                return;
            }
            tokio::select! {
                changed = versions.changed() => if changed.is_err() { return },
                _ = bookmark.tick(), if self.has_bookmarks => lines.extend(self.bookmark(at, false)),
                () = tokio::time::sleep_until(deadline) => return,
                () = sender.closed() => return,
            }
        }
    }

    /// Returns the events of the existing objects, and the version of the list.
    fn initial(&mut self) -> Result<(Vec<u8>, u64), StatusError> {
        let (page, now) = {
            let world = self.server.world();
            let namespace = self.namespace.as_deref();
            (world.list(&self.resource.kind, namespace, &self.selection, None, None)?, world.now())
        };
        let mut lines = Vec::new();
        for object in &page.items {
            lines.extend(self.line("ADDED", object, now));
        }
        Ok((lines, page.version))
    }

    /// Returns the events after version `at`, and the current version.
    fn since(&mut self, at: u64) -> Result<(Vec<u8>, u64), StatusError> {
        let (events, version, now) = {
            let world = self.server.world();
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
        let object = match (&self.columns, self.representation) {
            (Some(columns), _) => {
                let metadata = json!({"resourceVersion": object.metadata().resource_version});
                let column_definitions =
                    std::mem::replace(&mut self.column_definitions, ColumnDefinitions::Omit);
                table::table(
                    columns,
                    std::slice::from_ref(object),
                    metadata,
                    self.include_object,
                    column_definitions,
                    now,
                )
            }
            (None, Representation::Metadata) => table::metadata_of(object),
            (None, Representation::Full | Representation::Table | Representation::Discovery) => {
                return line(
                    &json!({"type": kind, "object": WireObject::with_type(&with_managed_fields(object)).to_value()}),
                );
            }
        };
        line(&json!({"type": kind, "object": object}))
    }

    fn bookmark(&self, at: u64, sends_initial_end: bool) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": at.to_string(), "creationTimestamp": null});
        if sends_initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, api_version) = match self.representation {
            Representation::Table => ("Table", "meta.k8s.io/v1"),
            Representation::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1"),
            Representation::Full | Representation::Discovery => {
                (self.resource.kind.kind.as_str(), self.resource.kind.api_version.as_str())
            }
        };
        let mut object = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
        if self.representation == Representation::Table {
            object["columnDefinitions"] = Value::Null;
            object["rows"] = json!([]);
        }
        line(&json!({"type": "BOOKMARK", "object": object}))
    }
}

fn error_line(error: &StatusError) -> Vec<u8> {
    line(&json!({"type": "ERROR", "object": error.status()}))
}

fn line(event: &Value) -> Vec<u8> {
    let mut line = event.to_string().into_bytes();
    line.push(b'\n');
    line
}
