//! Validates live responses of every route, and the requests that get them, against the OpenAPI document.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{
    AlertItem, AlertmanagerRequest, ExperimentItem, GuardrailItem, IncidentItem, ListResponse,
    OpenApiResponse, PlanItem, PlanResponse, RunItem,
};
use futures::StreamExt as _;
use jsonschema::Validator;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use workflow::alertmanager::{Webhook, WebhookAlert};

use crate::http_api::plan_for_approval;
use crate::server_process::{HttpServer, wait_for_async};

/// Time limit for a plan or a run, with simulated time 50 times as fast as the clock.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Routes that need a step that waits for approval, which no template of the simulated cluster has. Their response is
/// that of the other run controls.
const STEP_REVIEWS: [&str; 2] =
    ["POST /api/v1/runs/{id}/steps/{step}/approve", "POST /api/v1/runs/{id}/steps/{step}/reject"];

/// A server with its OpenAPI document, and the operations of which a successful response was validated.
struct Checker {
    server: HttpServer,
    document: Value,
    validated: BTreeSet<String>,
}

/// One request. `path` is as in the document; `id` and `step` replace its parameters.
struct Call<'a> {
    method: Method,
    path: &'a str,
    id: &'a str,
    query: &'a str,
    body: Option<Value>,
    if_match: Option<String>,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, id: "", query: "", body: None, if_match: None }
    }

    fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    fn post(path: &'a str, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    fn of(self, id: &'a str) -> Self {
        Self { id, ..self }
    }
}

