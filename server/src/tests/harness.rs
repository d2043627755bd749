//! A server over an in-memory store, with a test-only responder in place of the engine.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Memory, Salts, Store};
use tokio::sync::mpsc;
use tower::ServiceExt;
use workflow::incident::{self, IncidentInput};
use workflow::input::{ErrorKind, Query};
use workflow::run::{FleetEvent, StopScope};
use workflow::{
    Catalogue, Decision, Draft, EngineResponse, Entry, Incidents, Input, Limits, Plan,
    id::FeedbackId,
};

use crate::{EngineRequest, ServerConfig, Timeouts, router_with};

pub(super) const TOKEN: &str = "a-token-for-tests";
pub(super) const HOST: &str = "127.0.0.1:8080";
pub(super) const PLAN: &str = "pln_01JZZZZZZZZZZZZZZZZZZZZZZZ";
pub(super) const RUN: &str = "run_01JZZZZZZZZZZZZZZZZZZZZZZZ";

pub(super) fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A router, its store, and the inputs that it sent to the engine.
pub(super) struct ServerHarness {
    pub(super) router: Router,
    pub(super) store: Arc<Memory>,
    pub(super) epoch: u64,
    /// Inputs sent to the engine, in order.
    pub(super) received: Arc<Mutex<Vec<Input>>>,
    /// Moved into the responder by [`ServerHarness::respond`].
    queue: Option<mpsc::Receiver<EngineRequest>>,
}

impl ServerHarness {
    /// Creates a server whose inputs are answered.
    pub(super) async fn new() -> Self {
        let mut server = Self::unanswered(64, Timeouts::default()).await;
        server.respond();
        server
    }

    /// Creates a server whose inputs are not answered until [`ServerHarness::respond`].
    pub(super) async fn unanswered(queue: usize, timeouts: Timeouts) -> Self {
        let (inputs, receiver) = mpsc::channel(queue);
        let store = Arc::new(Memory::new(Salts::seeded("tests")));
        let epoch = store.claim(now(), "tests").await.unwrap();
        let server = ServerConfig {
            controls: inputs.clone(),
            inputs,
            store: Arc::clone(&store) as Arc<dyn Store>,
            catalogue: Arc::new(Catalogue::default()),
            token: TOKEN.into(),
            limits: Limits::default(),
            hosts: vec![HOST.into()],
            now: Arc::new(now),
            extra: Some(Router::new().route("/demo", axum::routing::get(|| async { "demo" }))),
        };
        let router = router_with(server, timeouts);
        Self { router, store, epoch, received: Arc::default(), queue: Some(receiver) }
    }

    /// Starts the test-only responder.
    pub(super) fn respond(&mut self) {
        let queue = self.queue.take().expect("the responder starts once");
        tokio::spawn(test_only_responder(
            queue,
            Arc::clone(&self.store),
            self.epoch,
            Arc::clone(&self.received),
        ));
    }

