use std::sync::Arc;

use cluster::{Container, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::life::{Exit, Running, Unhealthy};
use super::probe::{failure, first_pass};
use crate::objects::Key;
use crate::world::World;

/// The first pause before something is tried again, and the longest, in seconds.
const BACK_OFF: (i64, i64) = (10, 300);
/// How often the kubelet tries again what its configuration does not let start.
const CONFIG_RETRY: SignedDuration = SignedDuration::from_secs(10);

/// What a node holds of one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRuntime {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) life: Life,
    pub(crate) restarts: u32,
    /// Ends in a row, for the back-off.
    crashes: u32,
    pub(crate) last: Option<Ended>,
    pub(crate) logs: Vec<String>,
    pub(crate) previous_logs: Vec<String>,
    pub(crate) has_started: bool,
}

/// What a container is doing.
#[derive(Clone, Debug)]
pub(crate) enum Life {
    /// Its image is not looked at yet.
    New,
    /// Its image is being pulled, after so many failures.
    Pulling { failures: u32, done: Timestamp },
    /// Its image could not be pulled.
    PullFailed { failures: u32, shown: Timestamp, is_shown: bool, retry: Timestamp },
    /// What its environment asks for is not there.
    ConfigError { message: String, retry: Timestamp },
    /// It runs.
    Running(Running),
    /// It ended, and waits to be started again.
    BackOff { until: Timestamp, pause: SignedDuration },
}

/// How a life ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) reason: &'static str,
    pub(crate) exit_code: i64,
    pub(crate) message: String,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

impl ContainerRuntime {
    pub(crate) fn new(name: &str, image: &str) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            life: Life::New,
            restarts: 0,
            crashes: 0,
            last: None,
            logs: Vec::new(),
            previous_logs: Vec::new(),
            has_started: false,
        }
    }

    fn log(&mut self, at: Timestamp, line: &str) {
        self.logs.push(format!("{at} {line}"));
    }

    /// What it runs, if it does.
    pub(crate) fn running(&self) -> Option<&Running> {
        match &self.life {
            Life::Running(running) => Some(running),
            Life::New
            | Life::Pulling { .. }
            | Life::PullFailed { .. }
            | Life::ConfigError { .. }
            | Life::BackOff { .. } => None,
        }
    }
}

fn back_off(failures: u32) -> SignedDuration {
    SignedDuration::from_secs((BACK_OFF.0 << failures.saturating_sub(1).min(10)).min(BACK_OFF.1))
}

impl World {
    /// Takes a container through all that is due by now; gives when the next thing is.
    pub(super) fn step_container(
        &mut self,
        pod: &Object,
        ip: &str,
        container: &mut ContainerRuntime,
    ) -> Option<Timestamp> {
        let wanted = Container::named(pod, &container.name)?;
        if wanted.image() != container.image {
            let message =
                format!("Container {} definition changed, will be restarted", container.name);
            self.record(pod, "Normal", "Killing", &message, "kubelet");
            container.image = wanted.image().into();
            container.restarts += u32::from(container.has_started);
            container.life = Life::New;
        }
        loop {
            let now = self.now;
            match container.life.clone() {
                Life::New => self.begin_pull(pod, container),
                Life::Pulling { done, .. } if now < done => return Some(done),
                Life::Pulling { .. } if self.images.contains_key(&container.image) => {
                    self.end_pull(pod, container);
                    self.start_container(pod, ip, container);
                }
                Life::Pulling { failures, .. } => self.fail_pull(pod, container, failures + 1),
                Life::PullFailed { failures, retry, .. } if now >= retry => {
                    self.record(
                        pod,
                        "Normal",
                        "Pulling",
                        &format!("Pulling image {:?}", container.image),
                        "kubelet",
                    );
                    container.life =
                        Life::Pulling { failures, done: now + SignedDuration::from_millis(900) };
                }
                Life::PullFailed { failures, shown, is_shown: false, retry } if now >= shown => {
                    self.record(
                        pod,
                        "Normal",
                        "BackOff",
                        &format!("Back-off pulling image {:?}", container.image),
                        "kubelet",
                    );
                    container.life = Life::PullFailed { failures, shown, is_shown: true, retry };
                }
                Life::PullFailed { shown, is_shown, retry, .. } => {
                    return Some(if is_shown { retry } else { shown });
                }
                Life::ConfigError { retry, .. } if now < retry => return Some(retry),
                Life::ConfigError { .. } => self.start_container(pod, ip, container),
                Life::BackOff { until, .. } if now < until => return Some(until),
                Life::BackOff { .. } => {
                    container.restarts += 1;
                    container.previous_logs = std::mem::take(&mut container.logs);
                    self.start_container(pod, ip, container);
                }
                Life::Running(running) => match &running.end {
                    Some((at, exit)) if now >= *at => {
                        self.end_container(pod, container, &running, exit)
                    }
                    _ => return self.tend(pod, container, running),
                },
            }
        }
    }

