use serde_json::json;

use super::*;
use crate::Selector;

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn deployment() -> Object {
    object(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "generation": 3, "annotations": {"deployment.kubernetes.io/revision": "12"}},
        "spec": {"replicas": 3, "paused": true, "progressDeadlineSeconds": 60, "selector": {"matchLabels": {"app": "api"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "api", "v": "1"}}, "spec": {
                "initContainers": [{"name": "init", "image": "init:1"}],
                "containers": [{"name": "api", "image": "api:1", "command": ["run"], "args": ["-x", "1"],
                    "env": [{"name": "PLAIN", "value": "1"}, {"name": "EMPTY"},
                        {"name": "CONF", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                        {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p", "optional": true}}},
                        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    "envFrom": [{"configMapRef": {"name": "all"}}, {"secretRef": {"name": "hidden"}}],
                    "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
                    "resources": {"requests": {"cpu": 1}, "limits": {"memory": "64Mi", "cpu": "bad"}},
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
                    "livenessProbe": {"tcpSocket": {"port": 8080}, "failureThreshold": 6},
                    "startupProbe": {"exec": {"command": ["true"]}}}]}}},
        "status": {"observedGeneration": 2, "replicas": 4, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2,
            "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}]}}))
}

#[test]
fn deployment_view_reads_all_fields() {
    let object = deployment();
    let view = Deployment::of(&object).unwrap();
    assert_eq!(
        (view.replicas(), view.current(), view.ready(), view.updated(), view.available()),
        (3, 4, 2, 1, 2)
    );
    assert_eq!(
        (view.observed_generation(), view.revision(), view.is_paused()),
        (2, Some(12), true)
    );
    assert_eq!(view.progress_deadline_seconds(), 60);
    assert_eq!(view.selector(), Selector::of_labels([("app", "api")]));
    assert_eq!(view.template_labels().len(), 2);
    assert_eq!(
        view.strategy(),
        DeploymentStrategy::RollingUpdate {
            max_unavailable: Some(&json!(0)),
            max_surge: Some(&json!("25%"))
        }
    );
    let condition = view.condition("Progressing").unwrap();
    assert_eq!(
        (condition.status, condition.reason, condition.message),
        (Some(false), "ProgressDeadlineExceeded", "m")
    );
    assert_eq!(view.condition("Available"), None);
}

#[test]
fn deployment_view_applies_kubernetes_defaults() {
    let bare =
        object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}));
    let view = Deployment::of(&bare).unwrap();
    assert_eq!(
        (view.replicas(), view.ready(), view.observed_generation(), view.revision()),
        (1, 0, 0, None)
    );
    assert_eq!((view.is_paused(), view.progress_deadline_seconds()), (false, 600));
    assert!(!view.selector().matches(&BTreeMap::new()), "a missing selector selects nothing");
    assert_eq!(view.containers().count(), 0);
    assert!(
        Deployment::of(&object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}})))
            .is_none()
    );
    let recreate = object(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": {"strategy": {"type": "Recreate"}}}),
    );
    assert_eq!(Deployment::of(&recreate).unwrap().strategy(), DeploymentStrategy::Recreate);
}

#[test]
fn container_view_reads_all_fields() {
    let object = deployment();
    let container = Container::named(&object, "api").unwrap();
    assert_eq!((container.name(), container.image()), ("api", "api:1"));
    assert_eq!(container.command().chain(container.args()).collect::<Vec<_>>(), ["run", "-x", "1"]);
    let sources: Vec<_> = container.env().map(|variable| variable.source).collect();
    assert_eq!(
        sources,
        [
            EnvSource::Value("1"),
            EnvSource::Value(""),
            EnvSource::ConfigMap { name: "c", key: "k", is_optional: false },
            EnvSource::Secret { name: "s", key: "p", is_optional: true },
            EnvSource::Pod,
        ]
    );
    assert_eq!(
        container.env_from_config_maps().chain(container.env_from_secrets()).collect::<Vec<_>>(),
        ["all", "hidden"]
    );
    assert_eq!(container.request("cpu").unwrap().to_string(), "1");
    assert_eq!(container.limit("memory").unwrap().to_string(), "64Mi");
    assert_eq!((container.limit("cpu"), container.request("memory")), (None, None));
    let ports: Vec<_> =
        container.ports().map(|port| (port.name, port.port, port.protocol)).collect();
    assert_eq!(ports, [("http", 8080, "TCP"), ("", 53, "UDP")]);
    assert_eq!(
        Container::all_init(&object).map(|container| container.name()).collect::<Vec<_>>(),
        ["init"]
    );
    assert_eq!(Container::named(&object, "init"), None);
}

