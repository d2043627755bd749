use std::sync::Arc;

use cluster::{Container, Object};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::probe::{failure, first_pass};
use super::running::{ExitCause, FailingProbe, RunningContainer};
use crate::objects::Key;
use crate::world::World;

/// The initial and the maximum back-off of restarts and image pulls, in seconds.
const BACK_OFF_SECONDS: (i64, i64) = (10, 300);
/// The interval of start attempts after a configuration error.
const CONFIG_RETRY: SignedDuration = SignedDuration::from_secs(10);

/// The state of one container on its node.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRuntime {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) phase: ContainerPhase,
    pub(crate) restarts: u32,
    /// Consecutive crashes, for the back-off.
    crashes: u32,
    pub(crate) last_terminated: Option<TerminatedContainer>,
    pub(crate) logs: Vec<String>,
    pub(crate) previous_logs: Vec<String>,
    pub(crate) has_started: bool,
}

/// The phase of a container.
#[derive(Clone, Debug)]
pub(crate) enum ContainerPhase {
    /// The image pull has not started.
    New,
    /// The image is being pulled after `failures` failed pulls.
    Pulling { failures: u32, done: Timestamp },
    /// The image pull failed.
    PullFailed { failures: u32, back_off_at: Timestamp, is_backing_off: bool, retry: Timestamp },
    /// A ConfigMap, Secret or key of the environment is missing.
    ConfigError { message: String, retry: Timestamp },
    /// The container is running.
    Running(RunningContainer),
    /// The container terminated and waits for its restart.
    BackOff { until: Timestamp, pause: SignedDuration },
}

/// How a container terminated.
#[derive(Clone, Debug)]
pub(crate) struct TerminatedContainer {
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
            phase: ContainerPhase::New,
            restarts: 0,
            crashes: 0,
            last_terminated: None,
            logs: Vec::new(),
            previous_logs: Vec::new(),
            has_started: false,
        }
    }

    fn log(&mut self, at: Timestamp, line: &str) {
        self.logs.push(format!("{at} {line}"));
    }

    /// Returns the running container, if the phase is `Running`.
    pub(crate) fn running(&self) -> Option<&RunningContainer> {
        match &self.phase {
            ContainerPhase::Running(running) => Some(running),
            ContainerPhase::New
            | ContainerPhase::Pulling { .. }
            | ContainerPhase::PullFailed { .. }
            | ContainerPhase::ConfigError { .. }
            | ContainerPhase::BackOff { .. } => None,
        }
    }
}

fn back_off_delay(failures: u32) -> SignedDuration {
    SignedDuration::from_secs(
        (BACK_OFF_SECONDS.0 << failures.saturating_sub(1).min(10)).min(BACK_OFF_SECONDS.1),
    )
}

impl World {
    /// Advances a container to the current time. Returns the time of its next timer.
    pub(super) fn step_container(
        &mut self,
        pod: &Object,
        ip: &str,
        container: &mut ContainerRuntime,
    ) -> Option<Timestamp> {
        let spec = Container::named(pod, &container.name)?;
        if spec.image() != container.image {
            let message =
                format!("Container {} definition changed, will be restarted", container.name);
            self.record_event(pod, "Normal", "Killing", &message, "kubelet");
            container.image = spec.image().into();
            container.restarts += u32::from(container.has_started);
            container.phase = ContainerPhase::New;
        }
        loop {
            let now = self.now;
            match container.phase.clone() {
                ContainerPhase::New => self.begin_pull(pod, container),
                ContainerPhase::Pulling { done, .. } if now < done => return Some(done),
                ContainerPhase::Pulling { .. } if self.images.contains_key(&container.image) => {
                    self.end_pull(pod, container);
                    self.start_container(pod, ip, container);
                }
                ContainerPhase::Pulling { failures, .. } => {
                    self.fail_pull(pod, container, failures + 1)
                }
                ContainerPhase::PullFailed { failures, retry, .. } if now >= retry => {
                    self.record_event(
                        pod,
                        "Normal",
                        "Pulling",
                        &format!("Pulling image {:?}", container.image),
                        "kubelet",
                    );
                    container.phase = ContainerPhase::Pulling {
                        failures,
                        done: now + SignedDuration::from_millis(900),
                    };
                }
                ContainerPhase::PullFailed {
                    failures,
                    back_off_at,
                    is_backing_off: false,
                    retry,
                } if now >= back_off_at => {
                    self.record_event(
                        pod,
                        "Normal",
                        "BackOff",
                        &format!("Back-off pulling image {:?}", container.image),
                        "kubelet",
                    );
                    container.phase = ContainerPhase::PullFailed {
                        failures,
                        back_off_at,
                        is_backing_off: true,
                        retry,
                    };
                }
                ContainerPhase::PullFailed { back_off_at, is_backing_off, retry, .. } => {
                    return Some(if is_backing_off { retry } else { back_off_at });
                }
                ContainerPhase::ConfigError { retry, .. } if now < retry => return Some(retry),
                ContainerPhase::ConfigError { .. } => self.start_container(pod, ip, container),
                ContainerPhase::BackOff { until, .. } if now < until => return Some(until),
                ContainerPhase::BackOff { .. } => {
                    container.restarts += 1;
                    container.previous_logs = std::mem::take(&mut container.logs);
                    self.start_container(pod, ip, container);
                }
                ContainerPhase::Running(running) => match &running.end {
                    Some((at, exit)) if now >= *at => {
                        self.end_container(pod, container, &running, exit)
                    }
                    _ => return self.step_running(pod, container, running),
                },
            }
        }
    }

