use cluster::{Container, Probe, ProbeCheck};
use jiff::{SignedDuration, Timestamp};

use crate::behaviour::Behaviour;

/// Returns when a probe reaches its success threshold, if it passes as soon as the program listens.
pub(super) fn first_pass(probe: &Probe<'_>, started: Timestamp, listening: Timestamp) -> Timestamp {
    let period = SignedDuration::from_secs(i64::from(probe.period_seconds.max(1)));
    let mut at = started + SignedDuration::from_secs(i64::from(probe.initial_delay_seconds));
    while at < listening {
        at += period;
    }
    at + period * i32::try_from(probe.success_threshold.saturating_sub(1)).unwrap_or(0)
}

/// Returns why a probe always fails, or `None` if it passes as soon as the program listens.
pub(super) fn failure(
    probe: &Probe<'_>,
    container: &Container<'_>,
    behaviour: &Behaviour,
    ip: &str,
) -> Option<String> {
    let refused = |port: u16| format!("dial tcp {ip}:{port}: connect: connection refused");
    let port = probe.port().and_then(|port| port.number_in(container));
    match (probe.check, port) {
        (ProbeCheck::Exec | ProbeCheck::Other, _) => None,
        (ProbeCheck::HttpGet { .. } | ProbeCheck::TcpSocket { .. }, None) => {
            Some("couldn't find the port by its name".into())
        }
        (ProbeCheck::HttpGet { path, .. }, Some(port)) if behaviour.listens_on(port) => {
            (!behaviour.serves(port, path)).then(|| "HTTP probe failed with statuscode: 404".into())
        }
        (ProbeCheck::HttpGet { path, .. }, Some(port)) => {
            Some(format!("Get \"http://{ip}:{port}{path}\": {}", refused(port)))
        }
        (ProbeCheck::TcpSocket { .. }, Some(port)) => {
            (!behaviour.listens_on(port)).then(|| refused(port))
        }
    }
}
