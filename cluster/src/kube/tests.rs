mod fake_api_server;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::{Agent, Mode, NotSent, Patch, Selector};
use fake_api_server::{FakeApiServer, FakeResponse, RecordedRequest, status};

fn limits() -> KubeLimits {
    KubeLimits {
        request_timeout: Duration::from_secs(1),
        max_response_bytes: 20_000,
        page_size: 8,
        watch_idle_timeout: Duration::from_millis(500),
    }
}

async fn connect_as(server: &FakeApiServer, user: Value) -> Result<KubeCluster, ConnectError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    fs::write(&path, server.kubeconfig(&user)).unwrap();
    let source = KubeSource::File { path, context: None };
    KubeCluster::connect("c", &source, SecretKey::from_bytes([7; 32]), limits()).await
}

/// Returns a fake API server with responses from `responder`, and a cluster connected to it.
async fn cluster(
    responder: impl Fn(&RecordedRequest) -> Option<FakeResponse> + Send + Sync + 'static,
) -> (FakeApiServer, KubeCluster) {
    let server = FakeApiServer::new(responder);
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
        mode: Mode::Commit,
        agent: Agent { run: "run_1".into(), step: "s".into(), effect_key: "k".into(), epoch: 3 },
    }
}

fn is_change(request: &RecordedRequest) -> bool {
    request.method == "PATCH"
}

/// Returns a responder that replies to changes with `response`, and to reads with the unchanged pod.
fn on_change(
    response: fn() -> FakeResponse,
) -> impl Fn(&RecordedRequest) -> Option<FakeResponse> + Send + Sync {
    move |request| {
        if is_change(request) {
            Some(response())
        } else if request.path.contains("/pods/p") {
            Some(FakeResponse::Json(200, stored("7")))
        } else {
            None
        }
    }
}

fn change_count(server: &FakeApiServer) -> usize {
    server.requests("/pods/p").iter().filter(|request| is_change(request)).count()
}

/// Bad-input row K1: a change whose connection is refused was definitely not made, so it may be sent again.
#[tokio::test]
async fn change_with_refused_connection_is_not_sent() {
    let (server, cluster) = cluster(on_change(|| FakeResponse::Json(200, stored("8")))).await;
    assert!(cluster.get(&pod(), Consistency::Latest).await.unwrap().is_some());
    server.stop();
    let reply = cluster.send(&label()).await;
    assert!(
        matches!(reply, WriteReply::NotSent(NotSent::Unavailable { retry_after_seconds: 5, .. })),
        "{reply:?}"
    );
    assert_eq!(change_count(&server), 0);
    let read = cluster.get(&pod(), Consistency::Latest).await.unwrap_err();
    assert!(read.is_transient(), "{read}");
}

/// Bad-input row K1: a 503 leaves the outcome of a change unknown; a read can be retried.
#[tokio::test]
async fn status_503_is_unknown_for_change_and_transient_for_read() {
    let (server, cluster) = cluster(on_change(|| {
        FakeResponse::Json(503, status(503, "ServiceUnavailable", "etcd is unavailable"))
    }))
    .await;
    let reply = cluster.send(&label()).await;
    assert!(
        matches!(&reply, WriteReply::Unknown { message } if message.contains("etcd is unavailable")),
        "{reply:?}"
    );
    assert_eq!(change_count(&server), 1, "a change should be sent once");
    let (_server, busy) = self::cluster(|request: &RecordedRequest| {
        request.path.contains("/pods").then(|| FakeResponse::Json(503, "no upstream".into()))
    })
    .await;
    let read = busy.get(&pod(), Consistency::Latest).await.unwrap_err();
    assert!(read.is_transient() && read.to_string().contains("no upstream"), "{read}");
}

/// Bad-input row K2: a connection reset, an incomplete response or a 504 after the request was read leaves the outcome unknown.
#[tokio::test]
async fn connection_reset_is_unknown_and_not_retried() {
    for response in [
        (|| FakeResponse::Reset) as fn() -> FakeResponse,
        || FakeResponse::Incomplete,
        || FakeResponse::Json(504, json!("")),
    ] {
        let (server, cluster) = cluster(on_change(response)).await;
        let reply = cluster.send(&label()).await;
        assert!(matches!(reply, WriteReply::Unknown { .. }), "{reply:?}");
        assert_eq!(change_count(&server), 1);
    }
}

