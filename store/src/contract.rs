//! Contract tests of [`Store`]. The tests of each implementation call [`check_store`] with an empty store.

pub(crate) mod sample;

use std::time::Duration;

use workflow::id::{IncidentId, PlanId, RunId};
use workflow::{Digest, Draft, Entry, PlanStatus, RunStatus};

use crate::port::{AppendError, PageRequest, Store};
use crate::projection::{Table, replay};
use crate::query::Queries;
use crate::record::{EntryError, Record};
use crate::seal::MAX_PAYLOAD_BYTES;
use sample::{at, incident_history, large, note, tick};

/// Runs all contract tests against `store`, which must be empty.
///
/// # Panics
/// At the first test that fails.
pub(crate) async fn check_store(store: &dyn Store) {
    new_store_is_empty(store).await;
    append_before_claim_is_refused(store).await;
    claim_returns_next_epoch_and_is_recorded(store).await;
    append_with_stale_epoch_is_refused(store).await;
    append_refuses_epoch_claim(store).await;
    read_returns_records_in_order_without_gaps(store).await;
    versions_are_counted_per_stream(store).await;
    append_with_stale_version_is_refused(store).await;
    append_is_all_or_nothing(store).await;
    one_of_two_conflicting_appends_succeeds(store).await;
    chain_is_intact(store).await;
    equal_payloads_get_different_salts(store).await;
    payloads_are_decoded_from_canonical_bytes(store).await;
    non_finite_number_is_refused(store).await;
    unknown_kind_and_erased_payload_are_errors(store).await;
    blobs_are_found_by_digest(store).await;
    large_payload_is_returned_whole(store).await;
    empty_append_checks_expected_versions(store).await;
    snapshots_are_replaced(store).await;
    follow_returns_existing_records_or_waits(store).await;
    read_honors_limit(store).await;
    projections_follow_the_record(store).await;
    lists_are_paged_newest_first(store).await;
    invalid_cursor_is_refused(store).await;
    projections_equal_replay(store).await;
}

async fn epoch(store: &dyn Store) -> u64 {
    store.read(0, usize::MAX).await.expect("readable").last().map_or(0, |record| record.epoch)
}

async fn append(store: &dyn Store, drafts: Vec<Draft>) -> Vec<Record> {
    store.append(drafts, Vec::new(), &[], epoch(store).await).await.expect("accepted")
}

async fn new_store_is_empty(store: &dyn Store) {
    assert_eq!(store.head().await.expect("readable"), 0, "check_store requires an empty store");
    assert_eq!(store.read(0, 10).await.expect("readable"), Vec::new());
    assert_eq!(store.version("clock").await.expect("readable"), 0);
    assert_eq!(store.blob(&Digest::of(b"x")).await.expect("readable"), None);
    assert_eq!(store.snapshot("learner").await.expect("readable"), None);
    assert!(store.incidents(&PageRequest::default()).await.expect("readable").items.is_empty());
}

async fn append_before_claim_is_refused(store: &dyn Store) {
    for ours in [0, 1] {
        let refused = store.append(vec![tick(1.0)], Vec::new(), &[], ours).await;
        assert!(matches!(refused, Err(AppendError::StaleEpoch { current: 0, .. })), "{refused:?}");
    }
}

async fn claim_returns_next_epoch_and_is_recorded(store: &dyn Store) {
    assert_eq!(store.claim(at(0), "test").await.expect("claimed"), 1);
    assert_eq!(store.claim(at(1), "test").await.expect("claimed"), 2);
    let records = store.stream("config").await.expect("readable");
    let epochs: Vec<u64> = records.iter().map(|record| record.epoch).collect();
    assert_eq!(epochs, [1, 2]);
    let claimed = Entry::EpochClaimed { epoch: 2, program: "test".into() };
    assert_eq!(records[1].entry().expect("readable"), claimed);
}

async fn append_with_stale_epoch_is_refused(store: &dyn Store) {
    for ours in [1, 3] {
        let refused = store.append(vec![tick(1.0)], Vec::new(), &[], ours).await;
        assert!(matches!(refused, Err(AppendError::StaleEpoch { current: 2, .. })), "{refused:?}");
    }
    assert_eq!(append(store, vec![tick(1.0)]).await.len(), 1);
}

