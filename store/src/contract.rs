//! What every [`Store`] promises: the tests of each implementation call [`check_store`] on an empty one.

pub(crate) mod sample;

use std::time::Duration;

use workflow::id::{IncidentId, PlanId, RunId};
use workflow::{Digest, Draft, Entry, RunStatus};

use crate::port::{AppendRefused, Page, Store};
use crate::projection::{PlanStatus, Table, replay};
use crate::query::Queries;
use crate::record::{Record, Unreadable};
use crate::seal::MAX_PAYLOAD_BYTES;
use sample::{at, large, note, story, tick};

/// Checks every promise of `store`, which must be empty.
///
/// # Panics
/// At the first promise that is not kept.
pub async fn check_store(store: &dyn Store) {
    an_empty_store_is_empty(store).await;
    nothing_is_accepted_before_an_epoch_is_claimed(store).await;
    a_claim_gives_the_next_epoch_and_is_recorded(store).await;
    an_older_epoch_is_refused(store).await;
    an_epoch_cannot_be_appended(store).await;
    records_come_back_in_order_without_gaps(store).await;
    streams_count_their_own_versions(store).await;
    a_stream_that_moved_on_is_refused(store).await;
    append_is_all_or_nothing(store).await;
    concurrent_appends_that_expect_the_same_have_one_winner(store).await;
    the_chain_holds(store).await;
    salts_differ(store).await;
    payloads_are_decoded_from_canonical_bytes(store).await;
    a_non_finite_number_is_refused(store).await;
    an_unknown_kind_is_refused_at_reading(store).await;
    blobs_come_back_by_digest(store).await;
    a_large_payload_comes_back_whole(store).await;
    an_append_of_nothing_still_checks_what_it_expects(store).await;
    snapshots_are_replaced(store).await;
    follow_gives_what_is_there_and_waits_for_what_is_not(store).await;
    a_limit_is_kept(store).await;
    projections_follow_the_record(store).await;
    lists_are_paged_newest_first(store).await;
    a_cursor_that_no_page_gave_is_refused(store).await;
    projections_are_what_a_replay_gives(store).await;
}

async fn epoch(store: &dyn Store) -> u64 {
    store.read(0, usize::MAX).await.expect("readable").last().map_or(0, |record| record.epoch)
}

async fn append(store: &dyn Store, drafts: Vec<Draft>) -> Vec<Record> {
    store.append(drafts, Vec::new(), &[], epoch(store).await).await.expect("accepted")
}

async fn an_empty_store_is_empty(store: &dyn Store) {
    assert_eq!(store.head().await.expect("readable"), 0, "check_store wants an empty store");
    assert_eq!(store.read(0, 10).await.expect("readable"), Vec::new());
    assert_eq!(store.version("clock").await.expect("readable"), 0);
    assert_eq!(store.blob(&Digest::of(b"x")).await.expect("readable"), None);
    assert_eq!(store.snapshot("learner").await.expect("readable"), None);
    assert!(store.incidents(&Page::default()).await.expect("readable").items.is_empty());
}

async fn nothing_is_accepted_before_an_epoch_is_claimed(store: &dyn Store) {
    for ours in [0, 1] {
        let refused = store.append(vec![tick(1.0)], Vec::new(), &[], ours).await;
        assert!(
            matches!(refused, Err(AppendRefused::StaleEpoch { current: 0, .. })),
            "{refused:?}"
        );
    }
}

async fn a_claim_gives_the_next_epoch_and_is_recorded(store: &dyn Store) {
    assert_eq!(store.claim(at(0), "test").await.expect("claimed"), 1);
    assert_eq!(store.claim(at(1), "test").await.expect("claimed"), 2);
    let records = store.stream("config").await.expect("readable");
    let epochs: Vec<u64> = records.iter().map(|record| record.epoch).collect();
    assert_eq!(epochs, [1, 2]);
    let claimed = Entry::EpochClaimed { epoch: 2, program: "test".into() };
    assert_eq!(records[1].entry().expect("readable"), claimed);
}

async fn an_older_epoch_is_refused(store: &dyn Store) {
    for ours in [1, 3] {
        let refused = store.append(vec![tick(1.0)], Vec::new(), &[], ours).await;
        assert!(
            matches!(refused, Err(AppendRefused::StaleEpoch { current: 2, .. })),
            "{refused:?}"
        );
    }
    assert_eq!(append(store, vec![tick(1.0)]).await.len(), 1);
}

async fn an_epoch_cannot_be_appended(store: &dyn Store) {
    let draft = Draft::new(at(0), Entry::EpochClaimed { epoch: 9, program: "thief".into() });
    let refused = store.append(vec![draft], Vec::new(), &[], epoch(store).await).await;
    assert!(matches!(refused, Err(AppendRefused::Invalid { index: 0, .. })), "{refused:?}");
}

