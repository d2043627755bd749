//! Confidence intervals for a probability.

use workflow::Estimate;

/// 95th percentile of the standard normal distribution: half-width of a two-sided 90 % interval, in standard
/// deviations.
pub(crate) const Z90: f64 = 1.644_853_626_951_472_2;

/// Returns `p` with its 90 % Wilson score interval after `n` effective outcomes, including the prior's pseudo-outcomes.
///
/// The interval is within [0, 1], contains `p`, and shrinks as 1/√n.
///
/// # Source
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927; its good coverage
/// for small n: Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical Science 2001.
pub fn wilson(p: f64, n: f64) -> Estimate {
    wilson_at(p, n, Z90)
}

/// Like [`wilson`], with a half-width of `z` standard deviations: 1.96 for 95 %.
pub fn wilson_at(p: f64, n: f64, z: f64) -> Estimate {
    let p = p.clamp(0.0, 1.0);
    let n = n.max(1e-9);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    // At p = 0 and p = 1 one end of the interval equals p, except for rounding errors.
    Estimate {
        estimate: p,
        low: (centre - half).clamp(0.0, p),
        high: (centre + half).clamp(p, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wilson_matches_textbook_interval_for_eight_of_ten() {
        let interval = wilson(0.8, 10.0);
        assert!((interval.low - 0.541_3).abs() < 1e-3, "{interval:?}");
        assert!((interval.high - 0.931_4).abs() < 1e-3, "{interval:?}");
    }

    proptest! {
        #[test]
        fn wilson_contains_estimate_and_shrinks_with_data(p in 0.0..=1.0f64, n in 0.0..1e6f64) {
            let narrow = wilson(p, n + 1.0);
            let wide = wilson(p, n / 2.0 + 0.5);
            prop_assert!(0.0 <= narrow.low && narrow.low <= p && p <= narrow.high && narrow.high <= 1.0);
            prop_assert!(narrow.high - narrow.low < wide.high - wide.low);
        }
    }
}
