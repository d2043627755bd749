//! Forwards the alerts of a simulated world to an Alertmanager, like Prometheus.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use simulator::{FiringAlert, World};

/// Interval at which firing alerts are sent again.
const POST_INTERVAL: Duration = Duration::from_secs(5);

/// Converts simulated time to the clock of the machine, which the Alertmanager uses even if simulated time runs ahead.
#[derive(Clone, Copy)]
pub(crate) struct WorldClock {
    /// Simulated time at the start.
    pub(crate) world: Timestamp,
    /// Machine time at the start.
    pub(crate) machine: Timestamp,
    /// Simulated seconds per second, above 0.
    pub(crate) speed: f64,
}

impl WorldClock {
    /// Converts a simulated time to machine time. The same time always gives the same result.
    fn to_machine_time(self, at: Timestamp) -> Timestamp {
        let since = at.duration_since(self.world).as_secs_f64() / self.speed;
        self.machine + SignedDuration::from_secs_f64(since)
    }

    /// Converts the times of an alert, where `now` is the simulated time and `machine` the machine time.
    fn convert(&self, alert: FiringAlert, now: Timestamp, machine: Timestamp) -> FiringAlert {
        let ends_at = if alert.ends_at > now {
            // A firing alert: `ends_at` is only a timeout for the next post, so its distance from now is kept in
            // machine time.
            machine + alert.ends_at.duration_since(now)
        } else {
            self.to_machine_time(alert.ends_at)
        };
        FiringAlert { starts_at: self.to_machine_time(alert.starts_at), ends_at, ..alert }
    }
}

/// Returns the URL to which alerts are posted; query and fragment of `base` are removed.
pub(crate) fn alerts_url(base: &reqwest::Url) -> reqwest::Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/api/v2/alerts", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Posts firing alerts periodically, like Prometheus. A resolved alert is posted with its `endsAt` in the past.
pub(crate) async fn post(world: Arc<Mutex<World>>, clock: WorldClock, url: reqwest::Url) {
    let client = reqwest::Client::builder()
        .timeout(POST_INTERVAL)
        .build()
        .expect("the client has no invalid settings");
    // A faster world changes its alerts more often.
    let mut interval = tokio::time::interval(POST_INTERVAL.div_f64(clock.speed.clamp(1.0, 10.0)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let (alerts, now) = {
            let world = World::lock(&world);
            (world.firing_alerts(), world.now())
        };
        if alerts.is_empty() {
            continue;
        }
        let machine = Timestamp::now();
        let alerts: Vec<FiringAlert> =
            alerts.into_iter().map(|alert| clock.convert(alert, now, machine)).collect();
        let posted = client
            .post(url.clone())
            .json(&alerts)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        match posted {
            Ok(_) => tracing::debug!(alerts = alerts.len(), "alerts posted"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                %url,
                "cannot post alerts; retrying"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn alert(starts_at: &str, ends_at: &str) -> FiringAlert {
        FiringAlert {
            labels: [("alertname".into(), "A".into())].into(),
            annotations: Default::default(),
            starts_at: at(starts_at),
            ends_at: at(ends_at),
            generator_url: String::new(),
        }
    }

    fn clock(speed: f64) -> WorldClock {
        WorldClock { world: at("2026-01-01T00:00:00Z"), machine: at("2026-01-01T00:00:00Z"), speed }
    }

    #[test]
    fn ended_alert_of_a_faster_world_has_ended_in_machine_time() {
        // Ten minutes of the world are one minute of the machine.
        let (now, machine) = (at("2026-01-01T00:10:00Z"), at("2026-01-01T00:01:00Z"));
        let ended = alert("2026-01-01T00:05:00Z", "2026-01-01T00:09:30Z");
        let converted = clock(10.0).convert(ended, now, machine);
        assert_eq!(
            (converted.starts_at, converted.ends_at),
            (at("2026-01-01T00:00:30Z"), at("2026-01-01T00:00:57Z"))
        );
        let firing = alert("2026-01-01T00:05:00Z", "2026-01-01T00:14:00Z");
        let converted = clock(10.0).convert(firing, now, machine);
        assert_eq!(converted.starts_at, at("2026-01-01T00:00:30Z"), "the same time for every post");
        assert_eq!(converted.ends_at, at("2026-01-01T00:05:00Z"), "the timeout is unchanged");
    }

    #[test]
    fn alerts_url_keeps_the_path_and_drops_the_query() {
        for (base, expected) in [
            ("http://host:9093", "http://host:9093/api/v2/alerts"),
            ("http://host/am/?x=1#y", "http://host/am/api/v2/alerts"),
        ] {
            let base = reqwest::Url::parse(base).unwrap();
            assert_eq!(alerts_url(&base).as_str(), expected);
        }
    }

    #[test]
    fn times_are_unchanged_at_real_time_speed() {
        let now = at("2026-01-01T00:10:00Z");
        let ended = alert("2026-01-01T00:05:00Z", "2026-01-01T00:09:30Z");
        assert_eq!(clock(1.0).convert(ended.clone(), now, now), ended);
    }
}