    fn begin_pull(&mut self, pod: &Object, container: &mut ContainerRuntime) {
        let node = pod.at("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        let millis = if self.pulled.contains(&(node.to_string(), container.image.clone())) {
            20
        } else {
            self.record(
                pod,
                "Normal",
                "Pulling",
                &format!("Pulling image {:?}", container.image),
                "kubelet",
            );
            1200 + self.chance.below(2600) as i64
        };
        container.life =
            Life::Pulling { failures: 0, done: self.now + SignedDuration::from_millis(millis) };
    }

    fn end_pull(&mut self, pod: &Object, container: &ContainerRuntime) {
        let node = pod.at("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        let message = if self.pulled.insert((node.into(), container.image.clone())) {
            format!("Successfully pulled image {:?}", container.image)
        } else {
            format!("Container image {:?} already present on machine", container.image)
        };
        self.record(pod, "Normal", "Pulled", &message, "kubelet");
    }

    fn fail_pull(&mut self, pod: &Object, container: &mut ContainerRuntime, failures: u32) {
        let image = &container.image;
        let message = format!(
            "Failed to pull image {image:?}: rpc error: code = NotFound desc = failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: {image}: not found"
        );
        self.record(pod, "Warning", "Failed", &message, "kubelet");
        self.record(pod, "Warning", "Failed", "Error: ErrImagePull", "kubelet");
        let shown = self.now + SignedDuration::from_secs(2);
        container.life = Life::PullFailed {
            failures,
            shown,
            is_shown: false,
            retry: self.now + back_off(failures),
        };
    }

