//! Reference policies that act like simple scripts. A scenario is only useful if its oracle rejects all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use async_trait::async_trait;
use cluster::{
    Agent, Cluster, Kind, ListQuery, Mode, ObjectRef, Patch, Preconditions, Request, Verb,
};
use jiff::Timestamp;
use serde_json::json;
use simulator::{Emission, SimulatedCluster, World};

use crate::system_under_test::{SystemUnderTest, Trial};

/// Takes no action.
pub struct DoNothing;

/// Restarts all Deployments in the namespace of the alert.
pub struct RestartEverything;

/// Deletes the Deployment in the labels of the alert, or else the pod.
pub struct DeleteTheObject;

#[async_trait(?Send)]
impl SystemUnderTest for DoNothing {
    fn name(&self) -> &str {
        "do-nothing"
    }

    async fn run(&self, world: World, until: Timestamp) -> Result<Trial> {
        run_with(world, until, async |_, _| {}).await
    }
}

#[async_trait(?Send)]
impl SystemUnderTest for RestartEverything {
    fn name(&self) -> &str {
        "restart-everything"
    }

    async fn run(&self, world: World, until: Timestamp) -> Result<Trial> {
        run_with(world, until, async |cluster, labels| {
            let Some(namespace) = labels.get("namespace") else { return };
            let query = ListQuery::latest(Kind::builtin("Deployment").expect("a built-in kind"), Some(namespace));
            let Ok(page) = cluster.list(&query).await else { return };
            for workload in page.items {
                let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
                send(cluster, workload.reference(cluster.name()), Verb::Patch { patch: Patch::Merge(patch), subresource: None }).await;
            }
        })
        .await
    }
}

#[async_trait(?Send)]
impl SystemUnderTest for DeleteTheObject {
    fn name(&self) -> &str {
        "delete-the-object"
    }

    async fn run(&self, world: World, until: Timestamp) -> Result<Trial> {
        run_with(world, until, async |cluster, labels| {
            let named = [("deployment", "Deployment"), ("pod", "Pod")]
                .into_iter()
                .find_map(|(label, kind)| Some((kind, labels.get(label)?)));
            let Some((kind, name)) = named else { return };
            let target = ObjectRef::builtin(
                cluster.name(),
                kind,
                labels.get("namespace").map(String::as_str),
                name,
            );
            send(cluster, target, Verb::Delete { grace_seconds: None }).await;
        })
        .await
    }
}

async fn send(cluster: &dyn Cluster, target: ObjectRef, verb: Verb) {
    let request = Request {
        target,
        verb,
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    };
    // Simple scripts ignore the reply.
    cluster.send(&request).await;
}

/// Advances the world until `until` and calls `act` at the first alert.
async fn run_with(
    world: World,
    until: Timestamp,
    act: impl AsyncFn(&dyn Cluster, &BTreeMap<String, String>),
) -> Result<Trial> {
    let world = Arc::new(Mutex::new(world));
    let cluster = SimulatedCluster::new(world.clone(), "simulated");
    let mut has_acted = false;
    let (mut first, mut last, mut firing) = (None, None, std::collections::BTreeSet::new());
    loop {
        let advance = World::lock(&world).advance(until);
        let mut labels = None;
        for Emission::Alerts(webhook) in advance.emitted {
            for alert in webhook.alerts {
                if alert.status == "firing" {
                    first.get_or_insert(advance.now);
                    labels.get_or_insert(alert.labels.clone());
                    firing.insert(alert.labels);
                } else {
                    firing.remove(&alert.labels);
                    last = Some(advance.now);
                }
            }
        }
        if let Some(labels) = labels
            && !has_acted
        {
            has_acted = true;
            act(&cluster, &labels).await;
        }
        if advance.now >= until {
            break;
        }
    }
    let world = World::lock(&world).clone();
    let seconds = match (first, last) {
        (Some(first), Some(last)) if firing.is_empty() => {
            Some(last.duration_since(first).as_secs_f64())
        }
        _ => None,
    };
    Ok(Trial { world, seconds })
}