/// Forbids members that the schemas do not list. The document allows them, so that clients accept newer servers.
fn forbid_unlisted_members(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.values_mut().for_each(forbid_unlisted_members);
            let is_closed = keywords.contains_key("properties")
                && !["$ref", "allOf", "anyOf", "oneOf", "additionalProperties"]
                    .iter()
                    .any(|keyword| keywords.contains_key(*keyword));
            if is_closed {
                keywords.insert("additionalProperties".into(), false.into());
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(forbid_unlisted_members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns why `value` is invalid; empty if it is valid.
fn errors(validator: &Validator, value: &Value) -> Vec<String> {
    let describe =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(value).map(describe).collect()
}

impl Checker {
    async fn start(dir: &std::path::Path) -> Self {
        let world = ["--simulate", "--seed", "3", "--speed", "50", "--listen", "127.0.0.1:0"];
        let fault = ["--fault", "scaled-to-zero", "--fault-after", "0", "--policy", "greedy"];
        let server = HttpServer::start(dir, &[&world[..], &fault[..]].concat());
        let document = server.request_root(Method::GET, "/api/openapi.json").send().await.unwrap();
        let document = document.json().await.unwrap();
        Self { server, document, validated: BTreeSet::new() }
    }

    /// Returns the operations of the document by method and path.
    fn operations(&self) -> BTreeSet<String> {
        let document: OpenApiResponse = serde_json::from_value(self.document.clone()).unwrap();
        let routes = document.paths.into_iter().flat_map(|(path, methods)| {
            methods.into_iter().map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
        });
        routes.collect()
    }

    /// Returns the validator of a body of the operation: of `/requestBody`, or of `/responses/STATUS`.
    fn validator(&self, method: &Method, path: &str, body: &str) -> Validator {
        let method = method.as_str().to_lowercase();
        let operation = &self.document["paths"][path][&method];
        let content = operation.pointer(&format!("{body}/content"));
        let content =
            content.and_then(Value::as_object).and_then(|content| content.values().next());
        let schema = content.unwrap_or_else(|| panic!("{method} {path}{body} has no schema"));
        let mut root = schema["schema"].clone();
        root["components"] = self.document["components"].clone();
        forbid_unlisted_members(&mut root["components"]);
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .unwrap()
    }

    /// Validates a response, and that its schema detects each missing member and an unknown one.
    fn validate(&mut self, method: &Method, path: &str, status: u16, body: &Value) {
        let route = format!("{method} {path}");
        let validator = self.validator(method, path, &format!("/responses/{status}"));
        let found = errors(&validator, body);
        assert!(found.is_empty(), "{route} {status}: {found:#?}\n{body:#}");
        if let Value::Object(members) = body {
            for name in members.keys().filter(|name| !is_omittable(path, name)) {
                let mut incomplete = members.clone();
                incomplete.remove(name);
                let is_valid = validator.is_valid(&incomplete.into());
                assert!(!is_valid, "{route} {status}: the schema does not require `{name}`");
            }
            let mut more = members.clone();
            more.insert("unlisted".into(), true.into());
            assert!(!validator.is_valid(&more.into()), "{route} {status} allows any member");
        }
        if status < 300 {
            self.validated.insert(route);
        }
    }

    /// Sends a request, validates it and its response, and returns the response.
    async fn send<T: DeserializeOwned>(&mut self, call: Call<'_>, status: u16) -> T {
        let Call { method, path, id, query, body, if_match } = call;
        let url = path.replace("{id}", id).replace("{name}", id).replace("{step}", "one");
        let mut request = self.server.request_root(method.clone(), &format!("{url}{query}"));
        if let Some(body) = &body {
            let found = errors(&self.validator(&method, path, "/requestBody"), body);
            assert!(found.is_empty(), "{method} {path}: {found:#?}");
            request = request.json(body);
        }
        if let Some(digest) = if_match {
            request = request.header("If-Match", format!("\"{digest}\""));
        }
        let response = request.send().await.unwrap();
        let actual = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        assert_eq!(actual, status, "{method} {path}: {body:#}");
        self.validate(&method, path, status, &body);
        serde_json::from_value(body.clone()).unwrap_or_else(|error| {
            panic!("{method} {path}: the response is not of the client's type: {error}\n{body:#}")
        })
    }

    /// Validates the data of the first `count` events of a stream.
    async fn validate_events(&mut self, path: &str, id: &str, query: &str, count: usize) {
        let url = path.replace("{id}", id);
        let response =
            self.server.request_root(Method::GET, &format!("{url}{query}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let (mut chunks, mut text) = (response.bytes_stream(), String::new());
        let data = |text: &str| {
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            let lines = whole.lines().filter_map(|line| line.strip_prefix("data:"));
            lines.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        };
        while data(&text).len() < count {
            let chunk = tokio::time::timeout(TIMEOUT, chunks.next()).await.expect("an event");
            text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
        for event in data(&text) {
            let validator = self.validator(&Method::GET, path, "/responses/200");
            let found = errors(&validator, &event);
            assert!(found.is_empty(), "{path}: {found:#?}\n{event:#}");
        }
        self.validated.insert(format!("GET {path}"));
    }

    /// Validates a response that is text.
    async fn validate_text(&mut self, path: &str) {
        let response = self.server.request_root(Method::GET, path).send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        self.validate(&Method::GET, path, status, &text.into());
    }
}

/// Whether a response leaves out the member if it is absent or empty, so that its schema cannot require it.
fn is_omittable(path: &str, member: &str) -> bool {
    let omittable: &[&str] = match path {
        "/api/v1/alerts/{id}" => &["sourceId", "endsAt", "link", "defects"],
        "/api/v1/experiments" => &["hypothesis", "alerts", "startedAt", "stoppedAt", "nextCursor"],
        _ if path.starts_with("/api/v1/experiments/") => {
            &["hypothesis", "alerts", "startedAt", "stoppedAt"]
        }
        _ => &["nextCursor"],
    };
    omittable.contains(&member)
}

fn delivery() -> AlertmanagerRequest {
    let labels = [("alertname", "Ghost"), ("namespace", "nowhere"), ("deployment", "ghost")];
    let labels = labels.map(|(name, value)| (name.to_string(), value.to_string()));
    let alert = WebhookAlert {
        status: "firing".into(),
        labels: labels.into(),
        starts_at: "2026-01-01T00:00:00Z".into(),
        ends_at: "0001-01-01T00:00:00Z".into(),
        ..WebhookAlert::default()
    };
    AlertmanagerRequest(Webhook {
        version: "4".into(),
        group_key: "{}".into(),
        status: "firing".into(),
        alerts: vec![alert],
        ..Webhook::default()
    })
}

#[tokio::test]
async fn live_responses_of_every_route_fit_the_openapi_document() {
    let folder = tempfile::tempdir().unwrap();
    let mut checker = Checker::start(&folder.path().join("data")).await;
    let why = json!({"reason": "a test", "actor": "ada"});

    let _: OpenApiResponse = checker.send(Call::get("/api/openapi.json"), 200).await;
    checker.validate_text("/livez").await;
    checker.validate_text("/readyz").await;
    let delivery = serde_json::to_value(delivery()).unwrap();
    let _: api::IngestResponse =
        checker.send(Call::post("/api/v1/ingest/alertmanager", delivery), 202).await;

    let first = plan_for_approval(&checker.server).await;
    let (plan, incident) = (first.id.as_str(), first.incident.as_str());
    let alerts: ListResponse<AlertItem> = checker.send(Call::get("/api/v1/alerts"), 200).await;
    let alert = alerts.items[0].id.as_str();
    let _: api::AlertResponse = checker.send(Call::get("/api/v1/alerts/{id}").of(alert), 200).await;
    let incidents: ListResponse<IncidentItem> =
        checker.send(Call::get("/api/v1/incidents"), 200).await;
    assert!(incidents.items.iter().any(|item| item.id == first.incident));
    let _: api::IncidentResponse =
        checker.send(Call::get("/api/v1/incidents/{id}").of(incident), 200).await;
    let similar = Call::get("/api/v1/incidents/{id}/similar").of(incident);
    let similar: api::SimilarExecutionsResponse = checker.send(similar, 200).await;
    assert!(!similar.0.is_empty(), "the learner starts with past executions");
    checker.validate_events("/api/v1/events", "", "?after=0", 8).await;

    let invalid = json!({"apiVersion": "chiron.dev/v1alpha1", "kind": "RemediationWorkflow"});
    // The schema of the request is that of a text in YAML, of which JSON is a part.
    let path = "/api/v1/manifests:validate";
    let request = checker.server.request_root(Method::POST, path).json(&invalid);
    let validation: Value = request.send().await.unwrap().json().await.unwrap();
    checker.validate(&Method::POST, path, 200, &validation);
    let validation: api::ValidateManifestResponse = serde_json::from_value(validation).unwrap();
    assert!(!validation.is_valid && !validation.diagnostics.is_empty());
    let guardrails: ListResponse<GuardrailItem> =
        checker.send(Call::get("/api/v1/guardrails"), 200).await;
    let name = guardrails.items[0].name.as_str();
    let _: api::GuardrailResponse =
        checker.send(Call::get("/api/v1/guardrails/{name}").of(name), 200).await;
    let learner: api::LearnerResponse = checker.send(Call::get("/api/v1/learner"), 200).await;
    assert!(learner.observations > 0 && !learner.arms.is_empty());

    // An experiment, from draft to results.
    let variants = json!([
        {"name": "a", "share": 0.5, "treatment": {"kind": "baseline"}},
        {"name": "b", "share": 0.5, "treatment": {"kind": "policy", "policy": "greedy"}},
    ]);
    let body = json!({"name": "greedy", "variants": variants});
    let created: api::CreateExperimentResponse =
        checker.send(Call::post("/api/v1/experiments", body), 201).await;
    let experiment = created.0.id.as_str();
    for verb in ["start", "stop"] {
        let path = format!("/api/v1/experiments/{{id}}/{verb}");
        let _: api::ExperimentResponse =
            checker.send(Call::post(&path, why.clone()).of(experiment), 200).await;
    }
    let _: ListResponse<ExperimentItem> = checker.send(Call::get("/api/v1/experiments"), 200).await;
    let _: api::ExperimentResponse =
        checker.send(Call::get("/api/v1/experiments/{id}").of(experiment), 200).await;
    let results = Call::get("/api/v1/experiments/{id}/results").of(experiment);
    let results: api::ExperimentResultsResponse = checker.send(results, 200).await;
    assert_eq!(results.verdict, api::ExperimentConclusion::NotEnoughData);

    // A plan is explained, rated and approved.
    let _: ListResponse<PlanItem> = checker.send(Call::get("/api/v1/plans"), 200).await;
    let shown: PlanResponse = checker.send(Call::get("/api/v1/plans/{id}").of(plan), 200).await;
    let explained: api::ExplainPlanResponse =
        checker.send(Call::get("/api/v1/plans/{id}/explain").of(plan), 200).await;
    assert!(explained.evidence.is_some() && explained.decision.is_some());
    let rating = json!({"rating": "right", "comment": "correct", "actor": "ada"});
    let _: api::FeedbackResponse =
        checker.send(Call::post("/api/v1/plans/{id}/feedback", rating).of(plan), 201).await;
    let review = |path, shown: &PlanResponse| Call {
        if_match: Some(shown.plan.digest.to_string()),
        ..Call::post(path, why.clone())
    };
    // The stop keeps the run from ending before it is controlled.
    let stop = json!({"scope": "global", "level": "L1", "reason": "a test"});
    let stops = "/api/v1/emergency-stops";
    let _: api::EmergencyStopsResponse = checker.send(Call::post(stops, stop), 200).await;
    let active: api::EmergencyStopsResponse = checker.send(Call::get(stops), 200).await;
    assert_eq!(active.items.len(), 1);
    let call = review("/api/v1/plans/{id}/approve", &shown).of(plan);
    let approved: PlanResponse = checker.send(call, 200).await;
    assert!(approved.state.review.is_some());
    let started = wait_for_async(TIMEOUT, "a run starts", async || {
        let runs: ListResponse<RunItem> = checker.server.read("/runs").await;
        runs.items.into_iter().next()
    })
    .await;
    let run = started.id.as_str();
    let _: ListResponse<RunItem> = checker.send(Call::get("/api/v1/runs"), 200).await;
    let _: api::RunResponse = checker.send(Call::get("/api/v1/runs/{id}").of(run), 200).await;
    for verb in ["pause", "resume", "cancel"] {
        let path = format!("/api/v1/runs/{{id}}/{verb}");
        let _: api::RunResponse = checker.send(Call::post(&path, why.clone()).of(run), 200).await;
    }
    for route in STEP_REVIEWS {
        let path = route.strip_prefix("POST ").unwrap();
        let refused: api::ProblemResponse =
            checker.send(Call::post(path, why.clone()).of(run), 409).await;
        assert_eq!(refused.code, "rejected");
        let pointer = "/post/responses/200/content/application~1json/schema";
        let schema = checker.document["paths"][path].pointer(pointer);
        let other = checker.document["paths"]["/api/v1/runs/{id}/pause"].pointer(pointer);
        assert!(schema.is_some() && schema == other, "{route}");
    }
    let clear = json!({"scope": "global", "reason": "the test continues"});
    let clear = Call { body: Some(clear), ..Call::new(Method::DELETE, stops) };
    let _: api::EmergencyStopsResponse = checker.send(clear, 200).await;
    checker.validate_events("/api/v1/runs/{id}/events", run, "", 3).await;
    let ended = wait_for_async(TIMEOUT, "the run ends", async || {
        let view: api::RunResponse = checker.server.read(&format!("/runs/{run}")).await;
        view.ended_at.map(|_| view)
    })
    .await;
    assert_eq!(ended.status, workflow::RunStatus::Cancelled);
    let _: api::RunResponse = checker.send(Call::get("/api/v1/runs/{id}").of(run), 200).await;

    // Another plan is requested once the run has ended; the first one can then no longer be reviewed.
    let call = Call::post("/api/v1/plans", json!({"incident": incident, "actor": "ada"}));
    let _: PlanResponse = checker.send(call, 201).await;
    let call = review("/api/v1/plans/{id}/reject", &shown).of(plan);
    let refused: api::ProblemResponse = checker.send(call, 409).await;
    assert_eq!(refused.code, "plan_superseded");
    let pointer = "/post/responses/200/content/application~1json/schema";
    let schema_of = |path: &str| checker.document["paths"][path].pointer(pointer).cloned();
    let of_approval = schema_of("/api/v1/plans/{id}/approve");
    assert!(of_approval.is_some() && schema_of("/api/v1/plans/{id}/reject") == of_approval);

    let mut validated = checker.validated.clone();
    validated.extend(STEP_REVIEWS.map(Into::into));
    validated.insert("POST /api/v1/plans/{id}/reject".into());
    assert_eq!(validated, checker.operations());
    checker.server.end();
}
