//! Whether incidents were shared out as an experiment says (sample ratio mismatch), at any time.
//!
//! # Source
//! Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022: the Bayes factor of a
//! Dirichlet prior around the intended shares against the shares themselves is a martingale where they are true.

/// Pseudo-counts of the prior: how near to the intended shares a mismatch is expected to lie.
const CONCENTRATION: f64 = 100.0;

/// A p-value that may be read after every exposure: small where the counts do not fit the shares.
///
/// `counts` and `shares` go together, one of each variant; shares are above 0 and sum to 1.
pub fn mismatch_p_value(counts: &[u64], shares: &[f64]) -> f64 {
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let mut log_factor = libm::lgamma(CONCENTRATION) - libm::lgamma(CONCENTRATION + total);
    for (count, share) in counts.iter().zip(shares) {
        let count = *count as f64;
        let prior = CONCENTRATION * share;
        log_factor += libm::lgamma(prior + count) - libm::lgamma(prior) - count * libm::log(*share);
    }
    libm::exp(-log_factor).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflow::seed::unit;

    fn alarmed(streams: usize, length: usize, truth: f64) -> usize {
        (0..streams)
            .filter(|stream| {
                let mut counts = [0, 0];
                (0..length).any(|i| {
                    let draw = unit("shares", &format!("{truth}/{stream}/{i}"));
                    counts[usize::from(draw >= truth)] += 1;
                    mismatch_p_value(&counts, &[0.5, 0.5]) < 0.01
                })
            })
            .count()
    }

    #[test]
    fn fair_shares_raise_no_alarm_however_often_one_looks() {
        assert!(alarmed(200, 500, 0.5) <= 4);
    }

    #[test]
    fn a_lost_tenth_of_one_variant_is_noticed() {
        assert_eq!(alarmed(10, 4000, 0.43), 10);
    }

    #[test]
    fn nothing_seen_is_no_mismatch() {
        assert_eq!(mismatch_p_value(&[0, 0], &[0.3, 0.7]), 1.0);
        assert!(mismatch_p_value(&[200, 0], &[0.5, 0.5]) < 1e-6);
    }
}
