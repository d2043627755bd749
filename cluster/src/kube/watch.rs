use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer::{Status, Words, failure, refused, too_large};
use super::path::Path;
use super::wire::{Answer, Call, Heard, Wire};
use crate::{Object, ReadFailure, WatchEvent};

/// The changes below `all` after `version` that have happened by now.
///
/// A watch tells what happened in order, and never that this was all. So the present version is asked for first, and
/// the watch is left when it has come so far, or when it falls silent. Nothing is lost by leaving early: the next watch
/// begins after the last change that was told.
pub(super) async fn changes(
    wire: &Wire,
    all: &Path,
    what: &str,
    version: &str,
    words: Words,
) -> Result<Vec<WatchEvent>, ReadFailure> {
    let now = present(wire, all, what).await?;
    if now == version {
        return Ok(vec![WatchEvent::Bookmark(now)]);
    }
    let until = Instant::now() + wire.limits.deadline;
    let path = all
        .clone()
        .with("watch", "true")
        .with("allowWatchBookmarks", "true")
        .with("resourceVersion", version)
        .with("timeoutSeconds", &wire.limits.deadline.as_secs().max(1).to_string());
    let response = match wire.open(Call::get(path.clone()), until).await {
        Ok(response) if response.status().is_success() => response,
        // The reason stands in the body: ask again and read it whole.
        Ok(response) => {
            drop(response);
            let answer = failure(wire.call(Call::get(path)).await, what, words)?;
            return Err(unreadable(what, &answer));
        }
        Err(heard) => return Err(failed(heard, what, words)),
    };
    let mut told = Told { what, words, now: number(&now), events: Vec::new(), is_whole: false };
    let mut lines = Vec::new();
    let mut body = response.into_body();
    let mut read = 0;
    while !told.is_whole && read <= wire.limits.answer_bytes {
        let silent = until.min(Instant::now() + wire.limits.quiet);
        let frame = match timeout_at(silent, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            // The end, a break, or silence: what was told stands.
            Ok(None | Some(Err(_))) | Err(_) => break,
        };
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        lines.extend_from_slice(&data);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            told.hear(&line)?;
        }
    }
    if told.events.is_empty() && read > wire.limits.answer_bytes {
        return Err(too_large(format!("one change of {what}")));
    }
    Ok(told.events)
}

/// The version that is stored now.
async fn present(wire: &Wire, all: &Path, what: &str) -> Result<String, ReadFailure> {
    let accept = concat!(
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        ",application/json"
    );
    let call = Call { accept, ..Call::get(all.clone().with("limit", "1")) };
    let answer = failure(wire.call(call).await, what, Words::Told)?;
    let list: Head = serde_json::from_slice(&answer.body).map_err(|_| unreadable(what, &answer))?;
    Ok(list.metadata.resource_version)
}

#[derive(Deserialize)]
struct Head {
    metadata: HeadMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMetadata {
    resource_version: String,
}

fn failed(heard: Heard, what: &str, words: Words) -> ReadFailure {
    match failure(heard, what, words) {
        Ok(answer) => unreadable(what, &answer),
        Err(failure) => failure,
    }
}

fn unreadable(what: &str, answer: &Answer) -> ReadFailure {
    let message = format!("an answer {} that is none", answer.status.as_u16());
    ReadFailure::Unavailable { what: what.into(), message }
}

/// Versions of one cluster grow; what is no number cannot be compared.
fn number(version: &str) -> Option<u128> {
    version.parse().ok()
}

/// What a watch has told so far.
struct Told<'a> {
    what: &'a str,
    words: Words,
    now: Option<u128>,
    events: Vec<WatchEvent>,
    /// Whether it has told all up to `now`.
    is_whole: bool,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

impl Told<'_> {
    fn hear(&mut self, line: &[u8]) -> Result<(), ReadFailure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let unreadable = |why: String| ReadFailure::Unavailable {
            what: self.what.into(),
            message: format!("a change that cannot be read: {why}"),
        };
        let line: Line = serde_json::from_slice(line).map_err(|e| unreadable(e.to_string()))?;
        if line.kind == "ERROR" {
            let status: Status = serde_json::from_value(line.object).unwrap_or_default();
            return Err(refused(&status, self.what.into(), self.words));
        }
        let version = line.object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.unwrap_or_default().to_string();
        let object = |value| Object::from_value(value).map_err(|e| unreadable(e.to_string()));
        let event = match line.kind.as_str() {
            "ADDED" => WatchEvent::Added(object(line.object)?),
            "MODIFIED" => WatchEvent::Modified(object(line.object)?),
            "DELETED" => WatchEvent::Deleted(object(line.object)?),
            "BOOKMARK" => WatchEvent::Bookmark(version.clone()),
            other => return Err(unreadable(format!("its type is {other:?}"))),
        };
        self.events.push(event);
        self.is_whole = match (number(&version), self.now) {
            (Some(version), Some(now)) => version >= now,
            (None, _) | (_, None) => false,
        };
        Ok(())
    }
}
