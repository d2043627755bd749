//! The record as server-sent events: `id:` is the place in the record, and `Last-Event-ID` goes on after it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::future::{BoxFuture, pending};
use futures::{FutureExt, Stream, StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Record, Store};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use workflow::id::RunId;

use crate::api::Api;
use crate::item::RunItem;
use crate::problem::Problem;
use crate::request::{Id, Params};
use crate::runs;

/// A payload of more bytes is left out: its resource has a route of its own.
const MOST_PAYLOAD_BYTES: usize = 4_096;

/// How many records are read at a time.
const BATCH: usize = 256;

/// Becomes true when the server shuts down.
#[derive(Clone)]
pub(crate) struct Closing(pub(crate) watch::Receiver<bool>);

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Only events after this place in the record; `Last-Event-ID` wins. From now on where both are left out.
    after: Option<u64>,
    /// Only events of this kind: `PlanFrozen`.
    kind: Option<String>,
    /// Only events of this stream: the id of an incident, plan, run or experiment.
    stream: Option<String>,
}

/// Which events of a run are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunEventParams {
    /// Only events after this place in the record; `Last-Event-ID` wins. From the run's start where both are left out.
    after: Option<u64>,
}

/// One event: a record without its chain. The name of the event is its kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventItem {
    /// Place in the record.
    seq: u64,
    /// Kind of the entry.
    kind: String,
    /// Which of its changes it is, where the kind has several: `opened`, `stepStarted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    /// The stream that it belongs to.
    stream: String,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What happened; absent where it is erased or larger than 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

impl EventItem {
    fn of(record: Record) -> Self {
        let what = record.payload.as_ref().and_then(|payload| {
            payload.get("event").map(|event| event.get("event").unwrap_or(event))?.as_str()
        });
        Self {
            seq: record.seq,
            what: what.map(Into::into),
            kind: record.kind,
            stream: record.stream,
            at: record.at,
            payload: record
                .payload
                .filter(|payload| payload.to_string().len() <= MOST_PAYLOAD_BYTES),
        }
    }

    fn on_the_wire(self) -> Event {
        let event = Event::default().id(self.seq.to_string()).event(&self.kind);
        event.json_data(self).expect("an event is plain data")
    }
}

/// What has been read of the record, and from where to go on.
struct Feed {
    store: Arc<dyn Store>,
    after: u64,
    waiting: VecDeque<Record>,
    kind: Option<String>,
    stream: Option<String>,
}

impl Feed {
    fn wants(&self, record: &Record) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == record.kind)
            && self.stream.as_ref().is_none_or(|stream| *stream == record.stream)
    }

    /// The next event; none where the record cannot be read, and then the client comes again.
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            while let Some(record) = self.waiting.pop_front() {
                if self.wants(&record) {
                    return Some((EventItem::of(record).on_the_wire(), self));
                }
            }
            match self.store.follow(self.after, BATCH).await {
                Ok(records) => {
                    self.after = records.last().map_or(self.after, |record| record.seq);
                    self.waiting.extend(records);
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        after = self.after,
                        "the record could not be followed"
                    );
                    return None;
                }
            }
        }
    }
}

fn sent(first: Event, feed: Feed, closing: Option<Extension<Closing>>) -> Response {
    let closed: BoxFuture<'static, ()> = match closing {
        Some(Extension(Closing(mut closing))) => async move {
            // A sender that is gone closes too.
            drop(closing.wait_for(|is_closing| *is_closing).await);
        }
        .boxed(),
        None => pending().boxed(),
    };
    let events = stream::once(async { first }).chain(stream::unfold(feed, Feed::next));
    let events = events.take_until(closed).map(Ok::<_, Infallible>);
    answer(events)
}

fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let heartbeat = KeepAlive::new().interval(Duration::from_secs(15)).text("heartbeat");
    // Proxies that gather answers would hold events back.
    let headers = [("x-accel-buffering", "no")];
    (headers, Sse::new(events).keep_alive(heartbeat)).into_response()
}

/// Where the client wants to go on: the header wins over the parameter.
fn place(headers: &HeaderMap, after: Option<u64>) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(after) };
    let place = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    place.map(Some).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_event_id",
            "Last-Event-ID is not the id of an event",
            "send the `id` of the last event that was received, or leave it out",
        )
    })
}

/// Follows the record.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(EventParams, ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event.")),
    responses((status = 200, description = "Server-sent events, each with `id`, the kind as its name, and an event as data.", body = EventItem, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is wrong.", body = Problem)))]
pub(crate) async fn events(
    State(api): State<Arc<Api>>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Result<Response, Problem> {
    let head = api.store.head().await?;
    // A place beyond the end belongs to another record: nothing but what comes from now on can be given.
    let after = place(&headers, params.after)?.unwrap_or(head).min(head);
    let feed = Feed {
        store: Arc::clone(&api.store),
        after,
        waiting: VecDeque::new(),
        kind: params.kind,
        stream: params.stream,
    };
    let first = Event::default().retry(Duration::from_millis(2_000)).comment("follows the record");
    Ok(sent(first, feed, closing))
}

/// Follows one run: a snapshot of how it stands, then its events from its start.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", tag = "runs",
    params(("id" = String, Path, description = "Id of the run."), RunEventParams, ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event.")),
    responses((status = 200, description = "Server-sent events: `snapshot` first, then those of the run.", body = EventItem, content_type = "text/event-stream"),
        (status = 404, description = "There is no such run.", body = Problem)))]
pub(crate) async fn run_events(
    State(api): State<Arc<Api>>,
    closing: Option<Extension<Closing>>,
    headers: HeaderMap,
    Id(run): Id<RunId>,
    Params(params): Params<RunEventParams>,
) -> Result<Response, Problem> {
    let view = runs::find(&api, &run).await?;
    let after = place(&headers, params.after)?.unwrap_or(0);
    // What is appended between these two reads is beyond `head`, and is left for the feed.
    let head = api.store.head().await?;
    let mut waiting: VecDeque<Record> = api.store.stream(run.as_str()).await?.into();
    waiting.retain(|record| record.seq > after && record.seq <= head);
    let feed = Feed {
        store: Arc::clone(&api.store),
        after: head,
        waiting,
        kind: None,
        stream: Some(run.to_string()),
    };
    let first = Event::default().retry(Duration::from_millis(2_000)).event("snapshot");
    let first = first.json_data(RunItem::of(&view)).expect("a line of a list is plain data");
    Ok(sent(first, feed, closing))
}