    fn begin_pull(&mut self, pod: &Object, container: &mut ContainerRuntime) {
        let node = pod.at("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        let millis = if self.pulled_images.contains(&(node.to_string(), container.image.clone())) {
            20
        } else {
            self.record_event(
                pod,
                "Normal",
                "Pulling",
                &format!("Pulling image {:?}", container.image),
                "kubelet",
            );
            1200 + self.rng.below(2600) as i64
        };
        container.phase = ContainerPhase::Pulling {
            failures: 0,
            done: self.now + SignedDuration::from_millis(millis),
        };
    }

    fn end_pull(&mut self, pod: &Object, container: &ContainerRuntime) {
        let node = pod.at("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        let message = if self.pulled_images.insert((node.into(), container.image.clone())) {
            format!("Successfully pulled image {:?}", container.image)
        } else {
            format!("Container image {:?} already present on machine", container.image)
        };
        self.record_event(pod, "Normal", "Pulled", &message, "kubelet");
    }

    fn fail_pull(&mut self, pod: &Object, container: &mut ContainerRuntime, failures: u32) {
        let image = &container.image;
        let message = format!(
            "Failed to pull image {image:?}: rpc error: code = NotFound desc = failed to pull and unpack image {image:?}: failed to resolve reference {image:?}: {image}: not found"
        );
        self.record_event(pod, "Warning", "Failed", &message, "kubelet");
        self.record_event(pod, "Warning", "Failed", "Error: ErrImagePull", "kubelet");
        let back_off_at = self.now + SignedDuration::from_secs(2);
        container.phase = ContainerPhase::PullFailed {
            failures,
            back_off_at,
            is_backing_off: false,
            retry: self.now + back_off_delay(failures),
        };
    }

