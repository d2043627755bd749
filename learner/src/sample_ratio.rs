//! Anytime-valid test for a sample ratio mismatch: whether incidents were assigned to variants as the experiment
//! intends.
//!
//! # Source
//! Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022: the Bayes factor of a
//! Dirichlet prior around the intended shares against the shares themselves is a martingale where they are true.

/// Total pseudo-count of the Dirichlet prior: the larger, the closer to the intended shares a mismatch is expected to
/// be.
const CONCENTRATION: f64 = 100.0;

/// Returns a p-value for the hypothesis that incidents are assigned with the probabilities `shares`.
///
/// It may be read after every exposure. `counts` and `shares` have one element per variant; shares are above 0 and sum
/// to 1.
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
    use workflow::seed::uniform01;

    fn rejected_streams(streams: usize, length: usize, truth: f64) -> usize {
        (0..streams)
            .filter(|stream| {
                let mut counts = [0, 0];
                (0..length).any(|i| {
                    let draw = uniform01("shares", &format!("{truth}/{stream}/{i}"));
                    counts[usize::from(draw >= truth)] += 1;
                    mismatch_p_value(&counts, &[0.5, 0.5]) < 0.01
                })
            })
            .count()
    }

    #[test]
    fn p_value_rarely_rejects_intended_shares_at_any_time() {
        assert!(rejected_streams(200, 500, 0.5) <= 4);
    }

    #[test]
    fn p_value_rejects_loss_of_exposures_of_one_variant() {
        assert_eq!(rejected_streams(10, 4000, 0.43), 10);
    }

    #[test]
    fn p_value_is_one_without_exposures() {
        assert_eq!(mismatch_p_value(&[0, 0], &[0.3, 0.7]), 1.0);
        assert!(mismatch_p_value(&[200, 0], &[0.5, 0.5]) < 1e-6);
    }
}