    pub(super) async fn append(&self, entries: impl IntoIterator<Item = Entry>) {
        let drafts = entries.into_iter().map(|entry| Draft::new(now(), entry)).collect();
        self.store.append(drafts, Vec::new(), &[], self.epoch).await.unwrap();
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(request("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.send_json("POST", path, body).await
    }

    pub(super) async fn delete(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.send_json("DELETE", path, body).await
    }

    async fn send_json(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        let request = request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn ingest(&self, body: impl Into<Body>) -> Reply {
        self.post("/api/v1/ingest/alertmanager", body).await
    }

    pub(super) fn inputs(&self) -> Vec<Input> {
        self.received.lock().unwrap().clone()
    }

    /// Returns the first events of a stream, as text.
    pub(super) async fn events(&self, request: Request<Body>, count: usize) -> Vec<String> {
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body().into_data_stream();
        let mut text = String::new();
        while text.matches("\n\n").count() < count {
            text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        }
        text.split("\n\n").take(count).map(Into::into).collect()
    }
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    /// Returns the status and the code of a problem document.
    #[track_caller]
    pub(super) fn problem(&self) -> (u16, &str) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        for member in ["type", "title", "detail", "hint"] {
            assert!(self.body[member].is_string(), "a problem has `{member}`: {}", self.body);
        }
        assert_eq!(self.body["status"], self.status.as_u16());
        (self.status.as_u16(), self.body["code"].as_str().unwrap())
    }
}

pub(super) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, HOST)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

/// Returns a delivery with one firing alert.
pub(super) fn delivery(name: &str) -> String {
    json!({
        "version": "4", "groupKey": "{}", "status": "firing", "truncatedAlerts": 0,
        "alerts": [{
            "status": "firing", "startsAt": "2025-12-31T23:59:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "labels": {"alertname": name, "namespace": "shop", "deployment": name}, "annotations": {},
        }],
    })
    .to_string()
}

/// Answers inputs like the engine, as far as the server can observe: folds deliveries into incidents and records them,
/// records emergency stops, refuses controls, and answers queries with a constant: no similar executions, and an incomplete
/// summary of the learner.
async fn test_only_responder(
    mut queue: mpsc::Receiver<EngineRequest>,
    store: Arc<Memory>,
    epoch: u64,
    seen: Arc<Mutex<Vec<Input>>>,
) {
    let mut incidents = Incidents::default();
    while let Some((input, back)) = queue.recv().await {
        seen.lock().unwrap().push(input.clone());
        let mut entries = Vec::new();
        let input = match input {
            Input::Idempotent { input, .. } => *input,
            other => other,
        };
        let answer = match input {
            Input::IngestAlerts(delivery) => {
                let (mut alerts, mut opened) = (Vec::new(), Vec::new());
                for alert in delivery.alerts {
                    alerts.push(alert.id.clone());
                    for event in incident::decide(&incidents, &IncidentInput::Alert(alert), now()) {
                        incidents.apply(&event);
                        opened.extend(event.incident().cloned());
                        entries.push(Entry::Incident(event));
                    }
                }
                opened.dedup();
                EngineResponse::Received { alerts, incidents: opened }
            }
            Input::Stop { scope, level, actor: by, reason } => {
                let stopped = FleetEvent::Stopped { scope, level, actor: by, reason, at: now() };
                entries.push(Entry::Fleet(stopped));
                EngineResponse::Done
            }
            Input::ClearStop { scope: StopScope::Global, actor: by, reason } => {
                let lifted = FleetEvent::StopCleared {
                    scope: StopScope::Global,
                    actor: by,
                    reason,
                    at: now(),
                };
                entries.push(Entry::Fleet(lifted));
                EngineResponse::Done
            }
            Input::ClearStop { .. } => refused(ErrorKind::Conflict),
            Input::Control { .. } => refused(ErrorKind::Conflict),
            Input::Feedback { plan, .. } => {
                EngineResponse::Feedback { id: FeedbackId::derive(now(), plan.as_str(), 1) }
            }
            Input::ExperimentCreate { .. } => refused(ErrorKind::Invalid),
            Input::ExperimentStart { .. } => refused(ErrorKind::NotFound),
            Input::ExperimentStop { .. } => refused(ErrorKind::Forbidden),
            Input::Query(Query::Learner) => {
                EngineResponse::Result { value: json!({"observations": 7}) }
            }
            Input::Query(Query::Similar { .. }) => EngineResponse::Result { value: json!([]) },
            Input::Query(Query::ExperimentResults { .. }) => refused(ErrorKind::Unavailable),
            Input::Review { .. } => EngineResponse::Done,
            Input::Guardrails(_) | Input::Replan { .. } | Input::Idempotent { .. } => {
                refused(ErrorKind::Changed)
            }
        };
        let drafts = entries.into_iter().map(|entry| Draft::new(now(), entry)).collect();
        store.append(drafts, Vec::new(), &[], epoch).await.unwrap();
        // The requester may have been dropped.
        let _ = back.send(answer);
    }
}

fn refused(because: ErrorKind) -> EngineResponse {
    EngineResponse::Refused {
        kind: because,
        code: workflow::ErrorCode::Rejected,
        message: "refused by the responder".into(),
        hint: "none".into(),
    }
}

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn ulid(prefix: &str) -> String {
    format!("{prefix}_01JZZZZZZZZZZZZZZZZZZZZZZZ")
}

fn estimate(estimate: f64) -> Value {
    json!({"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1})
}

fn estimates(plan: f64) -> Value {
    json!({"plan": estimate(plan), "optimistic": plan, "observations": 3.0, "steps": [], "model": DIGEST})
}

fn features() -> Value {
    json!({"schema": DIGEST, "arm": "template/x", "values": [], "steps": []})
}

/// Returns a frozen plan with the id [`PLAN`].
pub(super) fn plan() -> Plan {
    serde_json::from_value(json!({
        "id": PLAN, "digest": DIGEST, "incident": ulid("inc"),
        "workflow": {
            "apiVersion": "chiron.dev/v1alpha1", "kind": "RemediationWorkflow",
            "metadata": {"name": "restart"}, "spec": {"steps": [{"id": "one", "action": "wait"}]},
        },
        "targets": [], "guardrailsVersion": "1", "candidate": ulid("cnd"), "source": {"source": "escalate"},
        "decision": ulid("dec"), "estimates": estimates(0.7),
        "features": features(), "explanation": ["because of the fact"],
        "optimization": workflow::OptimizationReport::default(), "attempt": 1, "needsApproval": "autonomy is approve",
        "createdAt": now(),
    }))
    .unwrap()
}

/// Returns the decision of [`plan`].
pub(super) fn decision() -> Decision {
    let option = |candidate: &str, estimate: f64, propensity: f64| {
        json!({
            "candidate": candidate, "arm": "template/x", "source": "template", "workflow": "restart",
            "features": features(), "estimates": estimates(estimate), "propensity": propensity,
        })
    };
    serde_json::from_value(json!({
        "id": ulid("dec"), "incident": ulid("inc"), "fingerprint": "00", "at": now(), "schema": DIGEST,
        "candidates": [option("cnd_01JYYYYYYYYYYYYYYYYYYYYYYY", 0.2, 0.25), option(&ulid("cnd"), 0.7, 0.75)],
        "chosen": ulid("cnd"), "propensity": 0.75, "policy": "igw", "policyDigest": DIGEST, "model": DIGEST,
        "seed": "00ff", "randomDraw": 0.5, "mode": "live", "retrieved": [], "attempt": 1,
    }))
    .unwrap()
}

/// Returns the events that start [`RUN`].
pub(super) fn run() -> Vec<Entry> {
    let run: workflow::id::RunId = RUN.parse().unwrap();
    let event = serde_json::from_value(json!({
        "event": "started", "plan": plan(), "machine": 1, "guarded": [], "actor": "tests", "at": now(),
    }));
    vec![Entry::Run { run, event: event.unwrap() }]
}
