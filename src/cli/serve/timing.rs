//! How long the engine waits for what, as the command line says it: seconds, or `90s`, `5m`, `1h30m`.

use engine::Settings;
use workflow::duration::Span;

/// The engine's waiting times.
#[derive(clap::Args)]
#[command(next_help_heading = "Waiting times (seconds, or 90s, 5m, 1h)")]
pub(crate) struct Timing {
    /// Longest time after a run, or after a decision to do nothing, until its outcome is judged: 1s to 24h.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = |text: &str| span(text, 1, DAY))]
    hold: Span,
    /// How long the alert must have been quiet for the outcome to be judged before that: 1s to 1h.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = |text: &str| span(text, 1, HOUR))]
    quiet: Span,
    /// How long after that the trouble may come back and still count against the plan: 1s to 24h.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = |text: &str| span(text, 1, DAY))]
    recurrence: Span,
    /// How long a workload must be healthy, unchanged, before what stands around it is remembered as known-good: 1s to 24h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = |text: &str| span(text, 1, DAY))]
    healthy_for: Span,
    /// How often workloads are looked at for that, 1s to 1h; each minute, or as often as --healthy-for where that is less.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| span(text, 1, HOUR))]
    healthy_every: Option<Span>,
    /// How long evidence waits after an incident opened, so that what belongs together has time to show: 0 to 10m.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = |text: &str| span(text, 0, 600))]
    gather_after: Span,
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

impl Timing {
    /// As the engine takes them.
    pub(crate) fn settings(&self) -> Settings {
        let often = self.healthy_for.min(Span::from_secs(60));
        Settings {
            hold: self.hold,
            quiet: self.quiet,
            recurrence: self.recurrence,
            healthy_for: self.healthy_for,
            healthy_every: self.healthy_every.unwrap_or(often),
            gather_after: self.gather_after,
        }
    }
}

/// Reads a time between so many seconds.
fn span(text: &str, least: u64, most: u64) -> Result<Span, String> {
    let read = match text.parse() {
        Ok(seconds) => Ok(Span::from_secs(seconds)),
        Err(_) => Span::parse(text).map_err(|error| error.to_string()),
    }?;
    let (least, most) = (Span::from_secs(least), Span::from_secs(most));
    if (least..=most).contains(&read) {
        Ok(read)
    } else {
        Err(format!("use a time from {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_says_its_unit_and_is_held_to_its_range() {
        assert_eq!(span("15", 1, HOUR), Ok(Span::from_secs(15)));
        assert_eq!(span("1m30s", 1, HOUR), Ok(Span::from_secs(90)));
        assert_eq!(span("0", 0, 600), Ok(Span::ZERO));
        for bad in ["0", "2h", "-1", "soon", "99999999999999999999"] {
            assert!(span(bad, 1, HOUR).is_err(), "{bad}");
        }
        assert_eq!(span("2h", 1, HOUR).unwrap_err(), "use a time from 1s to 1h");
    }
}
