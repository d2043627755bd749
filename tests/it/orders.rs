//! What people order over HTTP, and how it is refused where it makes no sense: with the status that the API documents.

use serde_json::{Value, json};

use crate::process::{Process, within};

fn refused((status, problem): (u16, Value)) -> (u16, String) {
    (status, problem["code"].as_str().unwrap_or_default().to_string())
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused_with_the_documented_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(
        &folder.path().join("data"),
        &[
            "--simulate",
            "--seed",
            "3",
            "--fault",
            "scaled-to-zero",
            "--fault-after",
            "0",
            "--speed",
            "50",
        ]
        .into_iter()
        .chain(["--autonomy", "auto", "--listen", "127.0.0.1:0"])
        .collect::<Vec<_>>(),
    );
    let rejected = (409, "rejected".to_string());
    let resume = json!({"scope": "global", "reason": "nothing was stopped"});
    assert_eq!(refused(server.post("/resume", &resume).await), rejected);
    assert_eq!(server.get("/stops").await, json!({"items": []}));
    let stop = |scope: &str| json!({"scope": scope, "level": "L1", "reason": "a test"});
    let unknown = "run_00000000000000000000000000";
    assert_eq!(refused(server.post("/stop", &stop(unknown)).await).0, 404);
    assert_eq!(refused(server.post(&format!("/runs/{unknown}/pause"), &json!({})).await).0, 404);

    let run = within(60, "a run ends", async || {
        let runs = server.get("/runs").await;
        let ended = runs["items"].as_array()?.iter().find(|run| !run["endedAt"].is_null())?;
        ended["id"].as_str().map(String::from)
    })
    .await;
    for verb in ["pause", "resume", "cancel"] {
        let answer =
            server.post(&format!("/runs/{run}/{verb}"), &json!({"reason": "a test"})).await;
        assert_eq!(refused(answer), rejected, "{verb} of a run that has ended");
    }
    assert_eq!(
        refused(server.post(&format!("/runs/{run}/steps/scale/approve"), &json!({})).await),
        rejected
    );
    assert_eq!(refused(server.post("/stop", &stop(&run)).await), rejected);

    // Stopped twice is stopped once, for whoever lost the first answer; what is lifted twice was lifted once.
    for _ in 0..2 {
        let (status, stops) = server.post("/stop", &stop("global")).await;
        assert_eq!((status, stops["items"].as_array().map(Vec::len)), (200, Some(1)), "{stops}");
    }
    assert_eq!(server.post("/resume", &resume).await, (200, json!({"items": []})));
    assert_eq!(refused(server.post("/resume", &resume).await), rejected);
    server.end();
}
