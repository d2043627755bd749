//! Pauses: how long until something is tried or looked at again.

use jiff::SignedDuration;
use workflow::duration::Span;
use workflow::manifest::{Retry, RetryStrategy};
use workflow::seed;

/// The pause before attempt `attempt + 1` of the step with this key.
///
/// The share `jitter` of it is drawn, by the key, so that a replay draws the same.
pub(super) fn pause(retry: &Retry, key: &str, attempt: u32) -> SignedDuration {
    let (initial, cap) = (retry.initial.as_secs_f64(), retry.cap.as_secs_f64());
    let mut seconds = initial;
    if retry.strategy == RetryStrategy::Exponential {
        for _ in 1..attempt.min(40) {
            seconds = (seconds * 2.0).min(cap);
        }
    }
    let seconds = seconds.min(cap).max(0.0);
    let jitter = retry.jitter.clamp(0.0, 1.0);
    let drawn = seed::unit("retry", &format!("{key}/{attempt}"));
    milliseconds(seconds * (1.0 - jitter) + seconds * jitter * drawn)
}

/// The pause before a condition that was judged `polls` times is judged again: 2, 4, 8, then 10 s.
pub(super) fn poll(polls: u32) -> SignedDuration {
    SignedDuration::from_secs(match polls {
        0 | 1 => 2,
        2 => 4,
        3 => 8,
        _ => 10,
    })
}

/// The pause after the `failed`-th read in a row that failed: 2 s doubling to 30 s, a quarter of it drawn.
pub(super) fn outage(key: &str, failed: u32) -> SignedDuration {
    let retry = Retry {
        strategy: RetryStrategy::Exponential,
        attempts: u32::MAX,
        initial: Span::from_secs(2),
        cap: Span::from_secs(30),
        jitter: 0.25,
        on: Vec::new(),
    };
    pause(&retry, key, failed)
}

/// The pause after the `failed`-th attempt to undo a step.
pub(super) fn undo(key: &str, failed: u32) -> SignedDuration {
    outage(key, failed + 1)
}

fn milliseconds(seconds: f64) -> SignedDuration {
    // At most 30 days by the format, so it fits.
    SignedDuration::from_millis((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_jitter_takes_its_share_only() {
        let retry = Retry { jitter: 0.2, ..Retry::default() };
        for (attempt, full) in [(1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (5, 30.0), (9, 30.0)] {
            let seconds = pause(&retry, "k", attempt).as_secs_f64();
            assert!((full * 0.8 - 0.001..=full).contains(&seconds), "{attempt}: {seconds}");
        }
        assert_eq!(pause(&retry, "k", 2), pause(&retry, "k", 2));
        assert_ne!(pause(&retry, "k", 2), pause(&retry, "l", 2));
        let fixed = Retry { strategy: RetryStrategy::Fixed, jitter: 0.0, ..Retry::default() };
        assert_eq!(pause(&fixed, "k", 7), SignedDuration::from_secs(2));
    }
}
