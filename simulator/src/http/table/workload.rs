//! Rows of workloads.

use cluster::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cell::{
    age, containers, human_duration, labels, list, number, number_or_string, selector, since, text,
};
use super::column::{Column, always, integer, wide};

const TEMPLATE: &str = "/spec/template/spec/containers";

/// Appends the containers and the selector, which `-o wide` shows.
fn with_template(mut cells: Vec<Value>, object: &Object, at: &str, selecting: &str) -> Vec<Value> {
    cells.extend(containers(object, at));
    cells.push(selector(object, selecting));
    cells
}

pub(super) const DEPLOYMENT: &[Column] = &[
    always("Name"),
    always("Ready"),
    always("Up-to-date"),
    always("Available"),
    always("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn deployment(object: &Object, now: Timestamp) -> Vec<Value> {
    let cells = vec![
        object.name().into(),
        ready(object),
        number(object, "/status/updatedReplicas").into(),
        number(object, "/status/availableReplicas").into(),
        age(object, now),
    ];
    with_template(cells, object, TEMPLATE, "/spec/selector")
}

fn ready(object: &Object) -> Value {
    let wanted = object.at("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    format!("{}/{wanted}", number(object, "/status/readyReplicas")).into()
}

pub(super) const REPLICA_SET: &[Column] = &[
    always("Name"),
    integer("Desired"),
    integer("Current"),
    integer("Ready"),
    always("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn replica_set(object: &Object, now: Timestamp) -> Vec<Value> {
    let wanted = object.at("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let cells = vec![
        object.name().into(),
        wanted.into(),
        number(object, "/status/replicas").into(),
        number(object, "/status/readyReplicas").into(),
        age(object, now),
    ];
    with_template(cells, object, TEMPLATE, "/spec/selector")
}

pub(super) const STATEFUL_SET: &[Column] =
    &[always("Name"), always("Ready"), always("Age"), wide("Containers"), wide("Images")];

pub(super) fn stateful_set(object: &Object, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object.name().into(), ready(object), age(object, now)];
    cells.extend(containers(object, TEMPLATE));
    cells
}

pub(super) const DAEMON_SET: &[Column] = &[
    always("Name"),
    integer("Desired"),
    integer("Current"),
    integer("Ready"),
    integer("Up-to-date"),
    integer("Available"),
    always("Node Selector"),
    always("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn daemon_set(object: &Object, now: Timestamp) -> Vec<Value> {
    let count = |field: &str| Value::from(number(object, &format!("/status/{field}")));
    let cells = vec![
        object.name().into(),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        labels(object, "/spec/template/spec/nodeSelector"),
        age(object, now),
    ];
    with_template(cells, object, TEMPLATE, "/spec/selector")
}

pub(super) const JOB: &[Column] = &[
    always("Name"),
    always("Status"),
    always("Completions"),
    always("Duration"),
    always("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn job(object: &Object, now: Timestamp) -> Vec<Value> {
    let succeeded = number(object, "/status/succeeded");
    let completions = match (
        number_or_string(object, "/spec/completions"),
        number(object, "/spec/parallelism"),
    ) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let time = |pointer: &str| text(object, pointer).parse::<Timestamp>().ok();
    let duration = time("/status/startTime").map(|started| {
        human_duration(time("/status/completionTime").unwrap_or(now).duration_since(started))
    });
    let is = |kind: &str| {
        list(object, "/status/conditions")
            .iter()
            .any(|one| one["type"] == kind && one["status"] == "True")
    };
    let status = match object.metadata().deletion_timestamp {
        _ if is("Complete") => "Complete",
        _ if is("Failed") => "Failed",
        Some(_) => "Terminating",
        None if is("Suspended") => "Suspended",
        None if is("FailureTarget") => "FailureTarget",
        None if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        None => "Running",
    };
    let cells = vec![
        object.name().into(),
        status.into(),
        completions.into(),
        duration.unwrap_or_default().into(),
        age(object, now),
    ];
    with_template(cells, object, TEMPLATE, "/spec/selector")
}

pub(super) const CRON_JOB: &[Column] = &[
    always("Name"),
    always("Schedule"),
    always("Timezone"),
    Column { kind: "boolean", ..always("Suspend") },
    integer("Active"),
    always("Last Schedule"),
    always("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn cron_job(object: &Object, now: Timestamp) -> Vec<Value> {
    let last = match text(object, "/status/lastScheduleTime") {
        "" => "<none>".to_string(),
        at => since(at, now),
    };
    let is_suspended = match object.at("/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let zone = number_or_string(object, "/spec/timeZone").unwrap_or_else(|| "<none>".into());
    let cells = vec![
        object.name().into(),
        text(object, "/spec/schedule").into(),
        zone.into(),
        is_suspended.into(),
        list(object, "/status/active").len().into(),
        last.into(),
        age(object, now),
    ];
    let template = "/spec/jobTemplate/spec/template/spec/containers";
    with_template(cells, object, template, "/spec/jobTemplate/spec/selector")
}

pub(super) const REVISION: &[Column] =
    &[always("Name"), always("Controller"), integer("Revision"), always("Age")];

pub(super) fn revision(object: &Object, now: Timestamp) -> Vec<Value> {
    let controller = object.controller().map_or_else(
        || "<none>".to_string(),
        |owner| {
            let group = owner.api_version.split_once('/').map(|(group, _)| format!(".{group}"));
            format!("{}{}/{}", owner.kind.to_lowercase(), group.unwrap_or_default(), owner.name)
        },
    );
    vec![
        object.name().into(),
        controller.into(),
        number(object, "/revision").into(),
        age(object, now),
    ]
}

pub(super) const AUTOSCALER: &[Column] = &[
    always("Name"),
    always("Reference"),
    always("Targets"),
    always("MinPods"),
    always("MaxPods"),
    always("Replicas"),
    always("Age"),
];

pub(super) fn autoscaler(object: &Object, now: Timestamp) -> Vec<Value> {
    let target = |field: &str| text(object, &format!("/spec/scaleTargetRef/{field}"));
    let current = list(object, "/status/currentMetrics");
    let metrics: Vec<String> = list(object, "/spec/metrics")
        .iter()
        .enumerate()
        .map(|(i, metric)| {
            let name = metric.pointer("/resource/name").and_then(Value::as_str).unwrap_or("metric");
            let percent = |value: &Value, at: &str| {
                value
                    .pointer(at)
                    .and_then(Value::as_i64)
                    .map_or_else(|| "<unknown>".to_string(), |n| format!("{n}%"))
            };
            let is = current.get(i).unwrap_or(&Value::Null);
            format!(
                "{name}: {}/{}",
                percent(is, "/resource/current/averageUtilization"),
                percent(metric, "/resource/target/averageUtilization")
            )
        })
        .collect();
    let metrics = if metrics.is_empty() { "<none>".to_string() } else { metrics.join(", ") };
    let min_replicas = object.at("/spec/minReplicas").cloned().unwrap_or_else(|| json!("<unset>"));
    vec![
        object.name().into(),
        format!("{}/{}", target("kind"), target("name")).into(),
        metrics.into(),
        min_replicas,
        number(object, "/spec/maxReplicas").into(),
        number(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}
