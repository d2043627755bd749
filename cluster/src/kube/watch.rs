use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::http_client::{CallOutcome, HttpClient, HttpRequest, HttpResponse};
use super::path::RequestPath;
use super::response::{MessagePolicy, Status, read_result, status_failure, too_large};
use crate::{Object, ReadFailure, WatchEvent};

/// Returns the changes of the objects at `path` after `version` up to now.
///
/// A watch delivers changes in order, but never reports that it is up to date. So this reads the current resource version
/// first, and closes the watch when it reaches that version, or when it delivers no event for the idle timeout. Closing it
/// early loses no change: the next watch starts after the last delivered change.
pub(super) async fn watch_since(
    client: &HttpClient,
    path: &RequestPath,
    resource: &str,
    version: &str,
    policy: MessagePolicy,
) -> Result<Vec<WatchEvent>, ReadFailure> {
    let current = current_version(client, path, resource).await?;
    if current == version {
        return Ok(vec![WatchEvent::Bookmark(current)]);
    }
    let deadline = Instant::now() + client.limits.request_timeout;
    let path = path
        .clone()
        .with("watch", "true")
        .with("allowWatchBookmarks", "true")
        .with("resourceVersion", version)
        .with("timeoutSeconds", &client.limits.request_timeout.as_secs().max(1).to_string());
    let response = match client.open(HttpRequest::get(path.clone()), deadline).await {
        Ok(response) if response.status().is_success() => response,
        // The body contains the reason, so the request is repeated to read the whole body.
        Ok(response) => {
            drop(response);
            let outcome = client.send(HttpRequest::get(path)).await;
            let response = read_result(outcome, resource, policy)?;
            return Err(invalid_response(resource, &response));
        }
        Err(outcome) => return Err(open_failure(outcome, resource, policy)),
    };
    let mut reader = WatchReader {
        resource,
        policy,
        current: parse_version(&current),
        events: Vec::new(),
        is_up_to_date: false,
    };
    let mut lines = Vec::new();
    let mut body = response.into_body();
    let mut read = 0;
    while !reader.is_up_to_date && read <= client.limits.max_response_bytes {
        let idle_deadline = deadline.min(Instant::now() + client.limits.watch_idle_timeout);
        let frame = match timeout_at(idle_deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            // End of the stream, connection error or timeout: the delivered events are valid.
            Ok(None | Some(Err(_))) | Err(_) => break,
        };
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        lines.extend_from_slice(&data);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            reader.read_line(&line)?;
        }
    }
    if reader.events.is_empty() && read > client.limits.max_response_bytes {
        return Err(too_large(format!("one change of {resource}")));
    }
    Ok(reader.events)
}

/// Reads the current resource version of a list.
async fn current_version(
    client: &HttpClient,
    path: &RequestPath,
    resource: &str,
) -> Result<String, ReadFailure> {
    let accept = concat!(
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        ",application/json"
    );
    let request = HttpRequest { accept, ..HttpRequest::get(path.clone().with("limit", "1")) };
    let outcome = client.send(request).await;
    let response = read_result(outcome, resource, MessagePolicy::Verbatim)?;
    let list: PartialList = serde_json::from_slice(&response.body)
        .map_err(|_| invalid_response(resource, &response))?;
    Ok(list.metadata.resource_version)
}

#[derive(Deserialize)]
struct PartialList {
    metadata: PartialListMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialListMetadata {
    resource_version: String,
}

fn open_failure(outcome: CallOutcome, resource: &str, policy: MessagePolicy) -> ReadFailure {
    match read_result(outcome, resource, policy) {
        Ok(response) => invalid_response(resource, &response),
        Err(failure) => failure,
    }
}

fn invalid_response(resource: &str, response: &HttpResponse) -> ReadFailure {
    let message = format!("unexpected response with status {}", response.status.as_u16());
    ReadFailure::Unavailable { resource: resource.into(), message }
}

/// Parses a resource version. Numeric versions of one cluster increase; other versions cannot be compared.
fn parse_version(version: &str) -> Option<u128> {
    version.parse().ok()
}

/// Parses the lines of a watch.
struct WatchReader<'a> {
    resource: &'a str,
    policy: MessagePolicy,
    /// The version that was current when the watch started.
    current: Option<u128>,
    events: Vec<WatchEvent>,
    /// Whether the watch delivered all changes up to `current`.
    is_up_to_date: bool,
}

#[derive(Deserialize)]
struct WatchLine {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl WatchReader<'_> {
    fn read_line(&mut self, line: &[u8]) -> Result<(), ReadFailure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let invalid = |error: String| ReadFailure::Unavailable {
            resource: self.resource.into(),
            message: format!("invalid watch event: {error}"),
        };
        let line: WatchLine = serde_json::from_slice(line).map_err(|e| invalid(e.to_string()))?;
        if line.kind == "ERROR" {
            let status: Status = serde_json::from_value(line.object).unwrap_or_default();
            return Err(status_failure(&status, self.resource.into(), self.policy));
        }
        let version = line.object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.unwrap_or_default().to_string();
        let object = |value| Object::from_value(value).map_err(|e| invalid(e.to_string()));
        let event = match line.kind.as_str() {
            "ADDED" => WatchEvent::Added(object(line.object)?),
            "MODIFIED" => WatchEvent::Modified(object(line.object)?),
            "DELETED" => WatchEvent::Deleted(object(line.object)?),
            "BOOKMARK" => WatchEvent::Bookmark(version.clone()),
            other => return Err(invalid(format!("unknown type {other:?}"))),
        };
        self.events.push(event);
        self.is_up_to_date = match (parse_version(&version), self.current) {
            (Some(version), Some(current)) => version >= current,
            (None, _) | (_, None) => false,
        };
        Ok(())
    }
}
