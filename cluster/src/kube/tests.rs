mod server;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::{Agent, Mode, Patch, Selector};
use server::{Deed, Seen, Server, status};

fn limits() -> KubeLimits {
    KubeLimits {
        deadline: Duration::from_secs(1),
        answer_bytes: 20_000,
        page: 8,
        quiet: Duration::from_millis(500),
    }
}

async fn connect_as(server: &Server, user: Value) -> Result<KubeCluster, ConnectError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, server.kubeconfig(&user)).unwrap();
    let source = KubeSource::File { path, context: None };
    KubeCluster::connect("c", &source, SecretKey::from_bytes([7; 32]), limits()).await
}

/// A cluster whose server answers as `script` says.
async fn cluster(
    script: impl Fn(&Seen) -> Option<Deed> + Send + Sync + 'static,
) -> (Server, KubeCluster) {
    let server = Server::new(script);
    let cluster = connect_as(&server, json!({})).await.unwrap();
    (server, cluster)
}

fn pod() -> ObjectRef {
    ObjectRef::builtin("c", "Pod", Some("shop"), "p")
}

fn stored(version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "uid": "u1", "resourceVersion": version}})
}

fn label() -> Request {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    Request {
        target: pod(),
        verb: Verb::Patch { patch, subresource: None },
        preconditions: Preconditions { uid: None, resource_version: Some("7".into()) },
        mode: Mode::Apply,
        agent: Agent { run: "run_1".into(), step: "s".into(), effect_key: "k".into(), epoch: 3 },
    }
}

fn is_change(seen: &Seen) -> bool {
    seen.method == "PATCH"
}

/// Answers changes with what `deed` makes, and reads with the pod as it was.
fn on_change(deed: fn() -> Deed) -> impl Fn(&Seen) -> Option<Deed> + Send + Sync {
    move |seen| {
        if is_change(seen) {
            Some(deed())
        } else if seen.path.contains("/pods/p") {
            Some(Deed::Say(200, stored("7")))
        } else {
            None
        }
    }
}

fn changes_seen(server: &Server) -> usize {
    server.seen("/pods/p").iter().filter(|seen| is_change(seen)).count()
}

#[tokio::test]
async fn k1_a_refused_connection_is_known_not_to_have_changed_anything() {
    let (server, cluster) = cluster(on_change(|| Deed::Say(200, stored("8")))).await;
    assert!(cluster.get(&pod(), Consistency::Latest).await.unwrap().is_some());
    server.stop();
    assert!(matches!(cluster.send(&label()).await, Reply::Throttled { .. }));
    assert_eq!(changes_seen(&server), 0);
    let read = cluster.get(&pod(), Consistency::Latest).await.unwrap_err();
    assert!(read.is_transient(), "{read}");
}

#[tokio::test]
async fn k1_a_503_is_unknown_for_a_change_and_transient_for_a_read() {
    let (server, cluster) =
        cluster(on_change(|| Deed::Say(503, status(503, "ServiceUnavailable", "etcd is away"))))
            .await;
    let reply = cluster.send(&label()).await;
    assert!(
        matches!(&reply, Reply::Unknown { message } if message.contains("etcd is away")),
        "{reply:?}"
    );
    assert_eq!(changes_seen(&server), 1, "a change is sent once");
    let (_server, busy) = self::cluster(|seen: &Seen| {
        seen.path.contains("/pods").then(|| Deed::Say(503, "no upstream".into()))
    })
    .await;
    let read = busy.get(&pod(), Consistency::Latest).await.unwrap_err();
    assert!(read.is_transient() && read.to_string().contains("no upstream"), "{read}");
}

#[tokio::test]
async fn k2_a_reset_after_the_request_was_read_is_unknown_and_nothing_is_sent_twice() {
    for deed in [(|| Deed::Reset) as fn() -> Deed, || Deed::Half, || Deed::Say(504, json!(""))] {
        let (server, cluster) = cluster(on_change(deed)).await;
        let reply = cluster.send(&label()).await;
        assert!(matches!(reply, Reply::Unknown { .. }), "{reply:?}");
        assert_eq!(changes_seen(&server), 1);
    }
}