#[test]
fn probe_view_applies_kubernetes_defaults() {
    let object = deployment();
    let container = containers(&object).next().unwrap();
    let ready = container.readiness_probe().unwrap();
    assert_eq!(
        ready.check,
        ProbeCheck::HttpGet { path: "/ready", port: Some(PortRef::Name("http")) }
    );
    assert_eq!(
        (ready.initial_delay_seconds, ready.period_seconds, ready.timeout_seconds),
        (0, 5, 1)
    );
    assert_eq!((ready.failure_threshold, ready.success_threshold), (3, 1));
    assert_eq!(ready.port().unwrap().number_in(&container), Some(8080));
    assert_eq!(PortRef::Name("grpc").number_in(&container), None);
    let live = container.liveness_probe().unwrap();
    assert_eq!(
        (live.check, live.failure_threshold),
        (ProbeCheck::TcpSocket { port: Some(PortRef::Number(8080)) }, 6)
    );
    assert_eq!(container.startup_probe().unwrap().check, ProbeCheck::Exec);
    assert_eq!(
        Probe::of(&json!({"httpGet": {"port": 99999}})).check,
        ProbeCheck::HttpGet { path: "/", port: None }
    );
}

#[test]
fn pod_view_reads_all_fields() {
    let object = object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api-1"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "api", "image": "api:1"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "reason": "Evicted",
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
            "containerStatuses": [
                {"name": "api", "image": "api:1", "ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "m"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:00Z"}}},
                {"name": "side", "ready": true, "restartCount": 1, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}}));
    let pod = Pod::of(&object).unwrap();
    assert_eq!(
        (pod.phase(), pod.is_ready(), pod.is_terminating()),
        (PodPhase::Running, false, false)
    );
    assert_eq!(
        (pod.node(), pod.ip(), pod.reason(), pod.restarts()),
        (Some("node-1"), Some("10.0.0.1"), "Evicted", 5)
    );
    assert_eq!(pod.containers().map(|container| container.image()).collect::<Vec<_>>(), ["api:1"]);
    let statuses: Vec<_> = pod.container_statuses().collect();
    assert_eq!(statuses[0].waiting_reason(), Some("CrashLoopBackOff"));
    assert_eq!((statuses[1].waiting_reason(), statuses[1].is_ready()), (None, true));
    let noon = "2026-01-01T00:00:00Z".parse().ok();
    assert_eq!(
        statuses[0].last_state(),
        Some(ContainerState::Terminated {
            reason: "OOMKilled",
            message: "",
            exit_code: 137,
            finished_at: noon
        })
    );
    assert_eq!(statuses[1].state(), Some(ContainerState::Running { started_at: noon }));
    assert_eq!(pod.init_container_statuses().count(), 1);
}

#[test]
fn service_view_reads_all_fields() {
    let object = object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"selector": {"app": "api"}, "ports": [
            {"name": "web", "port": 80, "targetPort": "http"}, {"port": 53, "protocol": "UDP"}, {"port": 443, "targetPort": 8443}]}}));
    let service = Service::of(&object).unwrap();
    let ports: Vec<_> = service.ports().collect();
    assert_eq!(
        ports[0],
        ServicePort { name: "web", port: 80, target_port: PortRef::Name("http"), protocol: "TCP" }
    );
    assert_eq!(
        ports[1],
        ServicePort { name: "", port: 53, target_port: PortRef::Number(53), protocol: "UDP" }
    );
    assert_eq!(ports[2].target_port, PortRef::Number(8443));
    assert_eq!(service.service_type(), "ClusterIP");
}

#[test]
fn empty_service_selector_selects_nothing() {
    let service = |selector: Value| {
        object(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"selector": selector}}),
        )
    };
    let labels = BTreeMap::from([("app".to_string(), "api".to_string())]);
    for (selector, expected) in [
        (json!({"app": "api"}), true),
        (json!({"app": "api", "v": "1"}), false),
        (json!({}), false),
        (json!(null), false),
        (json!({"app": 5}), false),
    ] {
        let object = service(selector);
        assert_eq!(
            Service::of(&object).unwrap().selects(&labels),
            expected,
            "{:?}",
            object.field("spec")
        );
    }
    assert!(
        Selector::default().matches(&labels),
        "while the empty selector of a list selects everything"
    );
}

#[test]
fn endpoint_is_ready_by_default() {
    let object = object(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "api-x", "labels": {"kubernetes.io/service-name": "api"}}, "ports": [{"name": "web", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "p"}}, {"conditions": {"ready": false}}]}));
    let slice = EndpointSlice::of(&object).unwrap();
    assert_eq!(
        (slice.service(), slice.ports().collect::<Vec<_>>()),
        (Some("api"), vec![("web", 8080)])
    );
    let endpoints: Vec<_> = slice.endpoints().collect();
    assert_eq!(
        (endpoints[0].is_ready(), endpoints[0].pod(), endpoints[0].addresses().next()),
        (true, Some("p"), Some("10.0.0.1"))
    );
    assert_eq!((endpoints[1].is_ready(), endpoints[1].pod()), (false, None));
}

#[test]
fn view_treats_malformed_fields_as_absent() {
    let object = object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {},
        "spec": {"containers": {"not": "a list"}}, "status": {"containerStatuses": 5, "conditions": [7], "phase": 3}}));
    let pod = Pod::of(&object).unwrap();
    assert_eq!(
        (pod.containers().count(), pod.container_statuses().count(), pod.phase()),
        (0, 0, PodPhase::Pending)
    );
    assert_eq!(pod.condition("Ready"), None);
}
