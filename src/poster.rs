//! Posts the alerts of a simulated world into an Alertmanager, as Prometheus does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use simulator::{FiringAlert, World};

/// How often firing alerts are posted again.
const EVERY: Duration = Duration::from_secs(5);

/// The world's time as the machine's: others live by the machine's clock, also where the world runs ahead of it.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    /// The world's time when it was set going.
    pub(crate) world: Timestamp,
    /// The machine's time then.
    pub(crate) machine: Timestamp,
    /// Simulated seconds a second, above 0.
    pub(crate) speed: f64,
}

impl Clock {
    /// When something of the world happened, by the machine's clock; always the same for the same moment.
    fn tell(&self, at: Timestamp) -> Timestamp {
        let since = at.duration_since(self.world).as_secs_f64() / self.speed;
        self.machine + SignedDuration::from_secs_f64(since)
    }

    /// An alert as the machine's clock has it, where the world stands at `now` and the machine at `machine`.
    fn alert(&self, alert: FiringAlert, now: Timestamp, machine: Timestamp) -> FiringAlert {
        let ends_at = if alert.ends_at > now {
            // It fires: its end is only how long it is believed without being heard of again, and that is a span of
            // whoever posts.
            machine + alert.ends_at.duration_since(now)
        } else {
            self.tell(alert.ends_at)
        };
        FiringAlert { starts_at: self.tell(alert.starts_at), ends_at, ..alert }
    }
}

/// Where the Alertmanager at `base` takes alerts; a query or a fragment of `base` is left out.
pub(crate) fn alerts_url(base: &reqwest::Url) -> reqwest::Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/api/v2/alerts", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Posts what fires, again and again, as Prometheus does: what has ended says so by its `endsAt`.
pub(crate) async fn post(world: Arc<Mutex<World>>, clock: Clock, url: reqwest::Url) {
    let client = reqwest::Client::builder()
        .timeout(EVERY)
        .build()
        .expect("nothing of the client can be missing");
    // A world that runs faster has more to say in the same time.
    let mut every = tokio::time::interval(EVERY.div_f64(clock.speed.clamp(1.0, 10.0)));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (alerts, now) = {
            let world = world.lock().expect("a world is never left half-changed");
            (world.firing_alerts(), world.now())
        };
        if alerts.is_empty() {
            continue;
        }
        let machine = Timestamp::now();
        let alerts: Vec<FiringAlert> =
            alerts.into_iter().map(|alert| clock.alert(alert, now, machine)).collect();
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
                "alerts could not be posted; they will be again"
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

    fn clock(speed: f64) -> Clock {
        Clock { world: at("2026-01-01T00:00:00Z"), machine: at("2026-01-01T00:00:00Z"), speed }
    }

    #[test]
    fn an_end_in_a_world_ahead_of_the_clock_has_passed_by_the_clock_too() {
        // Ten minutes of the world are one minute of the machine.
        let (now, machine) = (at("2026-01-01T00:10:00Z"), at("2026-01-01T00:01:00Z"));
        let ended = alert("2026-01-01T00:05:00Z", "2026-01-01T00:09:30Z");
        let told = clock(10.0).alert(ended, now, machine);
        assert_eq!(
            (told.starts_at, told.ends_at),
            (at("2026-01-01T00:00:30Z"), at("2026-01-01T00:00:57Z"))
        );
        let firing = alert("2026-01-01T00:05:00Z", "2026-01-01T00:14:00Z");
        let told = clock(10.0).alert(firing, now, machine);
        assert_eq!(
            told.starts_at,
            at("2026-01-01T00:00:30Z"),
            "the same moment each time it is told"
        );
        assert_eq!(told.ends_at, at("2026-01-01T00:05:00Z"), "believed for as long as ever");
    }

    #[test]
    fn alerts_go_below_the_path_of_the_url_and_a_query_is_left_out() {
        for (base, expected) in [
            ("http://host:9093", "http://host:9093/api/v2/alerts"),
            ("http://host/am/?x=1#y", "http://host/am/api/v2/alerts"),
        ] {
            let base = reqwest::Url::parse(base).unwrap();
            assert_eq!(alerts_url(&base).as_str(), expected);
        }
    }

    #[test]
    fn a_world_at_the_clock_s_speed_says_its_own_times() {
        let now = at("2026-01-01T00:10:00Z");
        let ended = alert("2026-01-01T00:05:00Z", "2026-01-01T00:09:30Z");
        assert_eq!(clock(1.0).alert(ended.clone(), now, now), ended);
    }
}