    fn start_container(&mut self, pod: &Object, ip: &str, container: &mut ContainerRuntime) {
        let now = self.now;
        let spec =
            Container::named(pod, &container.name).expect("a stepped container is in its pod spec");
        let env = match self.environment(pod, &spec) {
            Ok(env) => env,
            Err(message) => {
                self.record_event(
                    pod,
                    "Warning",
                    "Failed",
                    &format!("Error: {message}"),
                    "kubelet",
                );
                container.phase =
                    ContainerPhase::ConfigError { message, retry: now + CONFIG_RETRY };
                return;
            }
        };
        let behaviour = self.images.get(&container.image).cloned().expect("a pulled image exists");
        let startup = behaviour.startup.as_secs_f64() * (0.85 + 0.3 * self.rng.uniform01());
        let listening = now + SignedDuration::from_millis((startup * 1000.0) as i64);
        self.record_event(
            pod,
            "Normal",
            "Created",
            &format!("Created container: {}", container.name),
            "kubelet",
        );
        self.record_event(
            pod,
            "Normal",
            "Started",
            &format!("Started container {}", container.name),
            "kubelet",
        );
        let mut running = RunningContainer::planned(Arc::clone(&behaviour), now, listening);
        let mut ends: Vec<(Timestamp, ExitCause)> = Vec::new();
        let namespace = pod.namespace().unwrap_or_default();
        let is_service =
            |name: &str| self.objects.get(&Key::new("Service", namespace, name)).is_some();
        if let Some(message) = behaviour.env_error(&env, is_service) {
            ends.push((
                now + SignedDuration::from_millis((startup * 400.0) as i64 + 300),
                ExitCause::Crash(message),
            ));
        }
        if let Some(at) =
            spec.limit("memory").and_then(|limit| running.out_of_memory_at(limit.value()))
        {
            ends.push((at, ExitCause::OutOfMemory));
        }
        if let Some(probe) = spec.readiness_probe() {
            let first = first_pass(&probe, now, listening);
            match failure(&probe, &spec, &behaviour, ip) {
                None => running.ready_at = Some(first),
                Some(detail) => {
                    running.ready_at = None;
                    let period = SignedDuration::from_secs(i64::from(probe.period_seconds.max(1)));
                    running.failing_probe = Some(FailingProbe::new(
                        format!("Readiness probe failed: {detail}"),
                        first,
                        period,
                    ));
                }
            }
        }
        if let Some(probe) = spec.liveness_probe()
            && let Some(detail) = failure(&probe, &spec, &behaviour, ip)
        {
            let delay = probe.initial_delay_seconds
                + probe.period_seconds.max(1) * probe.failure_threshold.max(1);
            let at = now + SignedDuration::from_secs(i64::from(delay));
            ends.push((at, ExitCause::Liveness(format!("Liveness probe failed: {detail}"))));
        }
        running.end = ends.into_iter().min_by_key(|(at, _)| *at);
        container.has_started = true;
        container.phase = ContainerPhase::Running(running);
    }

    /// Advances a running container: startup logs, readiness, Events of a failing probe.
    fn step_running(
        &mut self,
        pod: &Object,
        container: &mut ContainerRuntime,
        mut running: RunningContainer,
    ) -> Option<Timestamp> {
        let now = self.now;
        let mut due: Vec<Timestamp> = running.end.iter().map(|(at, _)| *at).collect();
        if !running.startup_logged {
            if now >= running.listening {
                running.startup_logged = true;
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
        if let Some(probe) = &mut running.failing_probe {
            if let Some(times) = probe.take_failures(now) {
                self.record_event_times(
                    pod,
                    "Warning",
                    "Unhealthy",
                    &probe.message,
                    "kubelet",
                    times,
                );
            }
            due.push(probe.next);
        }
        container.phase = ContainerPhase::Running(running);
        due.into_iter().min()
    }

    fn end_container(
        &mut self,
        pod: &Object,
        container: &mut ContainerRuntime,
        running: &RunningContainer,
        exit: &ExitCause,
    ) {
        let now = self.now;
        let (reason, exit_code, message) = match exit {
            ExitCause::Crash(line) => {
                container.log(now, line);
                ("Error", 1, line.clone())
            }
            ExitCause::OutOfMemory => ("OOMKilled", 137, String::new()),
            ExitCause::Liveness(message) => {
                self.record_event(pod, "Warning", "Unhealthy", message, "kubelet");
                let killing = format!(
                    "Container {} failed liveness probe, will be restarted",
                    container.name
                );
                self.record_event(pod, "Normal", "Killing", &killing, "kubelet");
                ("Error", 137, String::new())
            }
        };
        let ran_long = now.duration_since(running.started) >= SignedDuration::from_mins(10);
        container.crashes = if ran_long { 1 } else { container.crashes + 1 };
        container.last_terminated = Some(TerminatedContainer {
            reason,
            exit_code,
            message,
            started: running.started,
            finished: now,
        });
        let pause = back_off_delay(container.crashes);
        container.phase = ContainerPhase::BackOff { until: now + pause, pause };
        let message = format!(
            "Back-off restarting failed container {} in pod {}",
            container.name,
            pod.name()
        );
        self.record_event(pod, "Warning", "BackOff", &message, "kubelet");
    }
}
