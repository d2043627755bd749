//! Time settings of the engine: seconds, or `90s`, `5m`, `1h30m`.

use engine::Settings;
use workflow::duration::Duration;

/// Time settings of the engine.
#[derive(clap::Args)]
#[command(next_help_heading = "Time settings (seconds, or 90s, 5m, 1h)")]
pub(crate) struct Timing {
    /// Maximum time from the end of a run, or from a decision to do nothing, until the outcome is judged: 1s to 24h.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = |text: &str| parse_duration(text, 1, DAY))]
    observe_for: Duration,
    /// Time without a firing alert after which the outcome is judged earlier: 1s to 1h.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = |text: &str| parse_duration(text, 1, HOUR))]
    quiet_period: Duration,
    /// Time after the outcome during which a recurrence counts against the plan: 1s to 24h.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = |text: &str| parse_duration(text, 1, DAY))]
    recurrence_window: Duration,
    /// Time that a workload must be healthy and unchanged before its state is recorded as known-good: 1s to 24h.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = |text: &str| parse_duration(text, 1, DAY))]
    known_good_after: Duration,
    /// Interval of the health scan, 1s to 1h. Default: the smaller of 1m and --known-good-after.
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| parse_duration(text, 1, HOUR))]
    scan_interval: Option<Duration>,
    /// Delay between the opening of an incident and the gathering of evidence, so that related alerts can arrive: 0 to
    /// 10m.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = |text: &str| parse_duration(text, 0, 600))]
    evidence_delay: Duration,
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

impl Timing {
    /// Returns the settings of the engine.
    pub(crate) fn settings(&self) -> Settings {
        let default_interval = self.known_good_after.min(Duration::from_secs(60));
        Settings {
            observation_timeout: self.observe_for,
            quiet_period: self.quiet_period,
            recurrence_window: self.recurrence_window,
            known_good_after: self.known_good_after,
            scan_interval: self.scan_interval.unwrap_or(default_interval),
            evidence_delay: self.evidence_delay,
        }
    }
}

/// Parses a duration from `min` to `max` seconds.
fn parse_duration(text: &str, min: u64, max: u64) -> Result<Duration, String> {
    let parsed = match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Duration::parse(text).map_err(|error| error.to_string()),
    }?;
    let (min, max) = (Duration::from_secs(min), Duration::from_secs(max));
    if (min..=max).contains(&parsed) {
        Ok(parsed)
    } else {
        Err(format!("use a duration from {min} to {max}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_flag_accepts_seconds_or_units_within_its_range() {
        assert_eq!(parse_duration("15", 1, HOUR), Ok(Duration::from_secs(15)));
        assert_eq!(parse_duration("1m30s", 1, HOUR), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0", 0, 600), Ok(Duration::ZERO));
        for bad in ["0", "2h", "-1", "soon", "99999999999999999999"] {
            assert!(parse_duration(bad, 1, HOUR).is_err(), "{bad}");
        }
        assert_eq!(parse_duration("2h", 1, HOUR).unwrap_err(), "use a duration from 1s to 1h");
    }
}
