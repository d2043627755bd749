//! Container logs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Kind, Object, Pod};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc;

use super::respond::{self, HandlerResult};
use super::server::{ApiRequest, ApiServer};
use crate::api::StatusError;
use crate::objects::Key;
use crate::world::World;

/// The interval at which a followed log is checked for new lines.
const FOLLOW_POLL_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_TEXT: &str = "text/plain";

/// The container and the lines of a log request, as in `PodLogOptions`.
struct PodLogOptions {
    key: Key,
    container: String,
    is_previous: bool,
    tail: usize,
    since: Option<Timestamp>,
    has_timestamps: bool,
    limit_bytes: usize,
}

pub(super) fn log(server: &Arc<ApiServer>, request: &ApiRequest, name: &str) -> HandlerResult {
    let query = &request.query;
    let namespace = request.target.namespace.as_deref().unwrap_or_default();
    let bound = |value: Option<i64>| {
        value.and_then(|value| usize::try_from(value).ok()).unwrap_or(usize::MAX)
    };
    let (pod, now) = {
        let world = server.world();
        (world.get(&Kind::new("v1", "Pod"), Some(namespace), name)?, world.now())
    };
    let since = match (query.number("sinceSeconds")?, query.text("sinceTime")) {
        (Some(seconds), _) => Some(now - SignedDuration::from_secs(seconds)),
        (None, Some(text)) => Some(
            text.parse()
                .map_err(|error| StatusError::bad_request(format!("sinceTime: {error}")))?,
        ),
        (None, None) => None,
    };
    let options = PodLogOptions {
        key: Key::new("Pod", namespace, name),
        container: container(&pod, query.text("container"))?,
        is_previous: query.is("previous"),
        tail: bound(query.number("tailLines")?),
        since,
        has_timestamps: query.is("timestamps"),
        limit_bytes: bound(query.number("limitBytes")?),
    };
    if query.is("follow") {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(follow(server.clone(), options, pod.metadata().uid.clone(), sender));
        return Ok(respond::stream(PLAIN_TEXT, receiver));
    }
    let lines = {
        let world = server.world();
        check_started(&world, &pod, &options)?;
        world.logs(&options.key, &options.container, options.is_previous, usize::MAX)
    };
    Ok(respond::full(200, PLAIN_TEXT, options.text(&lines, options.tail)))
}

/// Returns the container of a log request. Default: the only container of the pod.
fn container(pod: &Object, requested: Option<&str>) -> Result<String, StatusError> {
    let names = |field: &str| -> Vec<String> {
        let list =
            pod.at(&format!("/spec/{field}")).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one["name"].as_str().map(String::from)).collect()
    };
    let containers = names("containers");
    match (requested, &containers[..]) {
        (Some(requested), known)
            if known.iter().any(|one| one == requested)
                || names("initContainers").iter().any(|one| one == requested) =>
        {
            Ok(requested.into())
        }
        (Some(requested), _) => Err(StatusError::bad_request(format!(
            "container {requested} is not valid for pod {}",
            pod.name()
        ))),
        (None, [one]) => Ok(one.clone()),
        (None, many) => Err(StatusError::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            pod.name(),
            many.join(" ")
        ))),
    }
}

/// Returns the error of a kubelet if the container has no log yet.
fn check_started(world: &World, pod: &Object, options: &PodLogOptions) -> Result<(), StatusError> {
    let name = &options.container;
    let statuses =
        pod.at("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let mut statuses = statuses.filter(|one| one["name"] == name.as_str());
    let status = statuses.next().cloned().unwrap_or_default();
    let has_run = !status["state"]["running"].is_null()
        || !status["lastState"]["terminated"].is_null()
        || !status["state"]["terminated"].is_null();
    if options.is_previous && status["lastState"]["terminated"].is_null() {
        return Err(StatusError::bad_request(format!(
            "previous terminated container {name:?} in pod {:?} not found",
            pod.name()
        )));
    }
    if !options.is_previous && !has_run && world.logs(&options.key, name, false, 1).is_empty() {
        let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or("ContainerCreating");
        let detail = match reason {
            "ContainerCreating" | "PodInitializing" => reason.to_string(),
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image".into(),
            other => other.into(),
        };
        return Err(StatusError::bad_request(format!(
            "container {name:?} in pod {:?} is waiting to start: {detail}",
            pod.name()
        )));
    }
    Ok(())
}

impl PodLogOptions {
    fn text(&self, lines: &[String], tail: usize) -> Vec<u8> {
        let kept: Vec<&String> = lines.iter().filter(|line| self.is_recent(line)).collect();
        let mut text = Vec::new();
        for line in &kept[kept.len().saturating_sub(tail)..] {
            // Stored lines start with their timestamp, which is only part of the response if the client requests it.
            let (at, message) = split_timestamp(line);
            if let Some(at) = at.filter(|_| self.has_timestamps) {
                text.extend(at.as_bytes());
                text.push(b' ');
            }
            text.extend(message.as_bytes());
            text.push(b'\n');
        }
        text.truncate(self.limit_bytes);
        text
    }

    fn is_recent(&self, line: &str) -> bool {
        let Some(since) = self.since else { return true };
        let at = split_timestamp(line).0.and_then(|at| at.parse::<Timestamp>().ok());
        at.is_none_or(|at| at >= since)
    }
}

/// Splits a stored line into its timestamp and its text.
fn split_timestamp(line: &str) -> (Option<&str>, &str) {
    match line.split_once(' ') {
        Some((at, rest)) if at.parse::<Timestamp>().is_ok() => (Some(at), rest),
        Some(_) | None => (None, line),
    }
}

/// Sends new lines until the pod terminates or the client disconnects.
async fn follow(
    server: Arc<ApiServer>,
    options: PodLogOptions,
    uid: String,
    sender: mpsc::Sender<Bytes>,
) {
    let (mut sent, mut tail) = (0, options.tail);
    loop {
        let (lines, is_alive) = {
            let world = server.world();
            let pod =
                world.get(&Kind::new("v1", "Pod"), Some(&options.key.namespace), &options.key.name);
            let is_running =
                |object: &Object| Pod::of(object).is_some_and(|pod| !pod.is_finished());
            let is_alive = pod.is_ok_and(|pod| pod.metadata().uid == uid && is_running(&pod));
            (current_log(&world, &uid, &options.container), is_alive)
        };
        // A restarted container has a new log.
        let start = if lines.len() < sent { 0 } else { sent };
        let text = options.text(&lines[start..], tail);
        tail = usize::MAX;
        sent = lines.len();
        if !text.is_empty() && sender.send(text.into()).await.is_err() || !is_alive {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_POLL_INTERVAL) => {}
            () = sender.closed() => return,
        }
    }
}

/// Returns the log of a container since its last start.
fn current_log(world: &World, uid: &str, container: &str) -> Vec<String> {
    let runtime = world.pods.get(uid);
    let found = runtime.and_then(|pod| pod.containers.iter().find(|one| one.name == container));
    found.map(|one| one.logs.clone()).unwrap_or_default()
}
