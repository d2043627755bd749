use proptest::prelude::*;
use rusqlite::params;

use super::*;
use crate::contract::sample::{at, incident_history, large, note};
use crate::salts::Salts;
use crate::{Sqlite, Store};

/// Counts records by kind.
#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl VerifiedFold for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn apply(&mut self, record: &Record) -> Result<(), String> {
        *self.0.entry(record.kind.clone()).or_default() += 1;
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap()
    }
}

fn folds() -> Vec<Box<dyn VerifiedFold>> {
    vec![Box::new(Counts::default())]
}

/// Creates a data directory with a whole incident, a large payload, a blob and snapshots.
async fn sample_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path(), Salts::seeded("tamper")).unwrap();
    let epoch = store.claim(at(0), "test").await.unwrap();
    store.append(incident_history(1), vec![b"blob".to_vec()], &[], epoch).await.unwrap();
    let mut counts = Counts::default();
    for record in store.read(0, usize::MAX).await.unwrap() {
        counts.apply(&record).unwrap();
    }
    let head = store.head().await.unwrap();
    store.put_snapshot("counts", head, &counts.bytes()).await.unwrap();
    store.put_snapshot("unknown", head, b"").await.unwrap();
    store.append(vec![large(200_000)], Vec::new(), &[], epoch).await.unwrap();
    dir
}

fn error_messages(dir: &Path) -> Vec<String> {
    verify(dir, &mut folds()).unwrap().errors.iter().map(ToString::to_string).collect()
}

/// Tampers with the file, checks the first error that `verify` reports, and restores the file.
fn check_tampering(dir: &Path, change: &str, expected: &str) {
    let file = dir.join(DATA_FILE);
    let original = std::fs::read(&file).unwrap();
    let connection = Connection::open(&file).unwrap();
    let changed = connection.execute(change, params![]).unwrap();
    assert_eq!(changed, 1, "{change}");
    drop(connection);
    let found = error_messages(dir);
    assert!(
        found.first().is_some_and(|first| first.contains(expected)),
        "{change}: expected `{expected}`, got {found:?}"
    );
    std::fs::write(&file, original).unwrap();
}

#[tokio::test]
async fn untouched_record_verifies() {
    let dir = sample_dir().await;
    let report = verify(dir.path(), &mut folds()).unwrap();
    assert_eq!(report.errors, []);
    assert!(report.is_replayed);
    assert_eq!(
        (report.folds, report.unchecked),
        (vec!["counts".to_string()], vec!["unknown".to_string()])
    );
    assert!(report.rows.len() == Table::ALL.len() && report.rows.values().all(|rows| *rows > 0));
    assert_eq!((report.epoch, report.erased, report.blobs), (1, 0, 2));
}

#[tokio::test]
async fn changed_byte_in_any_record_column_is_reported_with_seq() {
    let dir = sample_dir().await;
    // Flips the lowest bit of the last byte; SQLite has no exclusive or.
    let text = |column: &str| {
        let last = format!("unicode(substr({column}, -1))");
        format!(
            "UPDATE records SET {column} = substr({column}, 1, length({column}) - 1)
             || char({last} + 1 - 2 * ({last} % 2)) WHERE seq = 7"
        )
    };
    check_tampering(
        dir.path(),
        "UPDATE records SET seq = 1031 WHERE seq = 7",
        "record 7: it is missing",
    );
    for column in ["stream", "kind", "at", "payload", "payload_digest", "previous", "digest"] {
        check_tampering(dir.path(), &text(column), "record 7: ");
    }
    for column in ["version", "epoch"] {
        // 6 and 1 become 70 and 65: one byte of an integer changes, and no existing version is used.
        check_tampering(
            dir.path(),
            &format!("UPDATE records SET {column} = {column} + 64 WHERE seq = 7"),
            "record 7: ",
        );
    }
    check_tampering(
        dir.path(),
        "UPDATE records SET salt = CAST(x'ab' || substr(salt, 2) AS BLOB) WHERE seq = 7",
        "record 7: ",
    );
}

