use proptest::prelude::*;
use rusqlite::params;

use super::*;
use crate::contract::sample::{at, large, note, story};
use crate::salts::Salts;
use crate::{Sqlite, Store};

/// Counts records by kind.
#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Fold for Counts {
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

fn folds() -> Vec<Box<dyn Fold>> {
    vec![Box::new(Counts::default())]
}

/// A closed data directory with a story, a large payload, a blob and a snapshot.
async fn told() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path(), Salts::seeded("tamper")).unwrap();
    let epoch = store.claim(at(0), "test").await.unwrap();
    store.append(story(1), vec![b"blob".to_vec()], &[], epoch).await.unwrap();
    let mut counts = Counts::default();
    for record in store.read(0, usize::MAX).await.unwrap() {
        counts.apply(&record).unwrap();
    }
    let head = store.head().await.unwrap();
    store.put_snapshot("counts", head, &counts.bytes()).await.unwrap();
    store.put_snapshot("stranger", head, b"").await.unwrap();
    store.append(vec![large(200_000)], Vec::new(), &[], epoch).await.unwrap();
    dir
}

fn flaws(dir: &Path) -> Vec<String> {
    verify(dir, &mut folds()).unwrap().flaws.iter().map(ToString::to_string).collect()
}

/// Changes the file, checks what verify says first, and changes it back.
fn tampered(dir: &Path, change: &str, says: &str) {
    let file = dir.join(DATA_FILE);
    let kept = std::fs::read(&file).unwrap();
    let connection = Connection::open(&file).unwrap();
    let changed = connection.execute(change, params![]).unwrap();
    assert_eq!(changed, 1, "{change}");
    drop(connection);
    let found = flaws(dir);
    assert!(
        found.first().is_some_and(|first| first.contains(says)),
        "{change}: expected `{says}`, got {found:?}"
    );
    std::fs::write(&file, kept).unwrap();
}

#[tokio::test]
async fn an_untouched_record_is_intact() {
    let dir = told().await;
    let report = verify(dir.path(), &mut folds()).unwrap();
    assert_eq!(report.flaws, []);
    assert!(report.is_replayed);
    assert_eq!(
        (report.folds, report.unchecked),
        (vec!["counts".to_string()], vec!["stranger".to_string()])
    );
    assert!(report.rows.len() == Table::ALL.len() && report.rows.values().all(|rows| *rows > 0));
    assert_eq!((report.epoch, report.erased, report.blobs), (1, 0, 2));
}

#[tokio::test]
async fn one_byte_changed_in_any_column_of_a_record_is_found_and_its_seq_named() {
    let dir = told().await;
    // Flips the lowest bit of the last byte; SQLite has no exclusive or.
    let text = |column: &str| {
        let last = format!("unicode(substr({column}, -1))");
        format!(
            "UPDATE records SET {column} = substr({column}, 1, length({column}) - 1)
             || char({last} + 1 - 2 * ({last} % 2)) WHERE seq = 7"
        )
    };
    tampered(dir.path(), "UPDATE records SET seq = 1031 WHERE seq = 7", "record 7: it is missing");
    for column in
        ["stream", "tenant", "kind", "at", "payload", "payload_digest", "previous", "digest"]
    {
        tampered(dir.path(), &text(column), "record 7: ");
    }
    for column in ["version", "epoch"] {
        // 6 and 1 become 70 and 65: a byte of an integer, and no version that is taken.
        tampered(
            dir.path(),
            &format!("UPDATE records SET {column} = {column} + 64 WHERE seq = 7"),
            "record 7: ",
        );
    }
    tampered(
        dir.path(),
        "UPDATE records SET salt = CAST(x'ab' || substr(salt, 2) AS BLOB) WHERE seq = 7",
        "record 7: ",
    );
}

#[tokio::test]
async fn a_record_that_is_gone_or_was_made_up_is_found() {
    let dir = told().await;
    tampered(dir.path(), "DELETE FROM records WHERE seq = 7", "record 7: it is missing");
    tampered(
        dir.path(),
        "DELETE FROM records WHERE seq = (SELECT max(seq) FROM records)",
        "table guardrails",
    );
    let made_up = "INSERT INTO records SELECT seq + 1, 'x', 1, tenant, kind, at, epoch, payload, salt, payload_digest, digest, digest
                   FROM records ORDER BY seq DESC LIMIT 1";
    tampered(dir.path(), made_up, "column digest is not that of its columns");
}

