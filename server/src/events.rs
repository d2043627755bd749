//! The record as server-sent events. `id:` is the sequence number of a record; `Last-Event-ID` resumes after it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::{EventItem, ProblemResponse, RunEventItem};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::future::{BoxFuture, pending};
use futures::{FutureExt, Stream, StreamExt, stream};
use serde::Deserialize;
use store::{Record, Store};
use tokio::sync::watch;
use utoipa::IntoParams;
use workflow::ErrorCode;
use workflow::id::RunId;

use crate::problem::Problem;
use crate::request::{Id, QueryParams};
use crate::resource;
use crate::runs;
use crate::server_state::ServerState;

/// Maximum number of records read per call.
const BATCH: usize = 256;

/// Becomes true when the server shuts down.
#[derive(Clone)]
pub(crate) struct ShutdownSignal(pub(crate) watch::Receiver<bool>);

/// Query parameters that select events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Only events after this sequence number; `Last-Event-ID` takes precedence. Default: the end of the record.
    after: Option<u64>,
    /// Only events of this kind, for example `PlanFrozen`.
    kind: Option<String>,
    /// Only events of this stream: the id of an incident, plan, run or experiment.
    stream: Option<String>,
}

/// Query parameters that select events of a run.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunEventParams {
    /// Only events after this sequence number; `Last-Event-ID` takes precedence. Default: the start of the run.
    after: Option<u64>,
}

/// Returns the server-sent event of a record.
fn sse_event(record: Record) -> Event {
    let item = resource::event_item(record);
    let event = Event::default().id(item.seq.to_string()).event(&item.kind);
    event.json_data(item).expect("an event is plain data")
}

/// Records that are read and not sent yet, and the position from which to read on.
struct EventStream {
    store: Arc<dyn Store>,
    after: u64,
    buffered: VecDeque<Record>,
    kind: Option<String>,
    stream: Option<String>,
}

impl EventStream {
    fn matches(&self, record: &Record) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == record.kind)
            && self.stream.as_ref().is_none_or(|stream| *stream == record.stream)
    }

    /// Returns the next event. Returns `None` if the record cannot be read; the client then reconnects.
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            while let Some(record) = self.buffered.pop_front() {
                if self.matches(&record) {
                    return Some((sse_event(record), self));
                }
            }
            match self.store.follow(self.after, BATCH).await {
                Ok(records) => {
                    self.after = records.last().map_or(self.after, |record| record.seq);
                    self.buffered.extend(records);
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        after = self.after,
                        "cannot follow the record"
                    );
                    return None;
                }
            }
        }
    }
}

fn stream_response(
    first: Event,
    event_stream: EventStream,
    closing: Option<Extension<ShutdownSignal>>,
) -> Response {
    let closed: BoxFuture<'static, ()> = match closing {
        Some(Extension(ShutdownSignal(mut closing))) => async move {
            // A dropped sender counts as a shutdown too.
            drop(closing.wait_for(|is_closing| *is_closing).await);
        }
        .boxed(),
        None => pending().boxed(),
    };
    let events =
        stream::once(async { first }).chain(stream::unfold(event_stream, EventStream::next));
    let events = events.take_until(closed).map(Ok::<_, Infallible>);
    sse_response(events)
}

fn sse_response(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let heartbeat = KeepAlive::new().interval(Duration::from_secs(15)).text("heartbeat");
    // Proxies that buffer responses would delay events.
    let headers = [("x-accel-buffering", "no")];
    (headers, Sse::new(events).keep_alive(heartbeat)).into_response()
}

/// Returns the position to resume after: the header takes precedence over the parameter.
fn resume_position(headers: &HeaderMap, after: Option<u64>) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(after) };
    let position = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    position.map(Some).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::InvalidEventId,
            "Last-Event-ID is not the id of an event",
            "send the `id` of the last event that you received, or omit the header",
        )
    })
}

/// Streams the record's events.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(EventParams, ("Last-Event-ID" = Option<u64>, Header, description = "Resume after this event.")),
    responses((status = 200, description = "Server-sent events: `id` is the sequence number, the name is the kind, the data is an event.", body = EventItem, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is invalid.", body = ProblemResponse)))]
pub(crate) async fn events(
    State(state): State<Arc<ServerState>>,
    closing: Option<Extension<ShutdownSignal>>,
    headers: HeaderMap,
    QueryParams(params): QueryParams<EventParams>,
) -> Result<Response, Problem> {
    let head = state.store.head().await?;
    // A position beyond the end belongs to another record, so only new events can be sent.
    let after = resume_position(&headers, params.after)?.unwrap_or(head).min(head);
    let event_stream = EventStream {
        store: Arc::clone(&state.store),
        after,
        buffered: VecDeque::new(),
        kind: params.kind,
        stream: params.stream,
    };
    let first = Event::default().retry(Duration::from_millis(2_000)).comment("follows the record");
    Ok(stream_response(first, event_stream, closing))
}

/// Streams one run: a snapshot of its present state, then its events from its start.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), RunEventParams, ("Last-Event-ID" = Option<u64>, Header, description = "Resume after this event.")),
    responses((status = 200, description = "Server-sent events: `snapshot` first, then the events of the run.", body = RunEventItem, content_type = "text/event-stream"),
        (status = 404, description = "The run does not exist.", body = ProblemResponse)))]
pub(crate) async fn run_events(
    State(state): State<Arc<ServerState>>,
    closing: Option<Extension<ShutdownSignal>>,
    headers: HeaderMap,
    Id(run): Id<RunId>,
    QueryParams(params): QueryParams<RunEventParams>,
) -> Result<Response, Problem> {
    let view = runs::find(&state, &run).await?;
    let after = resume_position(&headers, params.after)?.unwrap_or(0);
    // Records appended between these two reads are beyond `head`; the event stream reads them.
    let head = state.store.head().await?;
    let mut buffered: VecDeque<Record> = state.store.stream(run.as_str()).await?.into();
    buffered.retain(|record| record.seq > after && record.seq <= head);
    let event_stream = EventStream {
        store: Arc::clone(&state.store),
        after: head,
        buffered,
        kind: None,
        stream: Some(run.to_string()),
    };
    let first = Event::default().retry(Duration::from_millis(2_000)).event("snapshot");
    let first = first
        .json_data(RunEventItem::Snapshot(resource::run_item(&view)))
        .expect("a list item is plain data");
    Ok(stream_response(first, event_stream, closing))
}
