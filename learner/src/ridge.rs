//! Ridge regression from sufficient statistics, updated one outcome at a time.
//!
//! # Source
//! Statistics and widths: Abbasi-Yadkori, Pál and Szepesvári, "Improved algorithms for linear stochastic bandits",
//! NIPS 2011. Discount: Russac, Vernade and Cappé, "Weighted linear bandits for non-stationary environments",
//! NeurIPS 2019. Rank-one update of a Cholesky factor: Gill, Golub, Murray and Saunders, "Methods for modifying matrix
//! factorizations", Mathematics of Computation 1974.

use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// Number of updates after which the factor is recomputed from the Gram matrix. This bounds rounding errors and, under
/// a discount, restores the penalty that was discounted together with the factor.
const REFRESH: u64 = 512;

/// `A = penalty I + Σ w x xᵀ` and `b = Σ w y x`, with the Cholesky factor of `A` and the weights `A⁻¹ b`.
///
/// Matrices are stored by rows. Only the upper triangle is used; the lower one stays 0.
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
    /// Number of outcomes that were added, used as the clock of the discount.
    updates: u64,
}

/// Statistics that cannot be merged, or an outcome that cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The models have different features or settings.
    #[error("the models differ in their {what}: retrain one of them with the {what} of the other")]
    Different { what: &'static str },
    /// With a discount the result depends on the order of outcomes.
    #[error(
        "models with a discount below 1 cannot be merged, because the order of their outcomes matters"
    )]
    Discounted,
    /// The outcome to remove was never added.
    #[error("the outcome to remove was never added; the model is unchanged")]
    UnknownOutcome,
}

impl Ridge {
    /// Creates statistics without outcomes.
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
        debug_assert!(is_positive, "a penalty above 0 makes the matrix positive definite");
        ridge
    }

    /// Returns the number of outcomes that were added.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Returns the regression weights `A⁻¹ b`.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Returns the predicted mean at `x`, `weights · x`.
    pub fn mean(&self, x: &[f64]) -> f64 {
        dot(&self.weights, x)
    }

    /// Returns the effective number of observations at `x`: `1 / xᵀA⁻¹x` less the contribution of the penalty.
    ///
    /// By the Sherman-Morrison formula an outcome at `x` raises it by exactly its weight, and an outcome orthogonal to
    /// `x` does not change it.
    pub fn observations(&self, x: &[f64]) -> f64 {
        let square = dot(x, x);
        if square <= 0.0 {
            return 0.0;
        }
        let y = self.forward(x);
        let leverage = dot(&y, &y);
        (1.0 / leverage - self.penalty / square).max(0.0)
    }

    /// Discounts the older outcomes, then adds one outcome `y` at `x` with a weight above 0.
    pub fn add(&mut self, x: &[f64], y: f64, weight: f64) {
        debug_assert_eq!(x.len(), self.dimension, "features were checked against the schema");
        self.apply_discount();
        self.add_to_gram(x, weight);
        for (sum, value) in self.moment.iter_mut().zip(x) {
            *sum += weight * y * value;
        }
        self.updates += 1;
        let is_due = self.updates.is_multiple_of(REFRESH);
        if !is_due || !self.refresh() {
            self.update_factor(x, weight);
        }
        self.solve();
    }

    /// Changes the value of an outcome that was added at `x` before by `change`.
    ///
    /// The result is exact, because the matrix does not depend on outcome values. `clock` is the value of
    /// [`updates`](Self::updates) right after the outcome was added.
    pub fn correct(&mut self, x: &[f64], change: f64, weight: f64, clock: u64) {
        let discounted = weight * decay(self.discount, self.updates.saturating_sub(clock));
        for (sum, value) in self.moment.iter_mut().zip(x) {
            *sum += discounted * change * value;
        }
        self.solve();
    }

    /// Adds the outcomes of `other`.
    ///
    /// # Errors
    /// [`MergeError`] if the dimensions or penalties differ, or if either has a discount below 1.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.dimension != other.dimension {
            return Err(MergeError::Different { what: "number of features" });
        }
        if self.penalty.to_bits() != other.penalty.to_bits() {
            return Err(MergeError::Different { what: "ridge penalty" });
        }
        if self.discount < 1.0 || other.discount < 1.0 {
            return Err(MergeError::Discounted);
        }
        add_all(&mut self.gram, &other.gram);
        add_all(&mut self.moment, &other.moment);
        self.updates += other.updates;
        let is_positive = self.refresh();
        debug_assert!(
            is_positive,
            "the sum of two positive definite matrices is positive definite"
        );
        self.solve();
        Ok(())
    }

    /// Removes one outcome, as if it had never been added.
    ///
    /// # Errors
    /// [`MergeError`] if the discount is below 1, or if the outcome was never added.
    pub fn forget(&mut self, x: &[f64], y: f64, weight: f64) -> Result<(), MergeError> {
        if self.discount < 1.0 {
            return Err(MergeError::Discounted);
        }
        let before = self.gram.clone();
        self.add_to_gram(x, -weight);
        if self.updates == 0 || !self.refresh() {
            self.gram = before;
            return Err(MergeError::UnknownOutcome);
        }
        for (sum, value) in self.moment.iter_mut().zip(x) {
            *sum -= weight * y * value;
        }
        self.updates -= 1;
        self.solve();
        Ok(())
    }

    /// Returns whether every number is finite and every length is right. Checked before a snapshot is used.
    pub(crate) fn is_valid(&self, dimension: usize) -> bool {
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

    fn apply_discount(&mut self) {
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
            let row = row.as_slice_mut().expect("rows are contiguous");
            for (sum, value) in row[k..].iter_mut().zip(&x[k..]) {
                *sum += scaled * value;
            }
        }
    }

    /// Updates the factor of `A` to that of `A + weight x xᵀ`, row by row.
    fn update_factor(&mut self, x: &[f64], weight: f64) {
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
            let row = row.as_slice_mut().expect("rows are contiguous");
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

    /// Recomputes the factor from the Gram matrix. Returns false, and changes nothing, if the matrix is not positive
    /// definite.
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
            // Outcomes that were really added leave a pivot of at least the penalty, except for rounding errors.
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

    /// Solves Uᵀy = x by columns, two at a time. The updates of `y` are independent of each other, and `y` is traversed
    /// half as often.
    fn forward(&self, x: &[f64]) -> Vec<f64> {
        let d = self.dimension;
        let factor = ArrayView2::from_shape((d, d), &self.factor).expect("the factor is square");
        let row = |k: usize| factor.row(k).to_slice().expect("rows are contiguous");
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

    /// Solves `A weights = b` with the factor.
    fn solve(&mut self) {
        let d = self.dimension;
        let mut weights = self.forward(&self.moment);
        let factor = ArrayView2::from_shape((d, d), &self.factor).expect("the factor is square");
        for (k, row) in factor.rows().into_iter().enumerate().rev() {
            let row = row.to_slice().expect("rows are contiguous");
            weights[k] = (weights[k] - dot(&row[k + 1..], &weights[k + 1..])) / row[k];
        }
        self.weights = weights;
    }
}

/// Returns `discount` to the power of `times`.
pub(crate) fn decay(discount: f64, times: u64) -> f64 {
    if discount < 1.0 { libm::pow(discount, times as f64) } else { 1.0 }
}

/// Returns the dot product, computed in four independent sums of fixed order: fast, and the same bits on every
/// platform.
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

/// Adds `more` to `sums`, element by element.
pub(crate) fn add_all(sums: &mut [f64], more: &[f64]) {
    for (sum, value) in sums.iter_mut().zip(more) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests;