async fn records_come_back_in_order_without_gaps(store: &dyn Store) {
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

async fn streams_count_their_own_versions(store: &dyn Store) {
    append(store, vec![note("a", 1.0), note("b", 1.0), note("a", 2.0)]).await;
    append(store, vec![note("a", 3.0)]).await;
    let versions: Vec<u64> =
        store.stream("a").await.expect("readable").iter().map(|record| record.version).collect();
    assert_eq!(versions, [1, 2, 3]);
    assert_eq!(store.version("a").await.expect("readable"), 3);
    assert_eq!(store.version("b").await.expect("readable"), 1);
}

async fn a_stream_that_moved_on_is_refused(store: &dyn Store) {
    let ours = epoch(store).await;
    let refused = store
        .append(vec![note("a", 9.0)], Vec::new(), &[("b".into(), 1), ("a".into(), 2)], ours)
        .await;
    let expected = matches!(&refused, Err(AppendRefused::Moved { stream, expected: 2, found: 3 }) if stream == "a");
    assert!(expected, "{refused:?}");
    let accepted = store
        .append(vec![note("a", 9.0)], Vec::new(), &[("a".into(), 3), ("none".into(), 0)], ours)
        .await;
    assert_eq!(accepted.expect("both streams are where they were").len(), 1);
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

async fn concurrent_appends_that_expect_the_same_have_one_winner(store: &dyn Store) {
    let ours = epoch(store).await;
    let expect = [("race".to_string(), 0)];
    let one = store.append(vec![note("race", 1.0)], Vec::new(), &expect, ours);
    let other = store.append(vec![note("race", 2.0)], Vec::new(), &expect, ours);
    let (one, other) = tokio::join!(one, other);
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

async fn the_chain_holds(store: &dyn Store) {
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

async fn salts_differ(store: &dyn Store) {
    let records = append(store, vec![tick(1.0), tick(1.0)]).await;
    assert_eq!(records[0].payload, records[1].payload);
    assert_ne!(records[0].salt, records[1].salt);
    assert_ne!(records[0].payload_digest, records[1].payload_digest);
}

async fn payloads_are_decoded_from_canonical_bytes(store: &dyn Store) {
    // A whole number is written without its point, and read back as an integer: live as in replay.
    let appended = append(store, vec![tick(2.0), tick(-0.0), tick(0.1)]).await;
    let payload = serde_json::json!({"seconds": 2});
    assert_eq!(appended[0].payload, Some(payload));
    let read = store.read(appended[0].seq - 1, 3).await.expect("readable");
    assert_eq!(appended, read);
    let Entry::ClockJumped { seconds } = read[1].entry().expect("readable") else {
        panic!("another kind came back")
    };
    assert_eq!(seconds.to_bits(), 0.0_f64.to_bits());
}

async fn a_non_finite_number_is_refused(store: &dyn Store) {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused =
            store.append(vec![tick(1.0), tick(number)], Vec::new(), &[], epoch(store).await).await;
        let says = |why: &str| why.contains("seconds") && why.contains("finite");
        assert!(
            matches!(&refused, Err(AppendRefused::Invalid { index: 1, why, .. }) if says(why)),
            "{refused:?}"
        );
    }
}

async fn an_unknown_kind_is_refused_at_reading(store: &dyn Store) {
    let record = append(store, vec![tick(1.0)]).await.remove(0);
    let foreign = Record { kind: "FromTheFuture".into(), ..record.clone() };
    assert!(matches!(foreign.entry(), Err(Unreadable::Foreign { .. })));
    let erased = Record { payload: None, salt: None, ..record };
    assert!(matches!(erased.entry(), Err(Unreadable::Erased { .. })));
    assert_eq!(erased.digest, erased.digest_of_columns());
}

async fn blobs_come_back_by_digest(store: &dyn Store) {
    let blobs = vec![b"one".to_vec(), b"two".to_vec(), b"one".to_vec()];
    let ours = epoch(store).await;
    store.append(vec![tick(1.0)], blobs.clone(), &[], ours).await.expect("accepted");
    store.append(Vec::new(), blobs.clone(), &[], ours).await.expect("the same blobs again");
    for bytes in blobs {
        assert_eq!(store.blob(&Digest::of(&bytes)).await.expect("readable"), Some(bytes));
    }
}

async fn a_large_payload_comes_back_whole(store: &dyn Store) {
    let draft = large(2 * MAX_PAYLOAD_BYTES);
    let appended = append(store, vec![draft.clone(), tick(1.0)]).await;
    assert_eq!(appended[0].entry().expect("readable"), draft.entry);
    assert_eq!(store.read(appended[0].seq - 1, 2).await.expect("readable"), appended);
}

async fn an_append_of_nothing_still_checks_what_it_expects(store: &dyn Store) {
    let ours = epoch(store).await;
    let version = store.version("a").await.expect("readable");
    assert_eq!(
        store.append(Vec::new(), Vec::new(), &[("a".into(), version)], ours).await.expect("holds"),
        Vec::new()
    );
    store
        .append(Vec::new(), Vec::new(), &[("a".into(), version + 1)], ours)
        .await
        .expect_err("does not hold");
}

async fn snapshots_are_replaced(store: &dyn Store) {
    store.put_snapshot("fold", 3, b"old").await.expect("kept");
    store.put_snapshot("other", 1, b"").await.expect("kept");
    store.put_snapshot("fold", 5, b"new").await.expect("kept");
    assert_eq!(store.snapshot("fold").await.expect("readable"), Some((5, b"new".to_vec())));
    assert_eq!(store.snapshot("other").await.expect("readable"), Some((1, Vec::new())));
}

async fn follow_gives_what_is_there_and_waits_for_what_is_not(store: &dyn Store) {
    let head = store.head().await.expect("readable");
    assert_eq!(store.follow(head - 2, 1).await.expect("readable")[0].seq, head - 1);
    let mut waiting = std::pin::pin!(store.follow(head, 10));
    let early = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await;
    assert!(early.is_err(), "it did not wait");
    let appended = append(store, vec![tick(1.0)]).await;
    assert_eq!(waiting.await.expect("readable"), appended);
}

async fn a_limit_is_kept(store: &dyn Store) {
    assert_eq!(store.read(0, 2).await.expect("readable").len(), 2);
    assert_eq!(store.read(0, 0).await.expect("readable").len(), 0);
    assert_eq!(store.read(u64::MAX, 5).await.expect("readable").len(), 0);
}

async fn projections_follow_the_record(store: &dyn Store) {
    append(store, story(1)).await;
    let incidents = store.incidents(&Page::default()).await.expect("readable").items;
    assert_eq!(incidents.len(), 2);
    let merged =
        incidents.iter().find(|row| row.incident.merged_into.is_some()).expect("one was merged");
    let into: &IncidentId = merged.incident.merged_into.as_ref().expect("it was merged");
    let stays = store.incident(into).await.expect("readable").expect("it is there");
    assert_eq!(
        (stays.incident.alerts.len(), stays.incident.firing.len(), stays.deliveries),
        (2, 0, 6)
    );
    assert!(stays.incident.closed_at.is_some());
    let alerts = store.alerts(&Page::of_incident(into.as_str())).await.expect("readable").items;
    assert_eq!(
        alerts.iter().map(|row| (row.is_firing, row.deliveries)).collect::<Vec<_>>(),
        [(false, 2), (false, 5)]
    );

    let plan: PlanId = stays.plan.expect("a plan was made");
    let run: RunId = stays.run.expect("it ran");
    let row = store.plan(&plan).await.expect("readable").expect("it is there");
    assert_eq!(
        (row.status, row.run, row.ended),
        (PlanStatus::Done, Some(run.clone()), Some(RunStatus::Succeeded))
    );
    let view = store.run(&run).await.expect("readable").expect("it is there");
    assert_eq!((view.status, view.steps[0].attempts), (RunStatus::Succeeded, 1));
    let decision =
        store.decision(&row.plan.decision).await.expect("readable").expect("it is there");
    assert_eq!(decision.chosen, row.plan.candidate);
    assert_eq!(store.evidence_of(into).await.expect("readable").len(), 1);
    assert_eq!(store.candidates_of(into).await.expect("readable").len(), 1);
    assert_eq!(store.feedback_of(&plan).await.expect("readable").len(), 1);
    assert_eq!(store.outcomes(&Page::of_run(run.as_str())).await.expect("readable").items.len(), 1);
    assert!(store.execution(run.as_str()).await.expect("readable").is_some());
    assert_eq!(store.exposures(into).await.expect("readable").len(), 1);
    let experiment = store.experiments(&Page::default()).await.expect("readable").items.remove(0);
    assert_eq!(experiment.exposures["a"], 1);
    assert!(store.stops().await.expect("readable").is_empty(), "it was lifted");
    assert!(
        store
            .guardrails()
            .await
            .expect("readable")
            .expect("they are there")
            .metadata
            .description
            .is_empty()
    );
}

async fn lists_are_paged_newest_first(store: &dyn Store) {
    for n in 2..6 {
        append(store, story(n)).await;
    }
    let all = store.rows(Table::Incidents, &Page::default()).await.expect("readable");
    assert_eq!((all.items.len(), &all.next), (10, &None));
    assert!(all.items.is_sorted_by(|a, b| a.first_seq > b.first_seq));
    let mut page = Page { limit: 3, ..Page::default() };
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
    let closed = Page { status: Some("closed".into()), ..Page::default() };
    assert_eq!(store.incidents(&closed).await.expect("readable").items.len(), 5);
}

async fn a_cursor_that_no_page_gave_is_refused(store: &dyn Store) {
    let page = Page { after: Some("yesterday".into()), ..Page::default() };
    store.plans(&page).await.expect_err("this is no cursor");
}

async fn projections_are_what_a_replay_gives(store: &dyn Store) {
    let records = store.read(0, usize::MAX).await.expect("readable");
    let anew = replay(&records).expect("readable");
    for table in Table::ALL {
        let mut live = store
            .rows(table, &Page { limit: Page::MAX, ..Page::default() })
            .await
            .expect("readable")
            .items;
        live.sort_by(|a, b| a.id.cmp(&b.id));
        let anew: Vec<_> = anew.iter().filter(|row| row.table == table).cloned().collect();
        assert!(!anew.is_empty(), "the sample leaves {table} without rows");
        assert_eq!(live, anew);
    }
}