async fn append_refuses_epoch_claim(store: &dyn Store) {
    let draft = Draft::new(at(0), Entry::EpochClaimed { epoch: 9, program: "test".into() });
    let refused = store.append(vec![draft], Vec::new(), &[], epoch(store).await).await;
    assert!(matches!(refused, Err(AppendError::Invalid { index: 0, .. })), "{refused:?}");
}

async fn read_returns_records_in_order_without_gaps(store: &dyn Store) {
    let before = store.head().await.expect("readable");
    let appended = append(store, (0..5).map(|n| tick(f64::from(n))).collect()).await;
    assert_eq!(appended, store.read(before, 10).await.expect("readable"));
    let seqs: Vec<u64> = store
        .read(0, usize::MAX)
        .await
        .expect("readable")
        .iter()
        .map(|record| record.seq)
        .collect();
    assert_eq!(seqs, (1..=before + 5).collect::<Vec<_>>());
    assert_eq!(store.head().await.expect("readable"), before + 5);
}

async fn versions_are_counted_per_stream(store: &dyn Store) {
    append(store, vec![note("a", 1.0), note("b", 1.0), note("a", 2.0)]).await;
    append(store, vec![note("a", 3.0)]).await;
    let versions: Vec<u64> =
        store.stream("a").await.expect("readable").iter().map(|record| record.version).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(store.version("a").await.expect("readable"), 3);
    assert_eq!(store.version("b").await.expect("readable"), 1);
}

async fn append_with_stale_version_is_refused(store: &dyn Store) {
    let ours = epoch(store).await;
    let refused = store
        .append(vec![note("a", 9.0)], Vec::new(), &[("b".into(), 1), ("a".into(), 2)], ours)
        .await;
    let expected = matches!(&refused, Err(AppendError::VersionConflict { stream, expected: 2, found: 3 }) if stream == "a");
    assert!(expected, "{refused:?}");
    let accepted = store
        .append(vec![note("a", 9.0)], Vec::new(), &[("a".into(), 3), ("none".into(), 0)], ours)
        .await;
    assert_eq!(accepted.expect("both streams have the expected versions").len(), 1);
}

async fn append_is_all_or_nothing(store: &dyn Store) {
    let before = store.head().await.expect("readable");
    let blob = b"only with its records".to_vec();
    let ours = epoch(store).await;
    let bad = vec![note("whole", 1.0), tick(f64::NAN)];
    store
        .append(bad, vec![blob.clone()], &[], ours)
        .await
        .expect_err("one draft has no canonical form");
    store
        .append(vec![note("whole", 1.0)], vec![blob.clone()], &[("a".into(), 77)], ours)
        .await
        .expect_err("not at 77");
    assert_eq!(store.head().await.expect("readable"), before);
    assert_eq!(store.version("whole").await.expect("readable"), 0);
    assert_eq!(store.blob(&Digest::of(&blob)).await.expect("readable"), None);
}

async fn one_of_two_conflicting_appends_succeeds(store: &dyn Store) {
    let ours = epoch(store).await;
    let expect = [("race".to_string(), 0)];
    let one = store.append(vec![note("race", 1.0)], Vec::new(), &expect, ours);
    let other = store.append(vec![note("race", 2.0)], Vec::new(), &expect, ours);
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

async fn chain_is_intact(store: &dyn Store) {
    let mut previous = Digest::ZERO;
    for record in store.read(0, usize::MAX).await.expect("readable") {
        assert_eq!(record.previous, previous);
        assert_eq!(record.digest, record.digest_of_columns());
        let payload = workflow::canonical_json(&record.payload).expect("canonical");
        let salt = record.salt.expect("nothing was erased");
        assert_eq!(record.payload_digest, Digest::of_all(&[&salt, payload.as_bytes()]));
        previous = record.digest;
    }
}

async fn equal_payloads_get_different_salts(store: &dyn Store) {
    let records = append(store, vec![tick(1.0), tick(1.0)]).await;
    assert_eq!(records[0].payload, records[1].payload);
    assert_ne!(records[0].salt, records[1].salt);
    assert_ne!(records[0].payload_digest, records[1].payload_digest);
}

async fn payloads_are_decoded_from_canonical_bytes(store: &dyn Store) {
    // A whole number is written without a decimal point and decoded as an integer, both live and in a replay.
    let appended = append(store, vec![tick(2.0), tick(-0.0), tick(0.1)]).await;
    let payload = serde_json::json!({"seconds": 2});
    assert_eq!(appended[0].payload, Some(payload));
    let read = store.read(appended[0].seq - 1, 3).await.expect("readable");
    assert_eq!(appended, read);
    let Entry::ClockJumped { seconds } = read[1].entry().expect("readable") else {
        panic!("unexpected kind")
    };
    assert_eq!(seconds.to_bits(), 0.0_f64.to_bits());
}

async fn non_finite_number_is_refused(store: &dyn Store) {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused =
            store.append(vec![tick(1.0), tick(number)], Vec::new(), &[], epoch(store).await).await;
        let mentions = |text: &str| text.contains("seconds") && text.contains("finite");
        assert!(
            matches!(&refused, Err(AppendError::Invalid { index: 1, message, .. }) if mentions(message)),
            "{refused:?}"
        );
    }
}

