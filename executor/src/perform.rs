//! Performing effects: the only place where a run touches the world.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{
    Cluster, Consistency, Digest, Health, Kind, ListQuery, MetricQuery, Metrics, Object, ObjectRef,
    ReadFailure, Reply, Selector,
};
use jiff::Timestamp;
use serde_json::Value;
use workflow::condition::{Condition, MAX_READS, Read};
use workflow::expression::{Bindings, Verdict};
use workflow::run::{Effect, ObjectQuery, RunInput};

/// Performs one effect and says what came of it.
pub async fn perform(
    effect: Effect,
    cluster: Arc<dyn Cluster>,
    metrics: Arc<dyn Metrics>,
) -> RunInput {
    match effect {
        Effect::Read { id, run, queries } => {
            let mut replies = Vec::with_capacity(queries.len());
            for query in &queries {
                replies.push(read(cluster.as_ref(), query).await);
            }
            RunInput::Observed { run, effect: id, replies }
        }
        Effect::Send { id, run, request } => {
            tracing::info!(%run, step = request.agent.step, key = request.agent.effect_key, target = %request.target, "sending a change");
            let reply = match elsewhere(cluster.as_ref(), &request.target) {
                Some(refused) => refused,
                None => cluster.send(&request).await,
            };
            RunInput::Answered { run, effect: id, reply }
        }
        Effect::Judge { id, run, condition, bindings } => {
            let (verdict, read) =
                judge(&condition, bindings, cluster.as_ref(), metrics.as_ref()).await;
            RunInput::Judged { run, effect: id, verdict, read }
        }
        Effect::Measure { id, run, objects, at } => {
            let mut health = Vec::with_capacity(objects.len());
            for object in objects {
                let measured = measure(cluster.as_ref(), &object, at).await.ok();
                health.push((object, measured));
            }
            RunInput::Measured { run, effect: id, health }
        }
    }
}

/// The refusal of what is about an object of another cluster: the same name may well be another object's here.
fn elsewhere(cluster: &dyn Cluster, object: &ObjectRef) -> Option<Reply> {
    let is_here = object.cluster.is_empty() || object.cluster == cluster.name();
    (!is_here).then(|| Reply::Refused {
        code: 421,
        reason: "OtherCluster".into(),
        message: format!(
            "it is about the cluster {:?}, and this one is {:?}",
            object.cluster,
            cluster.name()
        ),
    })
}

/// Reads one thing as it is stored now.
pub async fn read(cluster: &dyn Cluster, query: &ObjectQuery) -> Reply {
    let answer = match query {
        ObjectQuery::One(object) => match elsewhere(cluster, object) {
            Some(refused) => Ok(refused),
            None => cluster
                .get(object, Consistency::Latest)
                .await
                .map(|found| found.map_or(Reply::Absent, Reply::Found)),
        },
        ObjectQuery::Many(query) => {
            cluster::list_all(cluster, query.clone()).await.map(Reply::Listed)
        }
    };
    answer.unwrap_or_else(|failure| match failure {
        ReadFailure::Refused { what, code, message } => Reply::Refused {
            code,
            reason: "ReadRefused".into(),
            message: format!("{what}: {message}"),
        },
        ReadFailure::Unavailable { .. } | ReadFailure::Gone => {
            Reply::Unknown { message: failure.to_string() }
        }
    })
}

/// Judges a condition: reads what it names, and asks its check. The digest is over what was read.
pub async fn judge(
    condition: &Condition,
    mut bindings: Bindings,
    cluster: &dyn Cluster,
    metrics: &dyn Metrics,
) -> (Verdict, Digest) {
    let unknown = |reason: String| (Verdict::Unknown { reason }, Digest::ZERO);
    if condition.read.len() > MAX_READS {
        return unknown(format!(
            "it reads {} things, at most {MAX_READS} are allowed",
            condition.read.len()
        ));
    }
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for (name, read) in &condition.read {
        match value(read, cluster, metrics).await {
            Ok(value) => values.insert(name.clone(), value),
            Err(why) => return unknown(format!("`{name}` could not be read: {why}")),
        };
    }
    let read = match cluster::canonical_json(&values) {
        Ok(text) => Digest::of(text.as_bytes()),
        Err(error) => return unknown(format!("what was read has no canonical form: {error}")),
    };
    bindings.extend(values);
    (condition.check.judge(&bindings), read)
}

