use cluster::{Kind, LogQuery, Object, ObjectRef, Pod};
use jiff::Timestamp;
use serde_json::Value;
use workflow::evidence::LogExcerpt;

use super::reader::Reader;
use crate::ReadLimits;
use crate::explain::sanitize;

/// Collects events about the objects that `belongs` accepts, and the last log lines of their failing containers.
///
/// Events come first: warnings before normal events, the newest first within each.
pub(super) async fn gather(
    reader: &mut Reader<'_>,
    target: &ObjectRef,
    belongs: &(dyn Fn(&ObjectRef) -> bool + Sync),
    limits: &ReadLimits,
) -> Vec<LogExcerpt> {
    let cluster = target.cluster.clone();
    let mut events: Vec<(bool, LogExcerpt)> = reader
        .objects
        .iter()
        .filter(|object| object.kind().kind == "Event")
        .filter_map(|event| event_excerpt(event, &cluster, limits))
        .filter(|(_, note)| belongs(&note.object))
        .collect();
    events.sort_by(|a, b| {
        b.0.cmp(&a.0)
            .then(b.1.at.cmp(&a.1.at))
            .then_with(|| a.1.object.cmp(&b.1.object))
            .then_with(|| a.1.reason.cmp(&b.1.reason))
    });
    events.truncate(limits.log_excerpts / 2);
    let mut excerpts: Vec<LogExcerpt> = events.into_iter().map(|(_, note)| note).collect();
    for query in
        failing_containers(&reader.objects, &cluster, belongs).into_iter().take(limits.logs)
    {
        let query = LogQuery { tail_lines: limits.log_lines, ..query };
        for line in reader.logs(&query).await.into_iter().rev() {
            if excerpts.len() < limits.log_excerpts && !line.trim().is_empty() {
                excerpts.push(LogExcerpt {
                    object: query.pod.clone(),
                    at: None,
                    reason: "log".into(),
                    text: truncate(&line, limits),
                });
            }
        }
    }
    excerpts
}

/// Returns whether the event is a warning, and its text.
fn event_excerpt(event: &Object, cluster: &str, limits: &ReadLimits) -> Option<(bool, LogExcerpt)> {
    let about = event.field("involvedObject").or_else(|| event.field("regarding"))?;
    let text =
        |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_string);
    let kind = text(about, "kind")?;
    let api_version =
        text(about, "apiVersion").or_else(|| Kind::builtin(&kind).map(|kind| kind.api_version))?;
    let object = ObjectRef {
        cluster: cluster.into(),
        api_version,
        kind,
        namespace: text(about, "namespace"),
        name: text(about, "name")?,
        uid: text(about, "uid").filter(|uid| !uid.is_empty()),
    };
    let own = |field: &str| event.field(field).and_then(Value::as_str).unwrap_or_default();
    let at = [own("lastTimestamp"), own("eventTime"), own("firstTimestamp")]
        .into_iter()
        .find_map(|time| time.parse::<Timestamp>().ok());
    let message = if own("message").is_empty() { own("note") } else { own("message") };
    Some((
        own("type") == "Warning",
        LogExcerpt {
            object,
            at,
            reason: truncate(own("reason"), limits),
            text: truncate(message, limits),
        },
    ))
}

/// Returns log queries for the containers that are not ready, in pods that `belongs` accepts.
///
/// Queries the previous instance of a container that is waiting to start or has restarted: that log shows the failure.
fn failing_containers(
    objects: &[Object],
    cluster: &str,
    belongs: &(dyn Fn(&ObjectRef) -> bool + Sync),
) -> Vec<LogQuery> {
    let mut found = Vec::new();
    for pod in
        objects.iter().filter_map(Pod::of).filter(|pod| belongs(&pod.object().reference(cluster)))
    {
        for status in pod.container_statuses().filter(|status| !status.is_ready()) {
            let previous = status.waiting_reason().is_some() || status.restarts() > 0;
            if !previous
                && !matches!(
                    status.state(),
                    Some(
                        cluster::ContainerState::Running { .. }
                            | cluster::ContainerState::Terminated { .. }
                    )
                )
            {
                continue;
            }
            found.push(LogQuery {
                pod: pod.object().reference(cluster),
                container: status.name().into(),
                previous,
                tail_lines: 0,
            });
        }
    }
    found
}

fn truncate(text: &str, limits: &ReadLimits) -> String {
    sanitize(text).chars().take(limits.excerpt_chars).collect()
}