/// Bad-input row K3: after a 504, a read of the resource version shows whether the change was made.
#[tokio::test]
async fn read_after_504_shows_unchanged_version() {
    let (_server, cluster) =
        cluster(on_change(|| FakeResponse::Json(504, status(504, "Timeout", "timed out")))).await;
    assert!(matches!(cluster.send(&label()).await, WriteReply::Unknown { .. }));
    let now = cluster.get(&pod(), Consistency::Latest).await.unwrap().unwrap();
    assert_eq!(
        now.metadata().resource_version,
        "7",
        "the change was not made, so it can be sent again"
    );
}

/// Bad-input row K4: a call without a complete response ends at the request timeout.
#[tokio::test]
async fn call_without_response_times_out() {
    for response in [(|| FakeResponse::Hang) as fn() -> FakeResponse, || FakeResponse::Incomplete] {
        let (_server, cluster) = cluster(move |request: &RecordedRequest| {
            request.path.contains("/pods/p").then(response)
        })
        .await;
        let begin = Instant::now();
        assert!(matches!(cluster.send(&label()).await, WriteReply::Unknown { .. }));
        // The server waits 30 s.
        assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
        let read = cluster.get(&pod(), Consistency::Latest).await.unwrap_err();
        assert!(read.is_transient(), "{read}");
    }
}

/// Bad-input row K10: a rejected eviction returns the time to wait, and no other request deletes the pod.
#[tokio::test]
async fn rejected_eviction_is_throttled_without_delete() {
    let reply = |response: fn() -> FakeResponse| async move {
        let (server, cluster) = cluster(move |request: &RecordedRequest| {
            request.path.ends_with("/eviction").then(response)
        })
        .await;
        let reply = cluster.send(&Request { verb: Verb::Evict, ..label() }).await;
        assert_eq!(server.requests("/pods/p").len(), 1, "only the eviction should be sent");
        reply
    };
    let budget = || {
        FakeResponse::Json(429, status(429, "TooManyRequests", "the disruption budget is spent"))
    };
    assert_eq!(reply(budget).await, WriteReply::Throttled { retry_after_seconds: 10 });
    let header = || {
        FakeResponse::JsonWithHeader(
            429,
            ("Retry-After", "3"),
            status(429, "TooManyRequests", "busy"),
        )
    };
    assert_eq!(reply(header).await, WriteReply::Throttled { retry_after_seconds: 3 });
    let details = || {
        let mut reply = status(429, "TooManyRequests", "busy");
        reply["details"] = json!({"retryAfterSeconds": 4});
        FakeResponse::Json(429, reply)
    };
    assert_eq!(reply(details).await, WriteReply::Throttled { retry_after_seconds: 4 });
}