async fn unknown_kind_and_erased_payload_are_errors(store: &dyn Store) {
    let record = append(store, vec![tick(1.0)]).await.remove(0);
    let unknown = Record { kind: "FromTheFuture".into(), ..record.clone() };
    assert!(matches!(unknown.entry(), Err(EntryError::UnknownEntry { .. })));
    let erased = Record { payload: None, salt: None, ..record };
    assert!(matches!(erased.entry(), Err(EntryError::Erased { .. })));
    assert_eq!(erased.digest, erased.digest_of_columns());
}

async fn blobs_are_found_by_digest(store: &dyn Store) {
    let blobs = vec![b"one".to_vec(), b"two".to_vec(), b"one".to_vec()];
    let ours = epoch(store).await;
    store.append(vec![tick(1.0)], blobs.clone(), &[], ours).await.expect("accepted");
    store.append(Vec::new(), blobs.clone(), &[], ours).await.expect("the same blobs again");
    for bytes in blobs {
        assert_eq!(store.blob(&Digest::of(&bytes)).await.expect("readable"), Some(bytes));
    }
}

async fn large_payload_is_returned_whole(store: &dyn Store) {
    let draft = large(2 * MAX_PAYLOAD_BYTES);
    let appended = append(store, vec![draft.clone(), tick(1.0)]).await;
    assert_eq!(appended[0].entry().expect("readable"), draft.entry);
    assert_eq!(store.read(appended[0].seq - 1, 2).await.expect("readable"), appended);
}

async fn empty_append_checks_expected_versions(store: &dyn Store) {
    let ours = epoch(store).await;
    let version = store.version("a").await.expect("readable");
    assert_eq!(
        store
            .append(Vec::new(), Vec::new(), &[("a".into(), version)], ours)
            .await
            .expect("the version matches"),
        Vec::new()
    );
    store
        .append(Vec::new(), Vec::new(), &[("a".into(), version + 1)], ours)
        .await
        .expect_err("the version does not match");
}

async fn snapshots_are_replaced(store: &dyn Store) {
    store.put_snapshot("fold", 3, b"old").await.expect("stored");
    store.put_snapshot("other", 1, b"").await.expect("stored");
    store.put_snapshot("fold", 5, b"new").await.expect("stored");
    assert_eq!(store.snapshot("fold").await.expect("readable"), Some((5, b"new".to_vec())));
    assert_eq!(store.snapshot("other").await.expect("readable"), Some((1, Vec::new())));
}

async fn follow_returns_existing_records_or_waits(store: &dyn Store) {
    let head = store.head().await.expect("readable");
    assert_eq!(store.follow(head - 2, 1).await.expect("readable")[0].seq, head - 1);
    let mut waiting = std::pin::pin!(store.follow(head, 10));
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err(), "follow returned before there was a record");
    let appended = append(store, vec![tick(1.0)]).await;
    assert_eq!(waiting.await.expect("readable"), appended);
}

async fn read_honors_limit(store: &dyn Store) {
    assert_eq!(store.read(0, 2).await.expect("readable").len(), 2);
    assert_eq!(store.read(0, 0).await.expect("readable").len(), 0);
    assert_eq!(store.read(u64::MAX, 5).await.expect("readable").len(), 0);
}