#[tokio::test]
async fn k3_a_504_before_the_change_leaves_the_version_for_a_read_to_see() {
    let (_server, cluster) =
        cluster(on_change(|| Deed::Say(504, status(504, "Timeout", "timed out")))).await;
    assert!(matches!(cluster.send(&label()).await, Reply::Unknown { .. }));
    let now = cluster.get(&pod(), Consistency::Latest).await.unwrap().unwrap();
    assert_eq!(now.metadata().resource_version, "7", "not applied, so it may be sent again");
}

#[tokio::test]
async fn k4_what_is_never_answered_ends_at_the_deadline() {
    for deed in [(|| Deed::Hang) as fn() -> Deed, || Deed::Half] {
        let (_server, cluster) =
            cluster(move |seen: &Seen| seen.path.contains("/pods/p").then(deed)).await;
        let begin = Instant::now();
        assert!(matches!(cluster.send(&label()).await, Reply::Unknown { .. }));
        // The server would be silent for half a minute.
        assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
        let read = cluster.get(&pod(), Consistency::Latest).await.unwrap_err();
        assert!(read.is_transient(), "{read}");
    }
}

#[tokio::test]
async fn k10_a_refused_eviction_asks_to_wait_and_nothing_is_deleted_instead() {
    let said = |deed: fn() -> Deed| async move {
        let (server, cluster) =
            cluster(move |seen: &Seen| seen.path.ends_with("/eviction").then(deed)).await;
        let reply = cluster.send(&Request { verb: Verb::Evict, ..label() }).await;
        assert_eq!(server.seen("/pods/p").len(), 1, "one eviction and nothing else");
        reply
    };
    let budget =
        || Deed::Say(429, status(429, "TooManyRequests", "the disruption budget is spent"));
    assert_eq!(said(budget).await, Reply::Throttled { retry_after_seconds: 10 });
    let header =
        || Deed::SayWith(429, ("Retry-After", "3"), status(429, "TooManyRequests", "busy"));
    assert_eq!(said(header).await, Reply::Throttled { retry_after_seconds: 3 });
    let details = || {
        let mut said = status(429, "TooManyRequests", "busy");
        said["details"] = json!({"retryAfterSeconds": 4});
        Deed::Say(429, said)
    };
    assert_eq!(said(details).await, Reply::Throttled { retry_after_seconds: 4 });
}

#[tokio::test]
async fn k11_a_version_that_is_gone_is_told_in_lists_and_watches() {
    let expired = || status(410, "Expired", "the provided continue parameter is too old");
    let (_server, cluster) = cluster(move |seen: &Seen| {
        if seen.path.contains("continue=") {
            Some(Deed::Say(410, expired()))
        } else if seen.path.contains("watch=true&") && seen.path.contains("resourceVersion=1&") {
            Some(Deed::Stream(vec![json!({"type": "ERROR", "object": expired()})], 0))
        } else if seen.path.contains("watch=true&") {
            Some(Deed::Say(410, expired()))
        } else {
            seen.path
                .contains("limit=1")
                .then(|| Deed::Say(200, json!({"metadata": {"resourceVersion": "9"}, "items": []})))
        }
    })
    .await;
    let kind = Kind::new("v1", "Pod");
    let query = ListQuery {
        continue_token: Some("old".into()),
        ..ListQuery::latest(kind.clone(), Some("shop"))
    };
    assert_eq!(cluster.list(&query).await, Err(ReadFailure::Gone));
    for version in ["1", "2"] {
        assert_eq!(cluster.changes(&kind, Some("shop"), version).await, Err(ReadFailure::Gone));
    }
}

/// A list of `count` pods of so many bytes each.
fn page(count: usize, bytes: usize, next: &str) -> Value {
    let pod = |n: usize| json!({"metadata": {"name": format!("p{n}"), "namespace": "shop", "annotations": {"a": "x".repeat(bytes)}}});
    let items: Vec<Value> = (0..count).map(pod).collect();
    json!({"metadata": {"resourceVersion": "9", "continue": next}, "items": items})
}

