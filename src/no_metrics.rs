//! A metrics source without data: a missing value is unknown, never zero.

use async_trait::async_trait;
use cluster::{MetricQuery, Metrics, ReadFailure, Sample};

/// A metrics source that returns no samples. A condition on a metric is then unknown, and evidence contains objects
/// only.
pub(crate) struct NoMetrics;

#[async_trait]
impl Metrics for NoMetrics {
    async fn query(&self, _query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure> {
        Ok(Vec::new())
    }
}
