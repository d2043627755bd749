//! Performs effects: the only code of a run that accesses the cluster and its metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{
    Cluster, Consistency, Digest, Health, Kind, ListQuery, MetricQuery, Metrics, Object, ObjectRef,
    ReadFailure, Selector, WriteReply,
};
use jiff::Timestamp;
use serde_json::Value;
use workflow::condition::{Condition, MAX_READS, Read};
use workflow::expression::{Truth, Variables};
use workflow::run::{Effect, RunInput};

/// Performs one effect and returns its result as an input.
pub async fn perform(
    effect: Effect,
    cluster: Arc<dyn Cluster>,
    metrics: Arc<dyn Metrics>,
) -> RunInput {
    match effect {
        Effect::Read { id, run, queries } => {
            let mut replies = Vec::with_capacity(queries.len());
            for query in &queries {
                replies.push(cluster::read(cluster.as_ref(), query).await);
            }
            RunInput::Observed { run, effect: id, replies }
        }
        Effect::Send { id, run, request } => {
            tracing::info!(%run, step = request.agent.step, key = request.agent.effect_key, target = %request.target, "sending change");
            let reply = match cluster::check_target_cluster(cluster.as_ref(), &request.target) {
                Ok(()) => cluster.send(&request).await,
                Err(not_sent) => WriteReply::NotSent(not_sent),
            };
            RunInput::ChangeAnswered { run, effect: id, reply }
        }
        Effect::Evaluate { id, run, condition, bindings } => {
            let (result, read_digest) =
                evaluate(&condition, bindings, cluster.as_ref(), metrics.as_ref()).await;
            RunInput::ConditionEvaluated { run, effect: id, result, read_digest }
        }
        Effect::Measure { id, run, objects, at } => {
            let mut health = Vec::with_capacity(objects.len());
            for object in objects {
                let measured = measure(cluster.as_ref(), &object, at).await.ok();
                health.push((object, measured));
            }
            RunInput::HealthMeasured { run, effect: id, health }
        }
    }
}

/// Evaluates a condition: performs its reads, then evaluates its check. The digest covers the values read.
pub async fn evaluate(
    condition: &Condition,
    mut bindings: Variables,
    cluster: &dyn Cluster,
    metrics: &dyn Metrics,
) -> (Truth, Digest) {
    let unknown = |message: String| (Truth::Unknown { message }, Digest::ZERO);
    if condition.read.len() > MAX_READS {
        return unknown(format!(
            "the condition has {} reads; at most {MAX_READS} are allowed",
            condition.read.len()
        ));
    }
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for (name, read) in &condition.read {
        match value(read, cluster, metrics).await {
            Ok(value) => values.insert(name.clone(), value),
            Err(error) => return unknown(format!("`{name}` could not be read: {error}")),
        };
    }
    let read_digest = match cluster::canonical_json(&values) {
        Ok(text) => Digest::of(text.as_bytes()),
        Err(error) => return unknown(format!("the values read have no canonical form: {error}")),
    };
    bindings.extend(values);
    (condition.check.evaluate_condition(&bindings), read_digest)
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
                .map_or(0, |window| u32::try_from(window.to_std().as_secs()).unwrap_or(u32::MAX));
            let query =
                MetricQuery { metric: metric.clone(), labels: labels.clone(), window_seconds };
            let samples = metrics.query(&query).await.map_err(|failure| failure.to_string())?;
            // An empty result means that nothing was measured; an empty list must not pass as a healthy value.
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
            .ok_or_else(|| format!("`{kind}` is not a built-in kind: add its apiVersion")),
    }
}

/// Measures the health of one object, including its pods or endpoint slices.
///
/// # Errors
/// [`ReadFailure`] if the object or its related objects cannot be read.
pub async fn measure(
    cluster: &dyn Cluster,
    object: &ObjectRef,
    now: Timestamp,
) -> Result<Health, ReadFailure> {
    let Some(found) = cluster.get(object, Consistency::Latest).await? else {
        return Ok(Health::missing());
    };
    let related = match related_objects(&found) {
        Some(query) => cluster::list_all(cluster, query).await?,
        None => Vec::new(),
    };
    Ok(cluster::health(&found, &related, now))
}

/// Returns the query for the pods of a workload or the endpoint slices of a Service.
fn related_objects(object: &Object) -> Option<ListQuery> {
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

    use cluster::{
        Agent, Mode, NotSent, ObjectQuery, Patch, Preconditions, ReadReply, Request, Verb,
    };
    use simulator::{SimulatedCluster, World, WorldFile};
    use workflow::id::{EffectId, RunId};

    use super::*;

    const WORLD: &str = r#"{"apiVersion": "chiron.dev/v1alpha1", "kind": "World", "metadata": {"name": "one"},
        "spec": {"objects": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}], "images": {}}}"#;

    #[tokio::test]
    async fn object_of_another_cluster_is_neither_read_nor_changed() {
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
                mode: Mode::Commit,
                agent: Agent::default(),
            };
            let id = EffectId::derive(now, "test", 0);
            let effect = Effect::Send { id, run: run.clone(), request };
            match perform(effect, port.clone(), port.clone()).await {
                RunInput::ChangeAnswered { reply, .. } => reply,
                other => panic!("{other:?}"),
            }
        };
        let read = async |cluster: &str| {
            let target = ObjectRef::builtin(cluster, "Namespace", None, "shop");
            cluster::read(port.as_ref(), &ObjectQuery::One(target)).await
        };
        let before = read("staging").await;
        let not_sent =
            || NotSent::OtherCluster { requested: "prod".into(), connected: "staging".into() };
        assert_eq!(send("prod").await, WriteReply::NotSent(not_sent()));
        assert_eq!(read("prod").await, ReadReply::NotSent(not_sent()));
        assert_eq!(read("staging").await, before);
        assert!(matches!(send("staging").await, WriteReply::Accepted(_)));
        assert_ne!(read("").await, before);
    }
}
