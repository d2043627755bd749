//! Ridge regression by its sufficient statistics, updated one outcome at a time.
//!
//! # Source
//! Statistics and widths: Abbasi-Yadkori, Pál and Szepesvári, "Improved algorithms for linear stochastic bandits",
//! NIPS 2011. Discount: Russac, Vernade and Cappé, "Weighted linear bandits for non-stationary environments",
//! NeurIPS 2019. Rank-one update of a Cholesky factor: Gill, Golub, Murray and Saunders, "Methods for modifying matrix
//! factorizations", Mathematics of Computation 1974.

use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// After so many updates the factor is made anew from the Gram matrix, so that rounding does not pile up and, under a
/// discount, the penalty that faded with the factor is whole again.
const REFRESH: u64 = 512;

/// `A = penalty I + Σ w x xᵀ` and `b = Σ w y x`, with the Cholesky factor of `A` and the weights `A⁻¹ b` kept beside.
///
/// Matrices are stored by rows; only the upper triangle is meant, the lower stays 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ridge {
    dimension: usize,
    penalty: f64,
    discount: f64,
    /// Upper triangle of Σ w x xᵀ, without the penalty.
    gram: Vec<f64>,
    /// Σ w y x.
    moment: Vec<f64>,
    /// Upper triangular U with UᵀU = A.
    factor: Vec<f64>,
    /// A⁻¹ b.
    weights: Vec<f64>,
    /// How many outcomes were added: also the clock by which the discount is counted.
    updates: u64,
}

/// Two statistics that do not add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotMerge {
    /// They are of other features.
    #[error("the models differ in their {what}: train one of them anew under the other's")]
    Different {
        /// In what.
        what: &'static str,
    },
    /// A discount makes the order of outcomes count.
    #[error("models with a ridge discount below 1 do not add: the order of their outcomes counts")]
    Discounted,
    /// What is to be forgotten was never learned.
    #[error("what is to be forgotten was never learned: nothing was changed")]
    NeverLearned,
}

impl Ridge {
    /// Nothing seen yet.
    pub fn new(dimension: usize, penalty: f64, discount: f64) -> Self {
        let mut ridge = Self {
            dimension,
            penalty,
            discount,
            gram: vec![0.0; dimension * dimension],
            moment: vec![0.0; dimension],
            factor: vec![0.0; dimension * dimension],
            weights: vec![0.0; dimension],
            updates: 0,
        };
        let is_positive = ridge.refresh();
        debug_assert!(is_positive, "a penalty above 0 makes the matrix positive");
        ridge
    }

    /// How many outcomes were added.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The weights.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `weights · x`.
    pub fn mean(&self, x: &[f64]) -> f64 {
        dot(&self.weights, x)
    }

    /// How many outcomes at `x` itself all that was seen is worth: `1 / xᵀA⁻¹x` less what the penalty alone gives.
    ///
    /// By the Sherman-Morrison formula an outcome at `x` raises it by exactly its weight, and outcomes at right angles
    /// to `x` by nothing.
    pub fn observations(&self, x: &[f64]) -> f64 {
        let square = dot(x, x);
        if square <= 0.0 {
            return 0.0;
        }
        let y = self.forward(x);
        let leverage = dot(&y, &y);
        (1.0 / leverage - self.penalty / square).max(0.0)
    }

    /// Adds one outcome `y` at `x` with a weight above 0; older ones fade first.
    pub fn add(&mut self, x: &[f64], y: f64, weight: f64) {
        debug_assert_eq!(x.len(), self.dimension, "features were checked against the schema");
        self.fade();
        self.add_to_gram(x, weight);
        for (sum, value) in self.moment.iter_mut().zip(x) {
            *sum += weight * y * value;
        }
        self.updates += 1;
        let is_due = self.updates.is_multiple_of(REFRESH);
        if !is_due || !self.refresh() {
            self.raise_factor(x, weight);
        }
        self.solve();
    }