fn limit_of(seen: &Seen) -> usize {
    let (_, rest) = seen.path.split_once("limit=").unwrap();
    rest.split('&').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn k14_pages_shrink_until_they_fit_and_one_object_too_large_is_said() {
    let (server, fits) = cluster(|seen: &Seen| {
        seen.path.contains("/pods?").then(|| Deed::Say(200, page(limit_of(seen), 6_000, "more")))
    })
    .await;
    let query = ListQuery {
        selector: Some(Selector::of_labels([("a", "b")])),
        ..ListQuery::latest(Kind::new("v1", "Pod"), Some("shop"))
    };
    let listed = fits.list(&query).await.unwrap();
    assert_eq!((listed.items.len(), listed.continue_token.as_deref()), (2, Some("more")));
    assert_eq!(listed.items[0].kind(), &Kind::new("v1", "Pod"), "items are whole objects");
    let asked: Vec<usize> = server.seen("/pods?").iter().map(limit_of).collect();
    assert_eq!(asked, [8, 2]);
    assert!(server.seen("labelSelector=a%3Db").len() == 2);

    let (_server, never) = cluster(|seen: &Seen| {
        seen.path.contains("/pods").then(|| Deed::Say(200, page(1, 50_000, "")))
    })
    .await;
    let failure = never.list(&query).await.unwrap_err();
    assert!(!failure.is_transient() && failure.to_string().contains("one Pod"), "{failure}");
    let failure = never.get(&pod(), Consistency::Latest).await.unwrap_err();
    assert!(failure.to_string().contains("larger than is read"), "{failure}");
}

#[tokio::test]
async fn k14_a_cached_list_too_large_for_one_answer_is_read_in_pages() {
    let (_server, cluster) = cluster(|seen: &Seen| {
        let count = if seen.path.contains("resourceVersion=0") { 100 } else { 2 };
        seen.path.contains("/pods?").then(|| Deed::Say(200, page(count, 600, "")))
    })
    .await;
    let query = ListQuery {
        consistency: Consistency::Cached,
        ..ListQuery::latest(Kind::new("v1", "Pod"), None)
    };
    assert_eq!(cluster.list(&query).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn k15_a_renewed_token_is_used_for_the_next_request() {
    let server = Server::new(|_: &Seen| None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "first\n").unwrap();
    let cluster = connect_as(&server, json!({"tokenFile": file})).await.unwrap();
    assert_eq!(server.seen("/version")[0].header("authorization"), "Bearer first");
    fs::write(&file, "second").unwrap();
    assert_eq!(cluster.get(&pod(), Consistency::Latest).await, Ok(None));
    assert_eq!(server.seen("/pods/p")[0].header("authorization"), "Bearer second");
    fs::remove_file(&file).unwrap();
    assert_eq!(cluster.get(&pod(), Consistency::Latest).await, Ok(None));
    assert_eq!(server.seen("/pods/p")[1].header("authorization"), "Bearer second");
}

#[tokio::test]
async fn answers_to_changes_are_classified() {
    type Case = (u16, &'static str, fn(&Reply) -> bool);
    let cases: [Case; 9] = [
        (200, "", |r| matches!(r, Reply::Accepted(o) if o.metadata().resource_version == "8")),
        (404, "NotFound", |r| matches!(r, Reply::Absent)),
        (409, "Conflict", |r| matches!(r, Reply::Conflict { message } if message == "words")),
        (412, "Conflict", |r| matches!(r, Reply::Conflict { .. })),
        (
            400,
            "BadRequest",
            |r| matches!(r, Reply::Refused { code: 400, reason, .. } if reason == "BadRequest"),
        ),
        (401, "Unauthorized", |r| matches!(r, Reply::Refused { code: 401, .. })),
        (
            403,
            "Forbidden",
            |r| matches!(r, Reply::Refused { code: 403, message, .. } if message == "words"),
        ),
        (422, "Invalid", |r| matches!(r, Reply::Refused { code: 422, .. })),
        (500, "InternalError", |r| matches!(r, Reply::Unknown { .. })),
    ];
    for (code, reason, is_right) in cases {
        let (server, cluster) = cluster(move |seen: &Seen| match seen.method.as_str() {
            "PATCH" if code == 200 => Some(Deed::Say(200, stored("8"))),
            "PATCH" => Some(Deed::Say(code, status(code, reason, "words"))),
            _ if seen.path.contains("/pods/p") => Some(Deed::Say(200, stored("7"))),
            _ => None,
        })
        .await;
        let reply = cluster.send(&label()).await;
        assert!(is_right(&reply), "{code}: {reply:?}");
        assert_eq!(changes_seen(&server), 1, "{code}");
    }
}

#[tokio::test]
async fn a_refused_patch_whose_preconditions_no_longer_hold_is_a_conflict() {
    let (_server, cluster) = cluster(|seen: &Seen| match seen.method.as_str() {
        "PATCH" => Some(Deed::Say(422, status(422, "Invalid", "the test failed"))),
        _ => seen.path.contains("/pods/p").then(|| Deed::Say(200, stored("9"))),
    })
    .await;
    assert!(matches!(cluster.send(&label()).await, Reply::Conflict { .. }));
    let free = Request { preconditions: Preconditions::default(), ..label() };
    assert!(matches!(cluster.send(&free).await, Reply::Refused { code: 422, .. }));
}

#[tokio::test]
async fn a_request_says_who_sends_it_and_what_must_hold() {
    let (server, cluster) = cluster(on_change(|| Deed::Say(200, stored("8")))).await;
    cluster.send(&label()).await;
    let sent = server.seen("/pods/p").pop().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        sent.header("user-agent"),
        format!("chiron/{version} (run=run_1; step=s; key=k; epoch=3)")
    );
    assert_eq!(sent.header("content-type"), "application/merge-patch+json");
    assert_eq!(sent.path, "/api/v1/namespaces/shop/pods/p?fieldManager=chiron");
    assert_eq!(sent.json(), json!({"metadata": {"labels": {"a": "b"}, "resourceVersion": "7"}}));
}

#[tokio::test]
async fn changes_are_told_in_order_until_the_present_version() {
    let event = |kind: &str, version: &str| json!({"type": kind, "object": stored(version)});
    let events = vec![event("ADDED", "5"), event("MODIFIED", "7"), event("DELETED", "9")];
    let late = vec![event("ADDED", "5"), event("MODIFIED", "7"), event("BOOKMARK", "9")];
    let (_server, cluster) = cluster(move |seen: &Seen| {
        if seen.path.contains("watch=true") {
            let is_late = seen.path.contains("resourceVersion=4");
            Some(Deed::Stream(if is_late { late.clone() } else { events.clone() }, 30))
        } else {
            seen.path
                .contains("limit=1")
                .then(|| Deed::Say(200, json!({"metadata": {"resourceVersion": "9"}, "items": []})))
        }
    })
    .await;
    let kind = Kind::new("v1", "Pod");
    let told = cluster.changes(&kind, Some("shop"), "3").await.unwrap();
    assert!(
        matches!(&told[..], [WatchEvent::Added(a), WatchEvent::Modified(_), WatchEvent::Deleted(c)]
            if a.metadata().resource_version == "5" && c.metadata().resource_version == "9"),
        "{told:?}"
    );
    let told = cluster.changes(&kind, Some("shop"), "4").await.unwrap();
    assert_eq!(told.last(), Some(&WatchEvent::Bookmark("9".into())));
    let told = cluster.changes(&kind, Some("shop"), "9").await.unwrap();
    assert_eq!(told, [WatchEvent::Bookmark("9".into())], "nothing happened");
}

#[tokio::test]
async fn no_word_of_a_secret_comes_through() {
    let secret = || json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop", "resourceVersion": "9"}, "data": {"password": "aHVudGVyMg=="}});
    let (_server, cluster) = cluster(move |seen: &Seen| {
        if seen.method == "PATCH" {
            Some(Deed::Say(400, status(400, "BadRequest", "cannot use hunter2 as base64")))
        } else if seen.path.contains("watch=true") {
            Some(Deed::Stream(vec![json!({"type": "ADDED", "object": secret()})], 0))
        } else if seen.path.contains("secrets/s") {
            Some(Deed::Say(200, secret()))
        } else {
            seen.path.contains("/secrets").then(|| {
                Deed::Say(200, json!({"metadata": {"resourceVersion": "9"}, "items": [secret()]}))
            })
        }
    })
    .await;
    let target = ObjectRef::builtin("c", "Secret", Some("shop"), "s");
    let kind = target.object_kind();
    let all = format!(
        "{:?} {:?} {:?} {:?}",
        cluster.get(&target, Consistency::Latest).await.unwrap().unwrap(),
        cluster.list(&ListQuery::latest(kind.clone(), Some("shop"))).await.unwrap(),
        cluster.changes(&kind, Some("shop"), "1").await.unwrap(),
        cluster.send(&Request { target, ..label() }).await,
    );
    assert!(!all.contains("aHVudGVyMg") && !all.contains("hunter2"), "{all}");
    assert_eq!(all.matches("sha256:").count(), 3, "{all}");
}

#[tokio::test]
async fn a_kind_that_came_since_is_found_and_one_that_never_came_is_refused() {
    let (server, cluster) = cluster(|seen: &Seen| {
        (seen.path == "/apis/example.com/v1").then(|| {
            Deed::Say(
                200,
                json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": false}]}),
            )
        })
    })
    .await;
    let of = |kind: &str| ListQuery::latest(Kind::new("example.com/v1", kind), None);
    let failure = cluster.list(&of("Gadget")).await.unwrap_err();
    assert!(matches!(failure, ReadFailure::Refused { code: 404, .. }), "{failure}");
    let failure = cluster.list(&of("Widget")).await.unwrap_err();
    assert!(matches!(failure, ReadFailure::Refused { code: 404, .. }), "its list is not there");
    assert_eq!(server.seen("/apis/example.com/v1/widgets?").len(), 1);
    assert_eq!(server.seen("/apis/example.com/v1").len(), 2, "asked for once, since it knew both");
}

#[tokio::test]
async fn logs_that_are_not_there_yet_are_empty() {
    let (server, cluster) = cluster(|seen: &Seen| {
        if seen.path.contains("previous=true") {
            Some(Deed::Say(
                400,
                status(
                    400,
                    "BadRequest",
                    "previous terminated container \"main\" in pod \"p\" not found",
                ),
            ))
        } else {
            seen.path.contains("/log").then(|| Deed::Say(200, "one\ntwo\n".into()))
        }
    })
    .await;
    let query =
        |previous| LogQuery { pod: pod(), container: "main".into(), previous, tail_lines: 2 };
    assert_eq!(cluster.logs(&query(false)).await.unwrap(), ["one", "two"]);
    assert_eq!(cluster.logs(&query(true)).await.unwrap(), [""; 0]);
    assert!(server.seen("container=main&tailLines=2").len() == 2);
}

mod connecting {
    use super::*;

    async fn failed(server: &Server) -> ConnectError {
        connect_as(server, json!({})).await.unwrap_err()
    }

    async fn of_file(text: &str, context: Option<&str>) -> ConnectError {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        fs::write(&path, text).unwrap();
        let source = KubeSource::File { path, context: context.map(Into::into) };
        KubeCluster::connect("c", &source, SecretKey::from_bytes([7; 32]), limits())
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_broken_kubeconfig_is_said() {
        for text in ["{", "", "contexts: [3]", "current-context: x"] {
            let error = of_file(text, None).await;
            assert!(
                matches!(error, ConnectError::Kubeconfig { .. } | ConnectError::NoContext { .. }),
                "{text}: {error}"
            );
        }
        let source = KubeSource::File { path: "/nowhere/kubeconfig".into(), context: None };
        let error = KubeCluster::connect("c", &source, SecretKey::from_bytes([7; 32]), limits())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("/nowhere/kubeconfig"), "{error}");
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_said_with_those_that_are() {
        let server = Server::new(|_: &Seen| None);
        let error = of_file(&server.kubeconfig(&json!({})), Some("there")).await;
        assert!(error.to_string().contains("no context \"there\": it has here"), "{error}");
    }

    #[test]
    fn the_current_context_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let named = |name: &str| json!({"name": name, "context": {"cluster": "c", "user": "u"}});
        let config =
            json!({"current-context": "b", "contexts": [named("a"), named("b"), named("c")]});
        fs::write(&path, config.to_string()).unwrap();
        assert_eq!(KubeCluster::contexts(&path).unwrap(), ["b", "a", "c"]);
    }

    #[tokio::test]
    async fn two_contexts_of_one_file_are_two_clusters() {
        let (one, two) = (Server::new(|_: &Seen| None), Server::new(|_: &Seen| None));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let context = |name: &str| json!({"name": name, "context": {"cluster": name, "user": "u"}});
        let at = |name: &str, server: &Server| json!({"name": name, "cluster": {"server": format!("http://{}", server.address)}});
        let config = json!({"contexts": [context("one"), context("two")],
            "clusters": [at("one", &one), at("two", &two)], "users": [{"name": "u", "user": {}}]});
        fs::write(&path, config.to_string()).unwrap();
        let mut clusters = Vec::new();
        for name in KubeCluster::contexts(&path).unwrap() {
            let source = KubeSource::File { path: path.clone(), context: Some(name.clone()) };
            let secrets = SecretKey::from_bytes([7; 32]);
            clusters.push(KubeCluster::connect(name, &source, secrets, limits()).await.unwrap());
        }
        one.stop();
        let states = [&clusters[0], &clusters[1]].map(|cluster| async move {
            let target = ObjectRef { cluster: cluster.name().into(), ..pod() };
            cluster.get(&target, Consistency::Latest).await.is_ok()
        });
        let [first, second] = states;
        assert_eq!((first.await, second.await), (false, true), "one away, the other unaffected");
    }

    #[tokio::test]
    async fn a_server_that_is_away_or_silent_is_unreachable() {
        let server = Server::new(|_: &Seen| Some(Deed::Hang));
        assert!(matches!(failed(&server).await, ConnectError::Unreachable { .. }));
        server.stop();
        let error = failed(&server).await;
        assert!(
            matches!(error, ConnectError::Unreachable { .. }) && error.is_transient(),
            "{error}"
        );
        assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_expired_token_is_said() {
        let server = Server::new(|_: &Seen| {
            Some(Deed::Say(401, status(401, "Unauthorized", "Unauthorized")))
        });
        let error = failed(&server).await;
        assert!(matches!(error, ConnectError::Unauthenticated { .. }), "{error}");
        assert!(error.hint().contains("renew"), "{}", error.hint());
    }

    #[tokio::test]
    async fn somebody_without_rights_is_named() {
        let server = Server::new(|seen: &Seen| {
            seen.path
                .ends_with("accessreviews")
                .then(|| Deed::Say(201, json!({"status": {"allowed": false}})))
        });
        let error = failed(&server).await;
        assert!(error.to_string().contains("jane may not even list pods"), "{error}");
        assert!(error.hint().contains("--user=jane"), "{}", error.hint());
    }

    #[tokio::test]
    async fn rights_in_the_namespace_of_the_context_are_enough() {
        let server = Server::new(|seen: &Seen| {
            seen.path.ends_with("accessreviews").then(|| {
                let asked = seen.json();
                let is_shop = asked["spec"]["resourceAttributes"]["namespace"] == "shop";
                Deed::Say(201, json!({"status": {"allowed": is_shop}}))
            })
        });
        let cluster = connect_as(&server, json!({})).await.unwrap();
        assert_eq!(cluster.server_version().await.unwrap(), "v1.36.0");
    }

    #[tokio::test]
    async fn what_is_no_kubernetes_is_said() {
        let server = Server::new(|_: &Seen| Some(Deed::Say(200, "<html>".into())));
        assert!(matches!(failed(&server).await, ConnectError::NotKubernetes { .. }));
    }
}
