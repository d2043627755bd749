use std::collections::BTreeMap;

use crate::{MetricQuery, Metrics, Sample};

async fn samples(metrics: &dyn Metrics, query: &MetricQuery) -> Vec<Sample> {
    metrics.query(query).await.unwrap_or_else(|failure| panic!("{query:?} failed: {failure}"))
}

pub(super) async fn unknown_metric_returns_no_samples(metrics: &dyn Metrics, known: &MetricQuery) {
    let unknown = MetricQuery { metric: "contract_never_measured".into(), ..known.clone() };
    assert_eq!(samples(metrics, &unknown).await, [], "an unknown metric has no samples, not zeros");
}

pub(super) async fn samples_are_sorted_and_unique(metrics: &dyn Metrics, known: &MetricQuery) {
    let found = samples(metrics, known).await;
    assert!(found.len() >= 2, "{known:?} should return at least two series, not {}", found.len());
    let labels: Vec<&BTreeMap<String, String>> =
        found.iter().map(|sample| &sample.labels).collect();
    assert!(
        labels.is_sorted_by(|a, b| a < b),
        "samples should be sorted by their labels and unique: {labels:?}"
    );
    assert!(
        found.iter().all(|sample| sample.value.is_finite()),
        "values should be finite: {found:?}"
    );
}

pub(super) async fn samples_match_queried_labels(metrics: &dyn Metrics, known: &MetricQuery) {
    let all = samples(metrics, known).await;
    for sample in &all {
        let query = MetricQuery { labels: sample.labels.clone(), ..known.clone() };
        let found = samples(metrics, &query).await;
        assert!(
            found.iter().any(|found| found.labels == sample.labels),
            "{query:?} should find its own series"
        );
        for found in &found {
            let is_match =
                sample.labels.iter().all(|(key, value)| found.labels.get(key) == Some(value));
            assert!(is_match, "{query:?} returns another series: {found:?}");
        }
    }
    assert!(all.iter().all(|sample| {
        known.labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value))
    }));
}

pub(super) async fn unmatched_label_returns_no_samples(metrics: &dyn Metrics, known: &MetricQuery) {
    let mut query = known.clone();
    query.labels.insert("contract".into(), "no series has this value".into());
    assert_eq!(samples(metrics, &query).await, []);
}

pub(super) async fn window_query_returns_same_series(metrics: &dyn Metrics, known: &MetricQuery) {
    let of = |found: Vec<Sample>| found.into_iter().map(|sample| sample.labels).collect::<Vec<_>>();
    let latest = of(samples(metrics, &MetricQuery { window_seconds: 0, ..known.clone() }).await);
    let averaged = samples(metrics, &MetricQuery { window_seconds: 300, ..known.clone() }).await;
    assert!(averaged.iter().all(|sample| sample.value.is_finite()), "{averaged:?}");
    let averaged = of(averaged);
    // A series may end within the window, so the average may include more series.
    assert!(
        latest.iter().all(|labels| averaged.contains(labels)),
        "{averaged:?} lacks one of {latest:?}"
    );
}