/// Bad-input row K11: an expired resource version (410) is reported as such by lists and watches.
#[tokio::test]
async fn expired_version_is_reported_by_list_and_watch() {
    let expired = || status(410, "Expired", "the provided continue parameter is too old");
    let (_server, cluster) = cluster(move |request: &RecordedRequest| {
        if request.path.contains("continue=") {
            Some(FakeResponse::Json(410, expired()))
        } else if request.path.contains("watch=true&")
            && request.path.contains("resourceVersion=1&")
        {
            Some(FakeResponse::Stream(vec![json!({"type": "ERROR", "object": expired()})], 0))
        } else if request.path.contains("watch=true&") {
            Some(FakeResponse::Json(410, expired()))
        } else {
            request.path.contains("limit=1").then(|| {
                FakeResponse::Json(200, json!({"metadata": {"resourceVersion": "9"}, "items": []}))
            })
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
        assert_eq!(cluster.watch_since(&kind, Some("shop"), version).await, Err(ReadFailure::Gone));
    }
}

/// Returns a list of `count` pods of about `bytes` bytes each.
fn page(count: usize, bytes: usize, next: &str) -> Value {
    let pod = |n: usize| json!({"metadata": {"name": format!("p{n}"), "namespace": "shop", "annotations": {"a": "x".repeat(bytes)}}});
    let items: Vec<Value> = (0..count).map(pod).collect();
    json!({"metadata": {"resourceVersion": "9", "continue": next}, "items": items})
}

fn limit_of(request: &RecordedRequest) -> usize {
    let (_, rest) = request.path.split_once("limit=").unwrap();
    rest.split('&').next().unwrap().parse().unwrap()
}

/// Bad-input row K14: the page size is reduced until a response fits; a single object that is too large is an error.
#[tokio::test]
async fn list_reduces_page_size_until_response_fits() {
    let (server, fits) = cluster(|request: &RecordedRequest| {
        request
            .path
            .contains("/pods?")
            .then(|| FakeResponse::Json(200, page(limit_of(request), 6_000, "more")))
    })
    .await;
    let query = ListQuery {
        selector: Some(Selector::of_labels([("a", "b")])),
        ..ListQuery::latest(Kind::new("v1", "Pod"), Some("shop"))
    };
    let listed = fits.list(&query).await.unwrap();
    assert_eq!((listed.items.len(), listed.continue_token.as_deref()), (2, Some("more")));
    assert_eq!(listed.items[0].kind(), &Kind::new("v1", "Pod"), "items should have a kind");
    let requested: Vec<usize> = server.requests("/pods?").iter().map(limit_of).collect();
    assert_eq!(requested, [8, 2]);
    assert!(server.requests("labelSelector=a%3Db").len() == 2);

    let (_server, never) = cluster(|request: &RecordedRequest| {
        request.path.contains("/pods").then(|| FakeResponse::Json(200, page(1, 50_000, "")))
    })
    .await;
    let failure = never.list(&query).await.unwrap_err();
    assert!(!failure.is_transient() && failure.to_string().contains("one Pod"), "{failure}");
    let failure = never.get(&pod(), Consistency::Latest).await.unwrap_err();
    assert!(failure.to_string().contains("exceeds the size limit"), "{failure}");
}

/// Bad-input row K14: a list from the watch cache, which ignores the limit, is repeated as a paged consistent read if it is too large.
#[tokio::test]
async fn oversized_cached_list_is_read_in_pages() {
    let (_server, cluster) = cluster(|request: &RecordedRequest| {
        let count = if request.path.contains("resourceVersion=0") { 100 } else { 2 };
        request.path.contains("/pods?").then(|| FakeResponse::Json(200, page(count, 600, "")))
    })
    .await;
    let query = ListQuery {
        consistency: Consistency::Cached,
        ..ListQuery::latest(Kind::new("v1", "Pod"), None)
    };
    assert_eq!(cluster.list(&query).await.unwrap().items.len(), 2);
}

/// Bad-input row K15: the token file is read for each request; the last valid token is used while the file is missing.
#[tokio::test]
async fn renewed_token_is_used_for_next_request() {
    let server = FakeApiServer::new(|_: &RecordedRequest| None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "first\n").unwrap();
    let cluster = connect_as(&server, json!({"tokenFile": file})).await.unwrap();
    assert_eq!(server.requests("/version")[0].header("authorization"), "Bearer first");
    fs::write(&file, "second").unwrap();
    assert_eq!(cluster.get(&pod(), Consistency::Latest).await, Ok(None));
    assert_eq!(server.requests("/pods/p")[0].header("authorization"), "Bearer second");
    fs::remove_file(&file).unwrap();
    assert_eq!(cluster.get(&pod(), Consistency::Latest).await, Ok(None));
    assert_eq!(server.requests("/pods/p")[1].header("authorization"), "Bearer second");
}

#[tokio::test]
async fn change_replies_are_classified_by_status() {
    type Case = (u16, &'static str, fn(&WriteReply) -> bool);
    let cases: [Case; 9] = [
        (200, "", |r| matches!(r, WriteReply::Accepted(o) if o.metadata().resource_version == "8")),
        (404, "NotFound", |r| matches!(r, WriteReply::NotFound)),
        (409, "Conflict", |r| matches!(r, WriteReply::Conflict { message } if message == "words")),
        (412, "Conflict", |r| matches!(r, WriteReply::Conflict { .. })),
        (
            400,
            "BadRequest",
            |r| matches!(r, WriteReply::Refused { code: 400, reason, .. } if reason == "BadRequest"),
        ),
        (401, "Unauthorized", |r| matches!(r, WriteReply::Refused { code: 401, .. })),
        (
            403,
            "Forbidden",
            |r| matches!(r, WriteReply::Refused { code: 403, message, .. } if message == "words"),
        ),
        (422, "Invalid", |r| matches!(r, WriteReply::Refused { code: 422, .. })),
        (500, "InternalError", |r| matches!(r, WriteReply::Unknown { .. })),
    ];
    for (code, reason, is_right) in cases {
        let (server, cluster) =
            cluster(move |request: &RecordedRequest| match request.method.as_str() {
                "PATCH" if code == 200 => Some(FakeResponse::Json(200, stored("8"))),
                "PATCH" => Some(FakeResponse::Json(code, status(code, reason, "words"))),
                _ if request.path.contains("/pods/p") => Some(FakeResponse::Json(200, stored("7"))),
                _ => None,
            })
            .await;
        let reply = cluster.send(&label()).await;
        assert!(is_right(&reply), "{code}: {reply:?}");
        assert_eq!(change_count(&server), 1, "{code}");
    }
}

#[tokio::test]
async fn rejected_patch_with_stale_preconditions_is_a_conflict() {
    let (_server, cluster) = cluster(|request: &RecordedRequest| match request.method.as_str() {
        "PATCH" => Some(FakeResponse::Json(422, status(422, "Invalid", "the test failed"))),
        _ => request.path.contains("/pods/p").then(|| FakeResponse::Json(200, stored("9"))),
    })
    .await;
    assert!(matches!(cluster.send(&label()).await, WriteReply::Conflict { .. }));
    let free = Request { preconditions: Preconditions::default(), ..label() };
    assert!(matches!(cluster.send(&free).await, WriteReply::Refused { code: 422, .. }));
}

#[tokio::test]
async fn request_contains_agent_and_preconditions() {
    let (server, cluster) = cluster(on_change(|| FakeResponse::Json(200, stored("8")))).await;
    cluster.send(&label()).await;
    let sent = server.requests("/pods/p").pop().unwrap();
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
async fn watch_since_returns_events_up_to_current_version() {
    let event = |kind: &str, version: &str| json!({"type": kind, "object": stored(version)});
    let events = vec![event("ADDED", "5"), event("MODIFIED", "7"), event("DELETED", "9")];
    let late = vec![event("ADDED", "5"), event("MODIFIED", "7"), event("BOOKMARK", "9")];
    let (_server, cluster) = cluster(move |request: &RecordedRequest| {
        if request.path.contains("watch=true") {
            let is_late = request.path.contains("resourceVersion=4");
            Some(FakeResponse::Stream(if is_late { late.clone() } else { events.clone() }, 30))
        } else {
            request.path.contains("limit=1").then(|| {
                FakeResponse::Json(200, json!({"metadata": {"resourceVersion": "9"}, "items": []}))
            })
        }
    })
    .await;
    let kind = Kind::new("v1", "Pod");
    let events = cluster.watch_since(&kind, Some("shop"), "3").await.unwrap();
    assert!(
        matches!(&events[..], [WatchEvent::Added(a), WatchEvent::Modified(_), WatchEvent::Deleted(c)]
            if a.metadata().resource_version == "5" && c.metadata().resource_version == "9"),
        "{events:?}"
    );
    let events = cluster.watch_since(&kind, Some("shop"), "4").await.unwrap();
    assert_eq!(events.last(), Some(&WatchEvent::Bookmark("9".into())));
    let events = cluster.watch_since(&kind, Some("shop"), "9").await.unwrap();
    assert_eq!(events, [WatchEvent::Bookmark("9".into())], "no changes");
}

#[tokio::test]
async fn secret_values_never_leave_the_adapter() {
    let secret = || json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop", "resourceVersion": "9"}, "data": {"password": "aHVudGVyMg=="}});
    let (_server, cluster) = cluster(move |request: &RecordedRequest| {
        if request.method == "PATCH" {
            Some(FakeResponse::Json(400, status(400, "BadRequest", "cannot use hunter2 as base64")))
        } else if request.path.contains("watch=true") {
            Some(FakeResponse::Stream(vec![json!({"type": "ADDED", "object": secret()})], 0))
        } else if request.path.contains("secrets/s") {
            Some(FakeResponse::Json(200, secret()))
        } else {
            request.path.contains("/secrets").then(|| {
                FakeResponse::Json(
                    200,
                    json!({"metadata": {"resourceVersion": "9"}, "items": [secret()]}),
                )
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
        cluster.watch_since(&kind, Some("shop"), "1").await.unwrap(),
        cluster.send(&Request { target, ..label() }).await,
    );
    assert!(!all.contains("aHVudGVyMg") && !all.contains("hunter2"), "{all}");
    assert_eq!(all.matches("sha256:").count(), 3, "{all}");
}

#[tokio::test]
async fn unknown_kind_triggers_discovery_of_its_group() {
    let (server, cluster) = cluster(|request: &RecordedRequest| {
        (request.path == "/apis/example.com/v1").then(|| {
            FakeResponse::Json(
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
    assert!(
        matches!(failure, ReadFailure::Refused { code: 404, .. }),
        "the list of the new kind does not exist"
    );
    assert_eq!(server.requests("/apis/example.com/v1/widgets?").len(), 1);
    assert_eq!(server.requests("/apis/example.com/v1").len(), 2, "one discovery per unknown kind");
}

#[tokio::test]
async fn missing_log_is_empty() {
    let (server, cluster) = cluster(|request: &RecordedRequest| {
        if request.path.contains("previous=true") {
            Some(FakeResponse::Json(
                400,
                status(
                    400,
                    "BadRequest",
                    "previous terminated container \"main\" in pod \"p\" not found",
                ),
            ))
        } else {
            request.path.contains("/log").then(|| FakeResponse::Json(200, "one\ntwo\n".into()))
        }
    })
    .await;
    let query =
        |previous| LogQuery { pod: pod(), container: "main".into(), previous, tail_lines: 2 };
    assert_eq!(cluster.logs(&query(false)).await.unwrap(), ["one", "two"]);
    assert_eq!(cluster.logs(&query(true)).await.unwrap(), [""; 0]);
    assert!(server.requests("container=main&tailLines=2").len() == 2);
}

mod connecting {
    use super::*;

    async fn failed(server: &FakeApiServer) -> ConnectError {
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
    async fn invalid_kubeconfig_is_reported() {
        for text in ["{", "", "contexts: [3]", "current-context: x"] {
            let error = of_file(text, None).await;
            assert!(
                matches!(
                    error,
                    ConnectError::Kubeconfig { .. } | ConnectError::ContextNotFound { .. }
                ),
                "{text}: {error}"
            );
        }
        let source = KubeSource::File { path: "/missing/kubeconfig".into(), context: None };
        let error = KubeCluster::connect("c", &source, SecretKey::from_bytes([7; 32]), limits())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("/missing/kubeconfig"), "{error}");
    }

    #[tokio::test]
    async fn missing_context_error_lists_available_contexts() {
        let server = FakeApiServer::new(|_: &RecordedRequest| None);
        let error = of_file(&server.kubeconfig(&json!({})), Some("there")).await;
        assert!(
            error.to_string().contains("no context \"there\"; available contexts: here"),
            "{error}"
        );
    }

    #[test]
    fn contexts_returns_current_context_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let named = |name: &str| json!({"name": name, "context": {"cluster": "c", "user": "u"}});
        let config =
            json!({"current-context": "b", "contexts": [named("a"), named("b"), named("c")]});
        fs::write(&path, config.to_string()).unwrap();
        assert_eq!(KubeCluster::contexts(&path).unwrap(), ["b", "a", "c"]);
    }

    #[tokio::test]
    async fn contexts_of_one_file_are_independent_clusters() {
        let (one, two) = (
            FakeApiServer::new(|_: &RecordedRequest| None),
            FakeApiServer::new(|_: &RecordedRequest| None),
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let context = |name: &str| json!({"name": name, "context": {"cluster": name, "user": "u"}});
        let at = |name: &str, server: &FakeApiServer| json!({"name": name, "cluster": {"server": format!("http://{}", server.address)}});
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
        assert_eq!(
            (first.await, second.await),
            (false, true),
            "the second cluster should be unaffected"
        );
    }

    #[tokio::test]
    async fn stopped_or_silent_server_is_unreachable() {
        let server = FakeApiServer::new(|_: &RecordedRequest| Some(FakeResponse::Hang));
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
    async fn expired_token_is_unauthenticated() {
        let server = FakeApiServer::new(|_: &RecordedRequest| {
            Some(FakeResponse::Json(401, status(401, "Unauthorized", "Unauthorized")))
        });
        let error = failed(&server).await;
        assert!(matches!(error, ConnectError::Unauthenticated { .. }), "{error}");
        assert!(error.hint().contains("renew"), "{}", error.hint());
    }

    #[tokio::test]
    async fn missing_permission_error_names_user() {
        let server = FakeApiServer::new(|request: &RecordedRequest| {
            request
                .path
                .ends_with("accessreviews")
                .then(|| FakeResponse::Json(201, json!({"status": {"allowed": false}})))
        });
        let error = failed(&server).await;
        assert!(error.to_string().contains("jane is not allowed to list pods"), "{error}");
        assert!(error.hint().contains("--user=jane"), "{}", error.hint());
    }

    #[tokio::test]
    async fn permission_in_context_namespace_is_sufficient() {
        let server = FakeApiServer::new(|request: &RecordedRequest| {
            request.path.ends_with("accessreviews").then(|| {
                let requested = request.json();
                let is_shop = requested["spec"]["resourceAttributes"]["namespace"] == "shop";
                FakeResponse::Json(201, json!({"status": {"allowed": is_shop}}))
            })
        });
        let cluster = connect_as(&server, json!({})).await.unwrap();
        assert_eq!(cluster.server_version().await.unwrap(), "v1.36.0");
    }

    #[tokio::test]
    async fn non_kubernetes_server_is_reported() {
        let server = FakeApiServer::new(|_: &RecordedRequest| {
            Some(FakeResponse::Json(200, "<html>".into()))
        });
        assert!(matches!(failed(&server).await, ConnectError::NotKubernetes { .. }));
    }
}
