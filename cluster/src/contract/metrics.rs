use std::collections::BTreeMap;

use crate::{MetricQuery, Metrics, Sample};

async fn samples(metrics: &dyn Metrics, query: &MetricQuery) -> Vec<Sample> {
    metrics
        .query(query)
        .await
        .unwrap_or_else(|failure| panic!("{query:?} cannot be answered: {failure}"))
}

pub(super) async fn what_is_not_measured_is_absent(metrics: &dyn Metrics, known: &MetricQuery) {
    let unknown = MetricQuery { metric: "contract_never_measured".into(), ..known.clone() };
    assert_eq!(samples(metrics, &unknown).await, [], "what is not measured is absent, never zero");
}

pub(super) async fn series_come_in_order_and_each_once(metrics: &dyn Metrics, known: &MetricQuery) {
    let found = samples(metrics, known).await;
    assert!(found.len() >= 2, "{known:?} should give two series or more, not {}", found.len());
    let labels: Vec<&BTreeMap<String, String>> =
        found.iter().map(|sample| &sample.labels).collect();
    assert!(
        labels.is_sorted_by(|a, b| a < b),
        "series should come in order of their labels, each once: {labels:?}"
    );
    assert!(found.iter().all(|sample| sample.value.is_finite()), "values are finite: {found:?}");
}

pub(super) async fn samples_carry_the_labels_asked_for(metrics: &dyn Metrics, known: &MetricQuery) {
    let all = samples(metrics, known).await;
    for sample in &all {
        let query = MetricQuery { labels: sample.labels.clone(), ..known.clone() };
        let found = samples(metrics, &query).await;
        assert!(
            found.iter().any(|found| found.labels == sample.labels),
            "{query:?} should find its own series"
        );
        for found in &found {
            let holds =
                sample.labels.iter().all(|(key, value)| found.labels.get(key) == Some(value));
            assert!(holds, "{query:?} gives another series: {found:?}");
        }
    }
    assert!(all.iter().all(|sample| {
        known.labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value))
    }));
}

pub(super) async fn a_label_without_a_match_gives_nothing(
    metrics: &dyn Metrics,
    known: &MetricQuery,
) {
    let mut query = known.clone();
    query.labels.insert("contract".into(), "nobody has this label".into());
    assert_eq!(samples(metrics, &query).await, []);
}

pub(super) async fn a_window_is_answered_for_the_same_series(
    metrics: &dyn Metrics,
    known: &MetricQuery,
) {
    let of = |found: Vec<Sample>| found.into_iter().map(|sample| sample.labels).collect::<Vec<_>>();
    let latest = of(samples(metrics, &MetricQuery { window_seconds: 0, ..known.clone() }).await);
    let averaged = samples(metrics, &MetricQuery { window_seconds: 300, ..known.clone() }).await;
    assert!(averaged.iter().all(|sample| sample.value.is_finite()), "{averaged:?}");
    let averaged = of(averaged);
    // A series may have ended within the window, so the average may know more.
    assert!(
        latest.iter().all(|labels| averaged.contains(labels)),
        "{averaged:?} lacks one of {latest:?}"
    );
}
