//! Measures appends by concurrent writers to SQLite: `cargo bench -p store`.
#![allow(clippy::unwrap_used, reason = "a failed measurement ends")]
#![allow(clippy::print_stdout, reason = "prints figures")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use store::{Salts, Sqlite, Store as _};
use workflow::{Draft, Entry};

const WRITERS: u32 = 50;
const APPENDS_PER_WRITER: u32 = 40;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(dir.path(), Salts::System).unwrap());
    let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let epoch = store.claim(now, "bench").await.unwrap();
    let start = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let stream = format!("writer/{writer}");
                for version in 0..u64::from(APPENDS_PER_WRITER) {
                    let entry = Entry::ClockJumped { seconds: version as f64 };
                    let entries = vec![Draft { stream: stream.clone(), ..Draft::new(now, entry) }];
                    let expect = [(stream.clone(), version)];
                    store.append(entries, Vec::new(), &expect, epoch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let rate = f64::from(WRITERS * APPENDS_PER_WRITER) / start.elapsed().as_secs_f64();
    println!("{rate:>12.0} appends per second, {WRITERS} writers");
    println!(
        "{:>12.0} per second is the floor of one writer: fdatasync after 4 KiB",
        syncs_per_second(dir.path())
    );
}

fn syncs_per_second(dir: &Path) -> f64 {
    let mut file = std::fs::File::create(dir.join("floor")).unwrap();
    let (start, count) = (Instant::now(), 200_u32);
    for _ in 0..count {
        file.write_all(&[0; 4_096]).unwrap();
        file.sync_data().unwrap();
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}
