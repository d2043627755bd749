//! What containers wrote.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Kind, Object, Pod};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc;

use super::door::{Door, Request};
use super::respond::{self, Answered};
use crate::api::Refusal;
use crate::objects::Key;
use crate::world::World;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);
const TEXT: &str = "text/plain";

/// Which lines are wanted.
struct Wanted {
    key: Key,
    container: String,
    is_previous: bool,
    tail: usize,
    since: Option<Timestamp>,
    has_timestamps: bool,
    limit_bytes: usize,
}

pub(super) fn log(door: &Arc<Door>, request: &Request, name: &str) -> Answered {
    let query = &request.query;
    let namespace = request.place.namespace.as_deref().unwrap_or_default();
    let bound = |value: Option<i64>| {
        value.and_then(|value| usize::try_from(value).ok()).unwrap_or(usize::MAX)
    };
    let (pod, now) = {
        let world = door.world();
        (world.find(&Kind::new("v1", "Pod"), Some(namespace), name)?, world.now())
    };
    let since = match (query.number("sinceSeconds")?, query.text("sinceTime")) {
        (Some(seconds), _) => Some(now - SignedDuration::from_secs(seconds)),
        (None, Some(text)) => Some(
            text.parse().map_err(|error| Refusal::bad_request(format!("sinceTime: {error}")))?,
        ),
        (None, None) => None,
    };
    let wanted = Wanted {
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
        tokio::spawn(follow(door.clone(), wanted, pod.metadata().uid.clone(), sender));
        return Ok(respond::stream(TEXT, receiver));
    }
    let lines = {
        let world = door.world();
        check_started(&world, &pod, &wanted)?;
        world.logs(&wanted.key, &wanted.container, wanted.is_previous, usize::MAX)
    };
    Ok(respond::whole(200, TEXT, wanted.text(&lines, wanted.tail)))
}

/// The container that is meant: the one that is named, else the only one.
fn container(pod: &Object, named: Option<&str>) -> Result<String, Refusal> {
    let names = |field: &str| -> Vec<String> {
        let list =
            pod.at(&format!("/spec/{field}")).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one["name"].as_str().map(String::from)).collect()
    };
    let containers = names("containers");
    match (named, &containers[..]) {
        (Some(named), known)
            if known.iter().any(|one| one == named)
                || names("initContainers").iter().any(|one| one == named) =>
        {
            Ok(named.into())
        }
        (Some(named), _) => Err(Refusal::bad_request(format!(
            "container {named} is not valid for pod {}",
            pod.name()
        ))),
        (None, [one]) => Ok(one.clone()),
        (None, many) => Err(Refusal::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            pod.name(),
            many.join(" ")
        ))),
    }
}

/// Refuses where there is no log yet, in the words of a kubelet.
fn check_started(world: &World, pod: &Object, wanted: &Wanted) -> Result<(), Refusal> {
    let name = &wanted.container;
    let statuses =
        pod.at("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let mut statuses = statuses.filter(|one| one["name"] == name.as_str());
    let status = statuses.next().cloned().unwrap_or_default();
    let has_run = !status["state"]["running"].is_null()
        || !status["lastState"]["terminated"].is_null()
        || !status["state"]["terminated"].is_null();
    if wanted.is_previous && status["lastState"]["terminated"].is_null() {
        return Err(Refusal::bad_request(format!(
            "previous terminated container {name:?} in pod {:?} not found",
            pod.name()
        )));
    }
    if !wanted.is_previous && !has_run && world.logs(&wanted.key, name, false, 1).is_empty() {
        let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or("ContainerCreating");
        let why = match reason {
            "ContainerCreating" | "PodInitializing" => reason.to_string(),
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image".into(),
            other => other.into(),
        };
        return Err(Refusal::bad_request(format!(
            "container {name:?} in pod {:?} is waiting to start: {why}",
            pod.name()
        )));
    }
    Ok(())
}

impl Wanted {
    fn text(&self, lines: &[String], tail: usize) -> Vec<u8> {
        let kept: Vec<&String> = lines.iter().filter(|line| self.is_recent(line)).collect();
        let mut text = Vec::new();
        for line in &kept[kept.len().saturating_sub(tail)..] {
            // The time stands before every line that is kept, and is told where it is asked for.
            let (at, told) = stamped(line);
            if let Some(at) = at.filter(|_| self.has_timestamps) {
                text.extend(at.as_bytes());
                text.push(b' ');
            }
            text.extend(told.as_bytes());
            text.push(b'\n');
        }
        text.truncate(self.limit_bytes);
        text
    }

    fn is_recent(&self, line: &str) -> bool {
        let Some(since) = self.since else { return true };
        let at = stamped(line).0.and_then(|at| at.parse::<Timestamp>().ok());
        at.is_none_or(|at| at >= since)
    }
}

/// The time at which a line was written, and the line.
fn stamped(line: &str) -> (Option<&str>, &str) {
    match line.split_once(' ') {
        Some((at, rest)) if at.parse::<Timestamp>().is_ok() => (Some(at), rest),
        Some(_) | None => (None, line),
    }
}

/// Sends what is written, until the pod or the reader is gone.
async fn follow(door: Arc<Door>, wanted: Wanted, uid: String, sender: mpsc::Sender<Bytes>) {
    let (mut sent, mut tail) = (0, wanted.tail);
    loop {
        let (lines, is_there) = {
            let world = door.world();
            let pod =
                world.find(&Kind::new("v1", "Pod"), Some(&wanted.key.namespace), &wanted.key.name);
            let is_running = |object: &Object| Pod::of(object).is_some_and(|pod| !pod.is_over());
            let is_there = pod.is_ok_and(|pod| pod.metadata().uid == uid && is_running(&pod));
            (written(&world, &uid, &wanted.container), is_there)
        };
        // A container that starts again starts its log again.
        let begin = if lines.len() < sent { 0 } else { sent };
        let text = wanted.text(&lines[begin..], tail);
        tail = usize::MAX;
        sent = lines.len();
        if !text.is_empty() && sender.send(text.into()).await.is_err() || !is_there {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = sender.closed() => return,
        }
    }
}

/// What the container itself wrote in this life.
fn written(world: &World, uid: &str, container: &str) -> Vec<String> {
    let runtime = world.pods.get(uid);
    let found = runtime.and_then(|pod| pod.containers.iter().find(|one| one.name == container));
    found.map(|one| one.logs.clone()).unwrap_or_default()
}
