//! No metrics: what is not measured is absent, never zero.

use async_trait::async_trait;
use cluster::{MetricQuery, Metrics, ReadFailure, Sample};

/// A source of metrics where there is none. Nothing is known of any series, so nothing is said to be well by it: a
/// condition on a metric is unknown, and evidence speaks of objects alone.
pub(crate) struct Unmeasured;

#[async_trait]
impl Metrics for Unmeasured {
    async fn query(&self, _query: &MetricQuery) -> Result<Vec<Sample>, ReadFailure> {
        Ok(Vec::new())
    }
}
