//! The kubelet of every node: pulls images, resolves configuration, starts, probes and restarts containers.

mod container;
mod environment;
mod life;
mod probe;
mod status;

use std::sync::Arc;

use cluster::{Object, Pod};
use jiff::{SignedDuration, Timestamp};

use crate::behaviour::Behaviour;
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{RULES, TRAFFIC, World};

pub(crate) use container::{ContainerRuntime, Life};

/// How long a container takes to end when it is asked to.
const STOP: SignedDuration = SignedDuration::from_millis(1500);

/// What a node holds of one pod.
#[derive(Clone, Debug)]
pub(crate) struct PodRuntime {
    pub(crate) ip: String,
    pub(crate) started: Timestamp,
    stopped: Option<Timestamp>,
    pub(crate) containers: Vec<ContainerRuntime>,
}

impl PodRuntime {
    /// Whether one of its containers listens on `port` now.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        self.serving().any(|behaviour| behaviour.listens_on(port))
    }

    /// Which programs serve; two are one if they are the same value in memory.
    fn programs(&self) -> impl Iterator<Item = *const Behaviour> {
        self.serving().map(Arc::as_ptr)
    }

    /// What the programs that serve do.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &Arc<Behaviour>> {
        let running = self.containers.iter().filter_map(ContainerRuntime::running);
        running.filter(|running| running.has_greeted).map(|running| &running.behaviour)
    }
}

impl World {
    /// Brings one pod on its node to where it should be by now, and says when to look again.
    pub(crate) fn sync_pod(&mut self, key: &Key) {
        let Some(pod) = self.objects.get(key).cloned() else { return };
        if pod.at("/spec/nodeName").is_none() {
            return;
        }
        let uid = pod.metadata().uid.clone();
        let before = self.pods.remove(&uid);
        let mut runtime =
            before.as_ref().map_or_else(|| self.new_runtime(&pod), |runtime| (**runtime).clone());
        if pod.metadata().deletion_timestamp.is_some() {
            self.stop_pod(key, &pod, runtime);
            return;
        }
        let mut next: Option<Timestamp> = None;
        let ip = runtime.ip.clone();
        for container in &mut runtime.containers {
            let due = self.step_container(&pod, &ip, container);
            next = next.into_iter().chain(due).min();
        }
        let status = status::status(&pod, &runtime, self.now);
        let does_as_before = before.is_some_and(|before| before.programs().eq(runtime.programs()));
        self.pods.insert(uid, Arc::new(runtime));
        let has_changed = pod.field("status") != Some(&status);
        if has_changed {
            self.store(key, &pod.with_field("status", status));
        }
        if has_changed || !self.is_uncalled {
            self.stale.measured.insert(key.clone());
            self.wake(TRAFFIC, Wake::Traffic);
        }
        if !does_as_before {
            self.note_routes(key);
        }
        if let Some(next) = next {
            self.wake_at(next, Wake::Kubelet(key.clone()));
        }
    }

    fn new_runtime(&mut self, pod: &Object) -> PodRuntime {
        self.addresses += 1;
        let ip = format!("10.244.{}.{}", self.addresses / 250, self.addresses % 250 + 2);
        let view = Pod::of(pod).expect("a Pod is stored under its kind");
        let containers = view
            .containers()
            .map(|container| ContainerRuntime::new(container.name(), container.image()))
            .collect();
        PodRuntime { ip, started: self.now, stopped: None, containers }
    }

    /// Whether a node still has this pod: it then goes when the node says that it ended, and no sooner.
    pub(crate) fn is_on_node(&self, key: &Key, uid: &str) -> bool {
        key.kind == "Pod" && self.pods.contains_key(uid)
    }

    fn stop_pod(&mut self, key: &Key, pod: &Object, mut runtime: PodRuntime) {
        let at = match runtime.stopped {
            // It ended, and something still holds it.
            Some(at) if at <= self.now && !pod.metadata().finalizers.is_empty() => {
                self.pods.insert(pod.metadata().uid.clone(), Arc::new(runtime));
                return;
            }
            Some(at) if at <= self.now => {
                self.discard(key);
                self.wake(RULES, Wake::Rules);
                return;
            }
            Some(at) => at,
            None => {
                for container in &runtime.containers {
                    let message = format!("Stopping container {}", container.name);
                    self.record(pod, "Normal", "Killing", &message, "kubelet");
                }
                let grace = pod.metadata().deletion_timestamp.unwrap_or(self.now);
                (self.now + STOP).min(grace.max(self.now))
            }
        };
        runtime.stopped = Some(at);
        self.pods.insert(pod.metadata().uid.clone(), Arc::new(runtime));
        self.wake_at(at, Wake::Kubelet(key.clone()));
    }
}