async fn projections_follow_the_record(store: &dyn Store) {
    append(store, incident_history(1)).await;
    let incidents = store.incidents(&PageRequest::default()).await.expect("readable").items;
    assert_eq!(incidents.len(), 2);
    let merged =
        incidents.iter().find(|row| row.incident.merged_into.is_some()).expect("one was merged");
    let into: &IncidentId = merged.incident.merged_into.as_ref().expect("it was merged");
    let target = store.incident(into).await.expect("readable").expect("it exists");
    assert_eq!(
        (target.incident.alerts.len(), target.incident.firing.len(), target.deliveries),
        (2, 0, 6)
    );
    assert!(target.incident.closed_at.is_some());
    let alerts =
        store.alerts(&PageRequest::of_incident(into.as_str())).await.expect("readable").items;
    assert_eq!(
        alerts
            .iter()
            .map(|row| (row.episode.is_firing, row.episode.deliveries))
            .collect::<Vec<_>>(),
        [(false, 2), (false, 5)]
    );

    let plan: PlanId = target.plan.expect("there is a plan");
    let run: RunId = target.run.expect("there is a run");
    let row = store.plan(&plan).await.expect("readable").expect("it exists");
    assert_eq!(
        (row.state.status, row.state.run, row.state.ended),
        (PlanStatus::Done, Some(run.clone()), Some(RunStatus::Succeeded))
    );
    let view = store.run(&run).await.expect("readable").expect("it exists");
    assert_eq!((view.status, view.steps[0].attempts), (RunStatus::Succeeded, 1));
    let decision = store.decision(&row.plan.decision).await.expect("readable").expect("it exists");
    assert_eq!(decision.chosen, row.plan.candidate);
    assert_eq!(store.evidence_of(into).await.expect("readable").len(), 1);
    assert_eq!(store.candidates_of(into).await.expect("readable").len(), 1);
    assert_eq!(store.feedback_of(&plan).await.expect("readable").len(), 1);
    assert_eq!(
        store.outcomes(&PageRequest::of_run(run.as_str())).await.expect("readable").items.len(),
        1
    );
    assert!(store.execution(run.as_str()).await.expect("readable").is_some());
    assert_eq!(store.exposures(into).await.expect("readable").len(), 1);
    let experiment =
        store.experiments(&PageRequest::default()).await.expect("readable").items.remove(0);
    assert_eq!(experiment.exposures["a"], 1);
    assert!(store.stops().await.expect("readable").is_empty(), "the stop was cleared");
    assert!(
        store
            .guardrails()
            .await
            .expect("readable")
            .expect("they exist")
            .metadata
            .description
            .is_empty()
    );
}

async fn lists_are_paged_newest_first(store: &dyn Store) {
    for n in 2..6 {
        append(store, incident_history(n)).await;
    }
    let all = store.rows(Table::Incidents, &PageRequest::default()).await.expect("readable");
    assert_eq!((all.items.len(), &all.next), (10, &None));
    assert!(all.items.is_sorted_by(|a, b| a.first_seq > b.first_seq));
    let mut page = PageRequest { limit: 3, ..PageRequest::default() };
    let mut seen = Vec::new();
    loop {
        let part = store.rows(Table::Incidents, &page).await.expect("readable");
        assert!(part.items.len() <= 3);
        seen.extend(part.items);
        match part.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, all.items);
    let closed = PageRequest { status: Some("closed".into()), ..PageRequest::default() };
    assert_eq!(store.incidents(&closed).await.expect("readable").items.len(), 5);
}

async fn invalid_cursor_is_refused(store: &dyn Store) {
    let page = PageRequest { after: Some("yesterday".into()), ..PageRequest::default() };
    store.plans(&page).await.expect_err("the cursor is invalid");
}

async fn projections_equal_replay(store: &dyn Store) {
    let records = store.read(0, usize::MAX).await.expect("readable");
    let rebuilt = replay(&records).expect("readable");
    for table in Table::ALL {
        let mut live = store
            .rows(table, &PageRequest { limit: PageRequest::MAX, ..PageRequest::default() })
            .await
            .expect("readable")
            .items;
        live.sort_by(|a, b| a.id.cmp(&b.id));
        let rebuilt: Vec<_> = rebuilt.iter().filter(|row| row.table == table).cloned().collect();
        assert!(!rebuilt.is_empty(), "the sample creates no rows in {table}");
        assert_eq!(live, rebuilt);
    }
}