#[tokio::test]
async fn a_changed_blob_is_found() {
    let dir = told().await;
    tampered(dir.path(), "UPDATE blobs SET bytes = x'00' WHERE length(bytes) = 4", "blob sha256:");
    tampered(dir.path(), "UPDATE blobs SET bytes = x'00' WHERE length(bytes) > 4", "record ");
}

#[tokio::test]
async fn one_row_changed_in_any_projection_is_found_and_its_table_and_key_named() {
    let dir = told().await;
    for table in Table::ALL {
        let connection = Connection::open(dir.path().join(DATA_FILE)).unwrap();
        let key: String = connection
            .query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))
            .unwrap();
        drop(connection);
        let says = format!("table {table}, key {key}: ");
        for column in ["tenant", "status", "incident", "plan", "run", "at", "doc"] {
            let change =
                format!("UPDATE {table} SET {column} = {column} || ' ' WHERE id = '{key}'");
            tampered(dir.path(), &change, &format!("{says}column {column}"));
        }
        for column in ["first_seq", "last_seq"] {
            tampered(
                dir.path(),
                &format!("UPDATE {table} SET {column} = {column} + 1 WHERE id = '{key}'"),
                &says,
            );
        }
        tampered(
            dir.path(),
            &format!("DELETE FROM {table} WHERE id = '{key}'"),
            &format!("{says}it is missing"),
        );
        let made_up = format!(
            "INSERT INTO {table} SELECT '!', tenant, status, incident, plan, run, at, first_seq, last_seq, doc FROM {table} LIMIT 1"
        );
        tampered(
            dir.path(),
            &made_up,
            &format!("table {table}, key !: the record gives no such row"),
        );
    }
}

#[tokio::test]
async fn a_snapshot_that_a_replay_does_not_give_is_found() {
    let dir = told().await;
    tampered(
        dir.path(),
        "UPDATE snapshots SET bytes = x'7b7d' WHERE name = 'counts'",
        "snapshot counts",
    );
    tampered(
        dir.path(),
        "UPDATE snapshots SET seq = seq - 1 WHERE name = 'counts'",
        "folded anew differs",
    );
    tampered(
        dir.path(),
        "UPDATE snapshots SET seq = 9999 WHERE name = 'counts'",
        "after the last record",
    );
}

#[tokio::test]
async fn an_erased_payload_leaves_the_chain_intact_and_is_counted() {
    let dir = told().await;
    let connection = Connection::open(dir.path().join(DATA_FILE)).unwrap();
    connection.execute("UPDATE records SET payload = NULL, salt = NULL WHERE seq = 7", []).unwrap();
    drop(connection);
    let report = verify(dir.path(), &mut []).unwrap();
    assert_eq!((report.flaws, report.erased, report.is_replayed), (Vec::new(), 1, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_is_appended_the_projections_are_what_a_replay_gives(
        stories in proptest::collection::vec((0_u64..4, 0_usize..40, 1_usize..9, any::<bool>()), 1..12)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let report = runtime.block_on(async {
            let mut store = Sqlite::open(dir.path(), Salts::System).unwrap();
            let mut epoch = store.claim(at(0), "test").await.unwrap();
            // Pieces of stories in any order, with what they rest on or without it.
            for (n, from, count, reopen) in stories {
                let drafts = story(n).into_iter().skip(from).take(count).chain([note("n", n as f64)]).collect();
                store.append(drafts, Vec::new(), &[], epoch).await.unwrap();
                if reopen {
                    drop(store);
                    store = Sqlite::open(dir.path(), Salts::System).unwrap();
                    epoch = store.claim(at(0), "test").await.unwrap();
                }
            }
            verify(dir.path(), &mut []).unwrap()
        });
        prop_assert_eq!(report.flaws, Vec::new());
        prop_assert!(report.is_replayed);
    }
}