    /// Changes the outcome of an earlier addition at `x` by `change`, exactly: the matrix does not depend on outcomes.
    ///
    /// `clock` is [`updates`](Self::updates) right after that addition.
    pub fn correct(&mut self, x: &[f64], change: f64, weight: f64, clock: u64) {
        let faded = weight * faded(self.discount, self.updates.saturating_sub(clock));
        for (sum, value) in self.moment.iter_mut().zip(x) {
            *sum += faded * change * value;
        }
        self.solve();
    }

    /// Adds all that `other` has seen, as if one model had seen both.
    ///
    /// # Errors
    /// [`CannotMerge`] if dimension or penalty differ, or if either fades.
    pub fn merge(&mut self, other: &Self) -> Result<(), CannotMerge> {
        if self.dimension != other.dimension {
            return Err(CannotMerge::Different { what: "number of features" });
        }
        if self.penalty.to_bits() != other.penalty.to_bits() {
            return Err(CannotMerge::Different { what: "ridge penalty" });
        }
        if self.discount < 1.0 || other.discount < 1.0 {
            return Err(CannotMerge::Discounted);
        }
        add_all(&mut self.gram, &other.gram);
        add_all(&mut self.moment, &other.moment);
        self.updates += other.updates;
        let is_positive = self.refresh();
        debug_assert!(is_positive, "the sum of two positive matrices is positive");
        self.solve();
        Ok(())
    }

    /// Takes back one outcome, as if it had never been seen.
    ///
    /// # Errors
    /// [`CannotMerge`] if outcomes fade, or if this one was never added.
    pub fn forget(&mut self, x: &[f64], y: f64, weight: f64) -> Result<(), CannotMerge> {
        if self.discount < 1.0 {
            return Err(CannotMerge::Discounted);
        }
        let before = self.gram.clone();
        self.add_to_gram(x, -weight);
        if self.updates == 0 || !self.refresh() {
            self.gram = before;
            return Err(CannotMerge::NeverLearned);
        }
        for (sum, value) in self.moment.iter_mut().zip(x) {
            *sum -= weight * y * value;
        }
        self.updates -= 1;
        self.solve();
        Ok(())
    }

    /// Whether every number is finite and every length right: what a snapshot must be before it is believed.
    pub(crate) fn is_sound(&self, dimension: usize) -> bool {
        let d = self.dimension;
        let lengths = self.gram.len() == d * d
            && self.factor.len() == d * d
            && self.moment.len() == d
            && self.weights.len() == d;
        let all = [&self.gram, &self.factor, &self.moment, &self.weights];
        d == dimension
            && lengths
            && all.iter().all(|values| values.iter().all(|v| v.is_finite()))
            && self.penalty > 0.0
            && 0.0 < self.discount
            && self.discount <= 1.0
            && (0..d).all(|k| self.factor[k * d + k] > 0.0)
    }

    fn fade(&mut self) {
        if self.discount < 1.0 {
            let root = self.discount.sqrt();
            self.gram.iter_mut().chain(&mut self.moment).for_each(|v| *v *= self.discount);
            self.factor.iter_mut().for_each(|v| *v *= root);
        }
    }

    fn add_to_gram(&mut self, x: &[f64], weight: f64) {
        let d = self.dimension;
        let mut gram =
            ArrayViewMut2::from_shape((d, d), &mut self.gram).expect("the Gram matrix is square");
        for (k, mut row) in gram.rows_mut().into_iter().enumerate() {
            let scaled = weight * x[k];
            if scaled == 0.0 {
                continue;
            }
            let row = row.as_slice_mut().expect("rows lie in one piece");
            for (sum, value) in row[k..].iter_mut().zip(&x[k..]) {
                *sum += scaled * value;
            }
        }
    }