    fn start_container(&mut self, pod: &Object, ip: &str, container: &mut ContainerRuntime) {
        let now = self.now;
        let wanted = Container::named(pod, &container.name)
            .expect("a container that is stepped is in its pod");
        let env = match self.environment(pod, &wanted) {
            Ok(env) => env,
            Err(message) => {
                self.record(pod, "Warning", "Failed", &format!("Error: {message}"), "kubelet");
                container.life = Life::ConfigError { message, retry: now + CONFIG_RETRY };
                return;
            }
        };
        let behaviour = self
            .images
            .get(&container.image)
            .cloned()
            .expect("an image that is not there was not pulled");
        let startup = behaviour.startup.as_secs_f64() * (0.85 + 0.3 * self.chance.unit());
        let listening = now + SignedDuration::from_millis((startup * 1000.0) as i64);
        self.record(
            pod,
            "Normal",
            "Created",
            &format!("Created container: {}", container.name),
            "kubelet",
        );
        self.record(
            pod,
            "Normal",
            "Started",
            &format!("Started container {}", container.name),
            "kubelet",
        );
        let mut running = Running::planned(Arc::clone(&behaviour), now, listening);
        let mut ends: Vec<(Timestamp, Exit)> = Vec::new();
        let namespace = pod.namespace().unwrap_or_default();
        let is_service =
            |name: &str| self.objects.get(&Key::new("Service", namespace, name)).is_some();
        if let Some(objection) = behaviour.objection(&env, is_service) {
            ends.push((
                now + SignedDuration::from_millis((startup * 400.0) as i64 + 300),
                Exit::Crash(objection),
            ));
        }
        if let Some(at) =
            wanted.limit("memory").and_then(|limit| running.out_of_memory_at(limit.value()))
        {
            ends.push((at, Exit::OutOfMemory));
        }
        if let Some(probe) = wanted.readiness_probe() {
            let first = first_pass(&probe, now, listening);
            match failure(&probe, &wanted, &behaviour, ip) {
                None => running.ready_at = Some(first),
                Some(why) => {
                    running.ready_at = None;
                    let period = SignedDuration::from_secs(i64::from(probe.period_seconds.max(1)));
                    running.unhealthy = Some(Unhealthy::new(
                        format!("Readiness probe failed: {why}"),
                        first,
                        period,
                    ));
                }
            }
        }
        if let Some(probe) = wanted.liveness_probe()
            && let Some(why) = failure(&probe, &wanted, &behaviour, ip)
        {
            let patience = probe.initial_delay_seconds
                + probe.period_seconds.max(1) * probe.failure_threshold.max(1);
            let at = now + SignedDuration::from_secs(i64::from(patience));
            ends.push((at, Exit::Liveness(format!("Liveness probe failed: {why}"))));
        }
        running.end = ends.into_iter().min_by_key(|(at, _)| *at);
        container.has_started = true;
        container.life = Life::Running(running);
    }

    /// What is due in a running container: its greeting, its readiness, Events about a failing probe.
    fn tend(
        &mut self,
        pod: &Object,
        container: &mut ContainerRuntime,
        mut running: Running,
    ) -> Option<Timestamp> {
        let now = self.now;
        let mut due: Vec<Timestamp> = running.end.iter().map(|(at, _)| *at).collect();
        if !running.has_greeted {
            if now >= running.listening {
                running.has_greeted = true;
                for line in &running.behaviour.logs {
                    container.log(now, line);
                }
            } else {
                due.push(running.listening);
            }
        }
        if let Some(at) = running.ready_at
            && !running.is_ready
        {
            running.is_ready = now >= at;
            due.extend((now < at).then_some(at));
        }
        if let Some(unhealthy) = &mut running.unhealthy {
            if let Some(times) = unhealthy.is_due(now) {
                self.record_times(
                    pod,
                    "Warning",
                    "Unhealthy",
                    &unhealthy.message,
                    "kubelet",
                    times,
                );
            }
            due.push(unhealthy.next);
        }
        container.life = Life::Running(running);
        due.into_iter().min()
    }

    fn end_container(
        &mut self,
        pod: &Object,
        container: &mut ContainerRuntime,
        running: &Running,
        exit: &Exit,
    ) {
        let now = self.now;
        let (reason, exit_code, message) = match exit {
            Exit::Crash(line) => {
                container.log(now, line);
                ("Error", 1, line.clone())
            }
            Exit::OutOfMemory => ("OOMKilled", 137, String::new()),
            Exit::Liveness(message) => {
                self.record(pod, "Warning", "Unhealthy", message, "kubelet");
                let killing = format!(
                    "Container {} failed liveness probe, will be restarted",
                    container.name
                );
                self.record(pod, "Normal", "Killing", &killing, "kubelet");
                ("Error", 137, String::new())
            }
        };
        let was_long = now.duration_since(running.started) >= SignedDuration::from_mins(10);
        container.crashes = if was_long { 1 } else { container.crashes + 1 };
        container.last =
            Some(Ended { reason, exit_code, message, started: running.started, finished: now });
        let pause = back_off(container.crashes);
        container.life = Life::BackOff { until: now + pause, pause };
        let message = format!(
            "Back-off restarting failed container {} in pod {}",
            container.name,
            pod.name()
        );
        self.record(pod, "Warning", "BackOff", &message, "kubelet");
    }
}
