//! The kubelets: pull images, resolve configuration, and start, probe and restart containers.

mod container;
mod environment;
mod probe;
mod running;
mod status;

use std::sync::Arc;

use cluster::{Object, Pod};
use jiff::{SignedDuration, Timestamp};

use crate::behaviour::Behaviour;
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{RULES_DELAY, TRAFFIC_DELAY, World};

pub(crate) use container::{ContainerPhase, ContainerRuntime};

/// The time between a termination request and the end of a container.
const TERMINATION_DELAY: SignedDuration = SignedDuration::from_millis(1500);

/// The state of one pod on its node.
#[derive(Clone, Debug)]
pub(crate) struct PodRuntime {
    pub(crate) ip: String,
    pub(crate) started: Timestamp,
    stopped: Option<Timestamp>,
    pub(crate) containers: Vec<ContainerRuntime>,
}

impl PodRuntime {
    /// Whether a container listens on `port`.
    pub(crate) fn listens_on(&self, port: u16) -> bool {
        self.serving().any(|behaviour| behaviour.listens_on(port))
    }

    /// Returns the identities of the serving programs: the addresses of their behaviours.
    fn programs(&self) -> impl Iterator<Item = *const Behaviour> {
        self.serving().map(Arc::as_ptr)
    }

    /// Returns the behaviours of the containers that have completed their startup.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &Arc<Behaviour>> {
        let running = self.containers.iter().filter_map(ContainerRuntime::running);
        running.filter(|running| running.startup_logged).map(|running| &running.behaviour)
    }
}

impl World {
    /// Advances a pod on its node to the current time, and schedules its next timer.
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
        let serves_as_before =
            before.is_some_and(|before| before.programs().eq(runtime.programs()));
        self.pods.insert(uid, Arc::new(runtime));
        let has_changed = pod.field("status") != Some(&status);
        if has_changed {
            self.store(key, &pod.with_field("status", status));
        }
        if has_changed || !self.is_idle {
            self.dirty.objects.insert(key.clone());
            self.set_timer(TRAFFIC_DELAY, Timer::Traffic);
        }
        if !serves_as_before {
            self.mark_routes_dirty(key);
        }
        if let Some(next) = next {
            self.set_timer_at(next, Timer::Kubelet(key.clone()));
        }
    }

    fn new_runtime(&mut self, pod: &Object) -> PodRuntime {
        self.assigned_ips += 1;
        let ip = format!("10.244.{}.{}", self.assigned_ips / 250, self.assigned_ips % 250 + 2);
        let view = Pod::of(pod).expect("a Pod is stored under its kind");
        let containers = view
            .containers()
            .map(|container| ContainerRuntime::new(container.name(), container.image()))
            .collect();
        PodRuntime { ip, started: self.now, stopped: None, containers }
    }

    /// Whether a node still runs this pod. Such a pod is deleted only once its containers have terminated.
    pub(crate) fn is_on_node(&self, key: &Key, uid: &str) -> bool {
        key.kind == "Pod" && self.pods.contains_key(uid)
    }

    fn stop_pod(&mut self, key: &Key, pod: &Object, mut runtime: PodRuntime) {
        let at = match runtime.stopped {
            // The containers have terminated, but a finalizer keeps the object.
            Some(at) if at <= self.now && !pod.metadata().finalizers.is_empty() => {
                self.pods.insert(pod.metadata().uid.clone(), Arc::new(runtime));
                return;
            }
            Some(at) if at <= self.now => {
                self.discard(key);
                self.set_timer(RULES_DELAY, Timer::Rules);
                return;
            }
            Some(at) => at,
            None => {
                for container in &runtime.containers {
                    let message = format!("Stopping container {}", container.name);
                    self.record_event(pod, "Normal", "Killing", &message, "kubelet");
                }
                let grace = pod.metadata().deletion_timestamp.unwrap_or(self.now);
                (self.now + TERMINATION_DELAY).min(grace.max(self.now))
            }
        };
        runtime.stopped = Some(at);
        self.pods.insert(pod.metadata().uid.clone(), Arc::new(runtime));
        self.set_timer_at(at, Timer::Kubelet(key.clone()));
    }
}
