//! A namespace on a real cluster, with helpers to create, change and await objects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actions::{Next, Reply};
use cluster::contract::Fixture as _;
use cluster::{
    Agent, Cluster, Consistency, Kind, Mode, Object, ObjectRef, Patch, Preconditions, Request,
    Verb, WriteReply,
};
use serde_json::{Value, json};

use crate::contract::KubeFixture;

/// Connects to the cluster of the kubeconfig in `CHIRON_TEST_KUBECONFIG`.
pub(super) async fn connect() -> KubeFixture {
    let path = std::env::var_os("CHIRON_TEST_KUBECONFIG")
        .expect("CHIRON_TEST_KUBECONFIG is not set; hint: run tests/kubernetes/run");
    KubeFixture::new(path.into(), None).await
}

/// A new namespace on a real cluster, used by one test.
pub(super) struct NamespaceFixture {
    pub(super) fixture: KubeFixture,
    pub(super) name: String,
}

/// Longer than any controller of a healthy cluster takes.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn request(target: &ObjectRef, verb: Verb) -> Request {
    Request {
        target: target.clone(),
        verb,
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    }
}

pub(super) fn merge(patch: Value) -> Verb {
    Verb::Patch { patch: Patch::Merge(patch), subresource: None }
}

/// Returns the code with which an action was refused.
pub(super) fn refusal_code(end: &Next) -> &str {
    match end {
        Next::Refused { code, .. } => code.as_str(),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn object_from(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

impl NamespaceFixture {
    pub(super) async fn new(prefix: &str) -> Self {
        let fixture = connect().await;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": format!("{prefix}-")}});
        let target = ObjectRef::builtin("test", "Namespace", None, "");
        match fixture.cluster.send(&request(&target, Verb::Create(object_from(namespace)))).await {
            WriteReply::Accepted(object) => Self { fixture, name: object.name().into() },
            other => panic!("cannot create a namespace: {other:?}"),
        }
    }

    /// Returns the cluster with the permissions of a service account in this namespace.
    pub(super) async fn as_service_account(&self, name: &str) -> Arc<dyn Cluster> {
        self.fixture.as_service_account(&self.name, name).await
    }

    pub(super) fn object(&self, kind: &str, name: &str, fields: Value) -> Object {
        let kind = Kind::builtin(kind).unwrap();
        let mut value = json!({"apiVersion": kind.api_version, "kind": kind.kind,
            "metadata": {"name": name, "namespace": self.name, "labels": {"app": name}}});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        object_from(value)
    }

    pub(super) async fn create(&self, kind: &str, name: &str, fields: Value) -> Object {
        self.create_object(self.object(kind, name, fields)).await
    }

    async fn create_object(&self, object: Object) -> Object {
        let target = object.reference("test");
        match self.fixture.cluster.send(&request(&target, Verb::Create(object))).await {
            WriteReply::Accepted(object) => object,
            other => panic!("{target}: {other:?}"),
        }
    }

    /// Creates a Deployment with zero replicas. The reference contains its uid.
    pub(super) async fn deployment(&self, name: &str) -> ObjectRef {
        let containers = json!([{"name": "main", "image": "registry.k8s.io/pause:3.10"}]);
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}});
        self.create("Deployment", name, json!({"spec": spec})).await.reference("test")
    }

    /// Creates a pod without a node; if `is_ready`, with the status that a kubelet reports for a ready pod.
    pub(super) async fn pod(&self, name: &str, is_ready: bool) -> Object {
        // Pods require the default service account, which a controller creates after the namespace.
        let account = ObjectRef::builtin("test", "ServiceAccount", Some(&self.name), "default");
        self.wait_until(&account, |_| true).await;
        let spec = json!({"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]});
        let pod = self.create("Pod", name, json!({"spec": spec})).await;
        if is_ready { self.set_ready(name).await } else { pod }
    }

    pub(super) async fn set_ready(&self, name: &str) -> Object {
        let target = ObjectRef::builtin("test", "Pod", Some(&self.name), name);
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let patch = Patch::Merge(json!({"status": {"phase": "Running", "conditions": [ready]}}));
        let verb = Verb::Patch { patch, subresource: Some("status".into()) };
        match self.fixture.cluster.send(&request(&target, verb)).await {
            WriteReply::Accepted(object) => object,
            other => panic!("{target}: {other:?}"),
        }
    }

    pub(super) async fn get(&self, target: &ObjectRef) -> Option<Object> {
        let found = self.fixture.cluster.get(target, Consistency::Latest).await;
        found.unwrap_or_else(|failure| panic!("{target}: {failure}"))
    }

    pub(super) async fn get_existing(&self, target: &ObjectRef) -> Object {
        self.get(target).await.unwrap_or_else(|| panic!("{target} does not exist"))
    }

    pub(super) async fn send(
        &self,
        target: &ObjectRef,
        verb: Verb,
        preconditions: Preconditions,
        mode: Mode,
    ) -> WriteReply {
        let request = Request { preconditions, mode, ..request(target, verb) };
        self.fixture.cluster.send(&request).await
    }

    pub(super) async fn merge(&self, target: &ObjectRef, patch: Value) -> WriteReply {
        self.fixture.cluster.send(&request(target, merge(patch))).await
    }

    pub(super) async fn delete(&self, target: &ObjectRef) {
        let verb = Verb::Delete { grace_seconds: None };
        let reply = self.fixture.cluster.send(&request(target, verb)).await;
        assert_eq!(reply, WriteReply::Deleted, "{target}");
    }

    /// Waits until the object exists and satisfies the condition.
    pub(super) async fn wait_until(&self, target: &ObjectRef, condition: impl Fn(&Object) -> bool) {
        let is_met = async || self.get(target).await.is_some_and(|object| condition(&object));
        self.wait_for(&target.to_string(), is_met).await;
    }

    /// Waits until the condition is true.
    pub(super) async fn wait_for(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while !condition().await {
            assert!(
                start.elapsed() < CONTROLLER_TIMEOUT,
                "{what}: not within {CONTROLLER_TIMEOUT:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Runs an action to its end. Calls `before_change` before each change, with its number from 1. Returns the end and the
    /// number of changes.
    pub(super) async fn run_action(
        &self,
        action: &str,
        args: Value,
        before_change: impl AsyncFn(usize),
    ) -> (Next, usize) {
        let catalogue = actions::catalogue();
        let (spec, args) = (catalogue.get(action).unwrap(), args.as_object().unwrap());
        let (mut replies, mut sent) = (Vec::new(), 0);
        loop {
            match actions::next(spec, args, "step-key", &replies) {
                Next::Read(queries) => {
                    for query in queries {
                        let cluster = &*self.fixture.cluster;
                        replies.push(Reply::Read(cluster::read(cluster, &query).await));
                    }
                }
                Next::Send { target, verb, preconditions } => {
                    sent += 1;
                    before_change(sent).await;
                    let reply = self.send(&target, verb, preconditions, Mode::Commit).await;
                    replies.push(Reply::Write(reply));
                }
                Next::Wait(_) => replies.push(Reply::Waited),
                Next::RequestApproval(_) => replies.push(Reply::Approved),
                end @ (Next::Done { .. } | Next::Refused { .. }) => return (end, sent),
            }
        }
    }

    /// Returns a namespace selector that selects this namespace only.
    fn namespace_selector(&self) -> Value {
        json!({"matchLabels": {"kubernetes.io/metadata.name": self.name}})
    }

    /// Creates a cluster-scoped admission object, which is named after this namespace.
    async fn create_admission_object(&self, kind: &str, fields: Value) -> ObjectRef {
        let mut value = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": self.name}});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.create_object(object_from(value)).await.reference("test")
    }

    /// Adds an admission policy for updates of the Deployments in this namespace.
    pub(super) async fn forbid_replicas_above(&self, max: u32) {
        let matched = json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["UPDATE"], "resources": ["deployments"]}]});
        let check = json!({"expression": format!("object.spec.replicas <= {max}"), "message": format!("no more than {max} replicas")});
        let spec =
            json!({"failurePolicy": "Fail", "matchConstraints": matched, "validations": [check]});
        self.create_admission_object("ValidatingAdmissionPolicy", json!({"spec": spec})).await;
        let spec = json!({"policyName": self.name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": self.namespace_selector()}});
        self.create_admission_object("ValidatingAdmissionPolicyBinding", json!({"spec": spec}))
            .await;
    }

    /// Adds an admission webhook at `address` for updates of the ConfigMaps in this namespace, with a timeout of one second.
    pub(super) async fn add_configmap_webhook(&self, address: SocketAddr) {
        let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["configmaps"]}]);
        let webhook = json!({"name": "silent.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 1, "namespaceSelector": self.namespace_selector(), "rules": rules,
            "clientConfig": {"url": format!("https://{address}/")}});
        self.create_admission_object(
            "ValidatingWebhookConfiguration",
            json!({"webhooks": [webhook]}),
        )
        .await;
    }
}
