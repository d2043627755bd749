//! Test cases: an action, its arguments, the expected values afterwards, and a concurrent change by another client.

use serde_json::{Value, json};
use workflow::Args;

use super::fold::World;

pub(super) struct ActionCase {
    pub(super) action: &'static str,
    pub(super) args: Args,
    /// The values at these JSON pointers afterwards; null for absent.
    pub(super) expected: Vec<(&'static str, Value)>,
    /// A strategic merge patch by another client, after which the inverse must be refused.
    pub(super) external_change: Option<Value>,
}

/// Actions whose targets have a generation.
pub(super) const CASES_OF_DEPLOYMENTS: [&str; 7] = [
    "scale",
    "set-image",
    "set-env",
    "set-resources",
    "set-probe",
    "rollout-restart",
    "rollout-undo",
];

impl ActionCase {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.action, Value::Object(self.args.clone()))
    }

    pub(super) fn world(&self) -> World {
        shop()
    }
}

pub(super) fn shop() -> World {
    let template = |image: &str| {
        json!({
            "metadata": {"labels": {"app": "cart"}},
            "spec": {"containers": [
                {"name": "side", "image": "side:1"},
                {"name": "main", "image": image,
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cart", "key": "b"}}}],
                    "resources": {"limits": {"memory": "64Mi", "cpu": 1}, "requests": {"memory": "32Mi"}},
                    "readinessProbe": {"httpGet": {"path": "/bad", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 5, "failureThreshold": 3}},
            ]},
        })
    };
    let mut old = template("cart:1");
    old["metadata"]["labels"]["pod-template-hash"] = "abc".into();
    let set = |name: &str, revision: &str, template: Value| {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "shop", "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart", "uid": "uid-Deployment-cart", "controller": true}]},
            "spec": {"template": template}})
    };
    World::new(vec![
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cart", "namespace": "shop", "annotations": {"deployment.kubernetes.io/revision": "2"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "cart"}}, "template": template("cart:2")}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "paused", "namespace": "shop"},
            "spec": {"paused": true, "template": template("cart:2")}}),
        set("cart-1", "1", old),
        set("cart-2", "2", template("cart:2")),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cart", "namespace": "shop"}, "data": {"a/b~c": "1", "b": "2"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "empty", "namespace": "shop"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "frozen", "namespace": "shop"}, "immutable": true, "data": {}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"selector": {"app": "cart", "tier": "wrong"}, "ports": [{"name": "admin", "port": 9000}, {"name": "http", "port": 80, "targetPort": 9999}]}}),
    ])
}