    /// Makes the factor of `A + weight x xᵀ` out of that of `A`, row by row.
    fn raise_factor(&mut self, x: &[f64], weight: f64) {
        let d = self.dimension;
        let root = weight.sqrt();
        let mut x: Vec<f64> = x.iter().map(|v| v * root).collect();
        let mut factor =
            ArrayViewMut2::from_shape((d, d), &mut self.factor).expect("the factor is square");
        for (k, mut row) in factor.rows_mut().into_iter().enumerate() {
            let head = x[k];
            if head == 0.0 {
                continue;
            }
            let row = row.as_slice_mut().expect("rows lie in one piece");
            let old = row[k];
            let new = (old * old + head * head).sqrt();
            let (cosine, sine) = (new / old, head / old);
            let shrink = 1.0 / cosine;
            row[k] = new;
            for (value, rest) in row[k + 1..].iter_mut().zip(&mut x[k + 1..]) {
                let raised = (*value + sine * *rest) * shrink;
                *rest = cosine * *rest - sine * raised;
                *value = raised;
            }
        }
    }

    /// Makes the factor anew from the Gram matrix. False, and nothing changed, if that is not positive.
    fn refresh(&mut self) -> bool {
        let d = self.dimension;
        let mut fresh = self.gram.clone();
        let mut factor =
            ArrayViewMut2::from_shape((d, d), &mut fresh).expect("the Gram matrix is square");
        for k in 0..d {
            factor[[k, k]] += self.penalty;
        }
        for k in 0..d {
            let pivot = factor[[k, k]];
            // Whatever was truly added leaves at least the penalty, but for rounding.
            if pivot.is_nan() || pivot < self.penalty * 0.5 {
                return false;
            }
            let root = pivot.sqrt();
            let mut lead = vec![0.0; d - k];
            for (i, value) in factor.row_mut(k).iter_mut().skip(k).enumerate() {
                *value = if i == 0 { root } else { *value / root };
                lead[i] = *value;
            }
            for i in k + 1..d {
                let scale = lead[i - k];
                for (value, other) in factor.row_mut(i).iter_mut().skip(i).zip(&lead[i - k..]) {
                    *value -= scale * other;
                }
            }
        }
        self.factor = fresh;
        true
    }

    /// Solves Uᵀy = x by columns, two at a time: no sum waits for the one before it, and `y` is walked half as often.
    fn forward(&self, x: &[f64]) -> Vec<f64> {
        let d = self.dimension;
        let factor = ArrayView2::from_shape((d, d), &self.factor).expect("the factor is square");
        let row = |k: usize| factor.row(k).to_slice().expect("rows lie in one piece");
        let mut y = x.to_vec();
        for k in (1..d).step_by(2) {
            let (upper, lower) = (row(k - 1), row(k));
            let first = y[k - 1] / upper[k - 1];
            let second = (y[k] - upper[k] * first) / lower[k];
            (y[k - 1], y[k]) = (first, second);
            for ((left, a), b) in y[k + 1..].iter_mut().zip(&upper[k + 1..]).zip(&lower[k + 1..]) {
                *left -= a * first + b * second;
            }
        }
        if d % 2 == 1 {
            y[d - 1] /= row(d - 1)[d - 1];
        }
        y
    }

    /// Solves A weights = b by the factor.
    fn solve(&mut self) {
        let d = self.dimension;
        let mut weights = self.forward(&self.moment);
        let factor = ArrayView2::from_shape((d, d), &self.factor).expect("the factor is square");
        for (k, row) in factor.rows().into_iter().enumerate().rev() {
            let row = row.to_slice().expect("rows lie in one piece");
            weights[k] = (weights[k] - dot(&row[k + 1..], &weights[k + 1..])) / row[k];
        }
        self.weights = weights;
    }
}

/// `discount` to the power of `times`.
pub(crate) fn faded(discount: f64, times: u64) -> f64 {
    if discount < 1.0 { libm::pow(discount, times as f64) } else { 1.0 }
}

/// Inner product in four sums of fixed order: the same bits everywhere, and none waits for the last.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let whole = n - n % 4;
    let mut sums = [0.0; 4];
    for (x, y) in a[..whole].chunks_exact(4).zip(b[..whole].chunks_exact(4)) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let mut rest = 0.0;
    for (x, y) in a[whole..].iter().zip(&b[whole..]) {
        rest += x * y;
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// Adds `more` to `sums`, place by place.
pub(crate) fn add_all(sums: &mut [f64], more: &[f64]) {
    for (sum, value) in sums.iter_mut().zip(more) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests;
