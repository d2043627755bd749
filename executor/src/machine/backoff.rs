//! Backoff of retries, condition polls and failed reads.

use jiff::SignedDuration;
use workflow::duration::Duration;
use workflow::manifest::{Retry, RetryStrategy};
use workflow::seed;

/// Returns the delay before attempt `attempt + 1` of the step with this key.
///
/// The fraction `jitter` of the delay is random, seeded by the key, so that a replay computes the same delay.
pub(super) fn delay(retry: &Retry, key: &str, attempt: u32) -> SignedDuration {
    let (initial, cap) = (retry.initial.as_secs_f64(), retry.cap.as_secs_f64());
    let mut seconds = initial;
    if retry.strategy == RetryStrategy::Exponential {
        for _ in 1..attempt.min(40) {
            seconds = (seconds * 2.0).min(cap);
        }
    }
    let seconds = seconds.min(cap).max(0.0);
    let jitter = retry.jitter.clamp(0.0, 1.0);
    let random = seed::uniform01("retry", &format!("{key}/{attempt}"));
    milliseconds(seconds * (1.0 - jitter) + seconds * jitter * random)
}

/// Returns the delay before the next evaluation of a condition that was evaluated `polls` times: 2, 4, 8, then 10 s.
pub(super) fn poll(polls: u32) -> SignedDuration {
    SignedDuration::from_secs(match polls {
        0 | 1 => 2,
        2 => 4,
        3 => 8,
        _ => 10,
    })
}

/// Returns the delay after the given number of consecutive failed reads: 2 s doubling to 30 s, with 25 % jitter.
pub(super) fn outage(key: &str, failures: u32) -> SignedDuration {
    let retry = Retry {
        strategy: RetryStrategy::Exponential,
        attempts: u32::MAX,
        initial: Duration::from_secs(2),
        cap: Duration::from_secs(30),
        jitter: 0.25,
        on: Vec::new(),
    };
    delay(&retry, key, failures)
}

/// Returns the delay after the given number of failed compensation attempts.
pub(super) fn undo(key: &str, failures: u32) -> SignedDuration {
    outage(key, failures + 1)
}

fn milliseconds(seconds: f64) -> SignedDuration {
    // The manifest format limits it to 30 days, so it fits.
    SignedDuration::from_millis((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_up_to_cap_and_jitter_is_bounded() {
        let retry = Retry { jitter: 0.2, ..Retry::default() };
        for (attempt, full) in [(1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (5, 30.0), (9, 30.0)] {
            let seconds = delay(&retry, "k", attempt).as_secs_f64();
            assert!((full * 0.8 - 0.001..=full).contains(&seconds), "{attempt}: {seconds}");
        }
        assert_eq!(delay(&retry, "k", 2), delay(&retry, "k", 2));
        assert_ne!(delay(&retry, "k", 2), delay(&retry, "l", 2));
        let fixed = Retry { strategy: RetryStrategy::Fixed, jitter: 0.0, ..Retry::default() };
        assert_eq!(delay(&fixed, "k", 7), SignedDuration::from_secs(2));
    }
}