async fn value(read: &Read, cluster: &dyn Cluster, metrics: &dyn Metrics) -> Result<Value, String> {
    match read {
        Read::Object { kind, api_version, namespace, name } => {
            let kind = kind_of(kind, api_version.as_deref())?;
            let object = ObjectRef {
                cluster: cluster.name().into(),
                api_version: kind.api_version,
                kind: kind.kind,
                namespace: namespace.clone(),
                name: name.clone(),
                uid: None,
            };
            let found = cluster
                .get(&object, Consistency::Latest)
                .await
                .map_err(|failure| failure.to_string())?;
            Ok(found.map_or(Value::Null, |object| object.to_value()))
        }
        Read::Objects { kind, api_version, namespace, selector } => {
            let mut query =
                ListQuery::latest(kind_of(kind, api_version.as_deref())?, Some(namespace));
            query.selector = Some(selector.parse::<Selector>().map_err(|error| error.to_string())?);
            let found =
                cluster::list_all(cluster, query).await.map_err(|failure| failure.to_string())?;
            Ok(found.iter().map(Object::to_value).collect())
        }
        Read::Metric { metric, labels, window } => {
            let window_seconds = window
                .map_or(0, |window| u32::try_from(window.duration().as_secs()).unwrap_or(u32::MAX));
            let query =
                MetricQuery { metric: metric.clone(), labels: labels.clone(), window_seconds };
            let samples = metrics.query(&query).await.map_err(|failure| failure.to_string())?;
            // What is not measured is not known, and an empty list must not read as well.
            if samples.is_empty() {
                return Err(format!("`{metric}` has no sample"));
            }
            Ok(samples.iter().map(|sample| Value::from(sample.value)).collect())
        }
    }
}

fn kind_of(kind: &str, api_version: Option<&str>) -> Result<Kind, String> {
    match api_version {
        Some(api_version) => Ok(Kind::new(api_version, kind)),
        None => Kind::builtin(kind)
            .ok_or_else(|| format!("`{kind}` is not a built-in kind: name its apiVersion")),
    }
}

/// Measures the health of one object, with what is around it.
///
/// # Errors
/// [`ReadFailure`] where it, or what is around it, cannot be read.
pub async fn measure(
    cluster: &dyn Cluster,
    object: &ObjectRef,
    now: Timestamp,
) -> Result<Health, ReadFailure> {
    let Some(found) = cluster.get(object, Consistency::Latest).await? else {
        return Ok(Health::missing());
    };
    let around = match around(&found) {
        Some(query) => cluster::list_all(cluster, query).await?,
        None => Vec::new(),
    };
    Ok(cluster::health(&found, &around, now))
}

/// The pods of a workload, or the slices of a Service.
fn around(object: &Object) -> Option<ListQuery> {
    let namespace = object.namespace();
    let (kind, selector) = match object.kind().kind.as_str() {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => {
            ("Pod", serde_json::from_value(object.at("/spec/selector")?.clone()).ok()?)
        }
        "Service" => {
            ("EndpointSlice", Selector::of_labels([("kubernetes.io/service-name", object.name())]))
        }
        _ => return None,
    };
    let mut query = ListQuery::latest(Kind::builtin(kind)?, namespace);
    query.selector = Some(selector);
    Some(query)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use cluster::{Agent, Mode, Patch, Preconditions, Request, Verb};
    use simulator::{SimulatedCluster, World, WorldFile};
    use workflow::id::{EffectId, RunId};

    use super::*;

    const WORLD: &str = r#"{"apiVersion": "chiron.dev/v1alpha1", "kind": "World", "metadata": {"name": "one"},
        "spec": {"objects": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}], "images": {}}}"#;

    #[tokio::test]
    async fn what_is_about_another_cluster_is_neither_read_nor_changed() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let world = World::new(&WorldFile::parse(WORLD).unwrap(), 7, now).unwrap();
        let port = Arc::new(SimulatedCluster::new(Arc::new(Mutex::new(world)), "staging"));
        let run = RunId::derive(now, "test", 0);
        let send = async |cluster: &str| {
            let request = Request {
                target: ObjectRef::builtin(cluster, "Namespace", None, "shop"),
                verb: Verb::Patch {
                    patch: Patch::Merge(serde_json::json!({"metadata": {"labels": {"a": "b"}}})),
                    subresource: None,
                },
                preconditions: Preconditions::default(),
                mode: Mode::Apply,
                agent: Agent::default(),
            };
            let id = EffectId::derive(now, "test", 0);
            let effect = Effect::Send { id, run: run.clone(), request };
            match perform(effect, port.clone(), port.clone()).await {
                RunInput::Answered { reply, .. } => reply,
                other => panic!("{other:?}"),
            }
        };
        let read = async |cluster: &str| {
            let target = ObjectRef::builtin(cluster, "Namespace", None, "shop");
            read(port.as_ref(), &ObjectQuery::One(target)).await
        };
        let before = read("staging").await;
        for refused in [send("prod").await, read("prod").await] {
            assert!(matches!(refused, Reply::Refused { code: 421, .. }), "{refused:?}");
        }
        assert_eq!(read("staging").await, before);
        assert!(matches!(send("staging").await, Reply::Accepted(_)));
        assert_ne!(read("").await, before);
    }
}
