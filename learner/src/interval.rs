//! Intervals for a probability.

use workflow::Estimate;

/// 95th percentile of the standard normal: five in a hundred lie beyond it on each side of a 90 % interval.
pub(crate) const Z90: f64 = 1.644_853_626_951_472_2;

/// A probability with its 90 % interval, after `n` effective outcomes (pseudo-outcomes of the prior among them).
///
/// Closed form, always within [0, 1], always around `p`, and it shrinks as 1/√n.
///
/// # Source
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927; its good coverage
/// for small n: Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statistical Science 2001.
pub fn wilson(p: f64, n: f64) -> Estimate {
    wilson_at(p, n, Z90)
}

/// As [`wilson`], with the interval that `z` standard deviations give: 1.96 for 95 %.
pub fn wilson_at(p: f64, n: f64, z: f64) -> Estimate {
    let p = p.clamp(0.0, 1.0);
    let n = n.max(1e-9);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    // At p = 0 and p = 1 one end equals p but for rounding.
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
    fn the_interval_of_eight_in_ten_is_that_of_the_textbook() {
        let interval = wilson(0.8, 10.0);
        assert!((interval.low - 0.541_3).abs() < 1e-3, "{interval:?}");
        assert!((interval.high - 0.931_4).abs() < 1e-3, "{interval:?}");
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_estimate_and_shrinks_with_data(p in 0.0..=1.0f64, n in 0.0..1e6f64) {
            let narrow = wilson(p, n + 1.0);
            let wide = wilson(p, n / 2.0 + 0.5);
            prop_assert!(0.0 <= narrow.low && narrow.low <= p && p <= narrow.high && narrow.high <= 1.0);
            prop_assert!(narrow.high - narrow.low < wide.high - wide.low);
        }
    }
}