#[tokio::test]
async fn missing_or_forged_record_is_reported() {
    let dir = sample_dir().await;
    check_tampering(dir.path(), "DELETE FROM records WHERE seq = 7", "record 7: it is missing");
    check_tampering(
        dir.path(),
        "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)",
        "table guardrails",
    );
    let forged = "INSERT INTO records SELECT seq + 1, 'x', 1, kind, at, epoch, payload, salt, payload_digest, digest, digest
                   FROM records ORDER BY seq DESC LIMIT 1";
    check_tampering(dir.path(), forged, "column digest does not match the other columns");
}

#[tokio::test]
async fn changed_blob_is_reported() {
    let dir = sample_dir().await;
    check_tampering(
        dir.path(),
        "UPDATE blobs SET bytes = x'00' WHERE length(bytes) = 4",
        "blob sha256:",
    );
    check_tampering(
        dir.path(),
        "UPDATE blobs SET bytes = x'00' WHERE length(bytes) > 4",
        "record ",
    );
}

#[tokio::test]
async fn changed_projected_row_is_reported_with_table_and_key() {
    let dir = sample_dir().await;
    for table in Table::ALL {
        let connection = Connection::open(dir.path().join(DATA_FILE)).unwrap();
        let key: String = connection
            .query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))
            .unwrap();
        drop(connection);
        let prefix = format!("table {table}, key {key}: ");
        for column in ["status", "incident", "plan", "run", "experiment", "at", "body"] {
            let change =
                format!("UPDATE {table} SET {column} = {column} || ' ' WHERE id = '{key}'");
            check_tampering(dir.path(), &change, &format!("{prefix}column {column}"));
        }
        for column in ["first_seq", "last_seq"] {
            check_tampering(
                dir.path(),
                &format!("UPDATE {table} SET {column} = {column} + 1 WHERE id = '{key}'"),
                &prefix,
            );
        }
        check_tampering(
            dir.path(),
            &format!("DELETE FROM {table} WHERE id = '{key}'"),
            &format!("{prefix}it is missing"),
        );
        let forged = format!(
            "INSERT INTO {table} SELECT '!', status, incident, plan, run, experiment, at, first_seq, last_seq, body FROM {table} LIMIT 1"
        );
        check_tampering(
            dir.path(),
            &forged,
            &format!("table {table}, key !: a replay creates no such row"),
        );
    }
}

#[tokio::test]
async fn snapshot_that_differs_from_replay_is_reported() {
    let dir = sample_dir().await;
    check_tampering(
        dir.path(),
        "UPDATE snapshots SET bytes = x'7b7d' WHERE name = 'counts'",
        "snapshot counts",
    );
    check_tampering(
        dir.path(),
        "UPDATE snapshots SET seq = seq - 1 WHERE name = 'counts'",
        "replayed state differs",
    );
    check_tampering(
        dir.path(),
        "UPDATE snapshots SET seq = 9999 WHERE name = 'counts'",
        "after the last record",
    );
}

#[tokio::test]
async fn erased_payload_keeps_chain_intact_and_is_counted() {
    let dir = sample_dir().await;
    let connection = Connection::open(dir.path().join(DATA_FILE)).unwrap();
    connection.execute("UPDATE records SET payload = NULL, salt = NULL WHERE seq = 7", []).unwrap();
    drop(connection);
    let report = verify(dir.path(), &mut []).unwrap();
    assert_eq!((report.errors, report.erased, report.is_replayed), (Vec::new(), 1, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn projections_equal_replay_for_any_append_sequence(
        parts in proptest::collection::vec((0_u64..4, 0_usize..40, 1_usize..9, any::<bool>()), 1..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let report = runtime.block_on(async {
            let mut store = Sqlite::open(dir.path(), Salts::System).unwrap();
            let mut epoch = store.claim(at(0), "test").await.unwrap();
            // Parts of incidents in any order, with or without the records that they refer to.
            for (n, from, count, reopen) in parts {
                let drafts = incident_history(n).into_iter().skip(from).take(count).chain([note("n", n as f64)]).collect();
                store.append(drafts, Vec::new(), &[], epoch).await.unwrap();
                if reopen {
                    drop(store);
                    store = Sqlite::open(dir.path(), Salts::System).unwrap();
                    epoch = store.claim(at(0), "test").await.unwrap();
                }
            }
            verify(dir.path(), &mut []).unwrap()
        });
        prop_assert_eq!(report.errors, Vec::new());
        prop_assert!(report.is_replayed);
    }
}