fn case(
    action: &'static str,
    args: Value,
    expected: Vec<(&'static str, Value)>,
    external_change: Option<Value>,
) -> ActionCase {
    let kind = match action {
        "set-config-key" => "ConfigMap",
        "set-service-selector" | "set-service-port" => "Service",
        _ => "Deployment",
    };
    let mut all = Args::from_iter([(
        "target".to_string(),
        json!({"kind": kind, "namespace": "shop", "name": "cart"}),
    )]);
    all.extend(args.as_object().cloned().unwrap());
    ActionCase { action, args: all, expected, external_change }
}

pub(super) fn cases() -> Vec<ActionCase> {
    let main = |field: Value| {
        let mut container = json!({"name": "main"});
        container.as_object_mut().unwrap().extend(field.as_object().cloned().unwrap());
        Some(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
    };
    vec![
        case(
            "scale",
            json!({"replicas": 5}),
            vec![("/spec/replicas", json!(5))],
            Some(json!({"spec": {"replicas": 9}})),
        ),
        case(
            "set-image",
            json!({"container": "main", "image": "cart:1"}),
            vec![
                ("/spec/template/spec/containers/1/image", json!("cart:1")),
                ("/spec/template/spec/containers/0/image", json!("side:1")),
            ],
            main(json!({"image": "cart:3"})),
        ),
        case(
            "set-env",
            json!({"container": "main", "name": "A", "value": "9"}),
            vec![("/spec/template/spec/containers/1/env/0/value", json!("9"))],
            main(json!({"env": [{"name": "A", "value": "theirs"}]})),
        ),
        case(
            "set-env",
            json!({"container": "main", "name": "NEW", "value": ""}),
            vec![("/spec/template/spec/containers/1/env/2", json!({"name": "NEW", "value": ""}))],
            main(json!({"env": [{"name": "NEW", "value": "theirs"}]})),
        ),
        case(
            "set-env",
            json!({"container": "main", "name": "B", "value": null}),
            vec![("/spec/template/spec/containers/1/env/1", Value::Null)],
            None,
        ),
        case(
            "set-env",
            json!({"container": "side", "name": "C", "from": {"secretKeyRef": {"name": "s", "key": "k"}}}),
            vec![("/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/key", json!("k"))],
            None,
        ),
        case(
            "set-config-key",
            json!({"key": "b", "value": "right"}),
            vec![("/data/b", json!("right")), ("/data/a~1b~0c", json!("1"))],
            Some(json!({"data": {"b": "theirs"}})),
        ),
        case(
            "set-config-key",
            json!({"key": "new", "value": "1"}),
            vec![("/data/new", json!("1"))],
            Some(json!({"data": {"new": "theirs"}})),
        ),
        case(
            "set-config-key",
            json!({"key": "b", "value": null}),
            vec![("/data/b", Value::Null)],
            Some(json!({"data": {"b": "theirs"}})),
        ),
        case(
            "set-service-selector",
            json!({"selector": {"app": "cart"}}),
            vec![("/spec/selector", json!({"app": "cart"}))],
            Some(json!({"spec": {"selector": {"app": "theirs"}}})),
        ),
        case(
            "set-service-port",
            json!({"port": "http", "targetPort": 8080}),
            vec![
                ("/spec/ports/1/targetPort", json!(8080)),
                ("/spec/ports/0", json!({"name": "admin", "port": 9000})),
            ],
            Some(json!({"spec": {"ports": [{"port": 80, "targetPort": 7777}]}})),
        ),
        case(
            "set-service-port",
            json!({"port": 80, "targetPort": "web"}),
            vec![("/spec/ports/1/targetPort", json!("web"))],
            None,
        ),
        case(
            "set-resources",
            json!({"container": "main", "limits": {"memory": "256Mi"}, "requests": {"memory": "128Mi", "cpu": "100m"}}),
            vec![(
                "/spec/template/spec/containers/1/resources",
                json!({"limits": {"memory": "256Mi", "cpu": 1}, "requests": {"memory": "128Mi", "cpu": "100m"}}),
            )],
            main(json!({"resources": {"limits": {"memory": "1Gi"}}})),
        ),
        case(
            "set-probe",
            json!({"container": "main", "which": "readiness", "httpGet": {"path": "/up", "port": 8081}}),
            vec![(
                "/spec/template/spec/containers/1/readinessProbe",
                json!({"httpGet": {"path": "/up", "port": 8081, "scheme": "HTTP"}, "periodSeconds": 5, "failureThreshold": 3}),
            )],
            main(json!({"readinessProbe": {"periodSeconds": 60}})),
        ),
        case(
            "set-probe",
            json!({"container": "main", "which": "readiness", "probe": null}),
            vec![("/spec/template/spec/containers/1/readinessProbe", Value::Null)],
            None,
        ),
        case(
            "set-probe",
            json!({"container": "main", "which": "liveness", "httpGet": {"path": "/up", "port": "web"}}),
            vec![("/spec/template/spec/containers/1/livenessProbe/httpGet/port", json!("web"))],
            None,
        ),
        case(
            "rollout-restart",
            json!({}),
            vec![(
                "/spec/template/metadata/annotations",
                json!({"chiron.dev/restarted-at-step": "step-key"}),
            )],
            None,
        ),
        case(
            "rollout-undo",
            json!({"revision": 1}),
            vec![
                ("/spec/template/spec/containers/1/image", json!("cart:1")),
                ("/spec/template/metadata/labels", json!({"app": "cart"})),
            ],
            main(json!({"image": "cart:3"})),
        ),
    ]
}
