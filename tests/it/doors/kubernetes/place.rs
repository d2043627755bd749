use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actions::Next;
use cluster::contract::Fixture as _;
use cluster::{
    Agent, Cluster, Consistency, Kind, Mode, Object, ObjectRef, Patch, Preconditions, Reply,
    Request, Verb,
};
use serde_json::{Value, json};
use workflow::run::ObjectQuery;

use crate::doors::Reached;

/// The cluster that the environment names.
pub(super) async fn real() -> Reached {
    let path = std::env::var_os("CHIRON_TEST_KUBECONFIG")
        .expect("CHIRON_TEST_KUBECONFIG names a kubeconfig; tests/kubernetes/run sets it");
    Reached::new(path.into(), None).await
}

/// A namespace of its own for one test.
pub(super) struct Place {
    pub(super) reached: Reached,
    pub(super) namespace: String,
}

/// Longer than any controller of a healthy cluster takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn request(target: &ObjectRef, verb: Verb) -> Request {
    Request {
        target: target.clone(),
        verb,
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: Agent::default(),
    }
}

pub(super) fn merge(patch: Value) -> Verb {
    Verb::Patch { patch: Patch::Merge(patch), subresource: None }
}

/// The one word for which an action ended without success.
pub(super) fn refused_code(end: &Next) -> &str {
    match end {
        Next::Refused { code, .. } => code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn read(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

impl Place {
    pub(super) async fn new(what: &str) -> Self {
        let reached = real().await;
        let named = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": format!("{what}-")}});
        let target = ObjectRef::builtin("test", "Namespace", None, "");
        match reached.cluster.send(&request(&target, Verb::Create(read(named)))).await {
            Reply::Accepted(object) => Self { reached, namespace: object.name().into() },
            other => panic!("no namespace: {other:?}"),
        }
    }

    /// The cluster as a service account of this namespace meets it.
    pub(super) async fn account(&self, name: &str) -> Arc<dyn Cluster> {
        self.reached.account(&self.namespace, name).await
    }

    pub(super) fn object(&self, kind: &str, name: &str, fields: Value) -> Object {
        let kind = Kind::builtin(kind).unwrap();
        let mut value = json!({"apiVersion": kind.api_version, "kind": kind.kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"app": name}}});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read(value)
    }

    pub(super) async fn make(&self, kind: &str, name: &str, fields: Value) -> Object {
        self.create(self.object(kind, name, fields)).await
    }

    async fn create(&self, object: Object) -> Object {
        let target = object.reference("test");
        match self.reached.cluster.send(&request(&target, Verb::Create(object))).await {
            Reply::Accepted(object) => object,
            other => panic!("{target}: {other:?}"),
        }
    }

    /// A Deployment that wants no pods, with its uid.
    pub(super) async fn deployment(&self, name: &str) -> ObjectRef {
        let containers = json!([{"name": "main", "image": "registry.k8s.io/pause:3.10"}]);
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}});
        self.make("Deployment", name, json!({"spec": spec})).await.reference("test")
    }

    /// A pod that no node runs, as a kubelet would say that it is.
    pub(super) async fn pod(&self, name: &str, is_ready: bool) -> Object {
        // The controller of service accounts makes the one that pods need a moment after the namespace.
        let account =
            ObjectRef::builtin("test", "ServiceAccount", Some(&self.namespace), "default");
        self.until(&account, |_| true).await;
        let spec = json!({"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]});
        let pod = self.make("Pod", name, json!({"spec": spec})).await;
        if is_ready { self.ready(name).await } else { pod }
    }

    pub(super) async fn ready(&self, name: &str) -> Object {
        let target = ObjectRef::builtin("test", "Pod", Some(&self.namespace), name);
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let patch = Patch::Merge(json!({"status": {"phase": "Running", "conditions": [ready]}}));
        let verb = Verb::Patch { patch, subresource: Some("status".into()) };
        match self.reached.cluster.send(&request(&target, verb)).await {
            Reply::Accepted(object) => object,
            other => panic!("{target}: {other:?}"),
        }
    }

    pub(super) async fn get(&self, target: &ObjectRef) -> Option<Object> {
        let found = self.reached.cluster.get(target, Consistency::Latest).await;
        found.unwrap_or_else(|failure| panic!("{target}: {failure}"))
    }

    pub(super) async fn found(&self, target: &ObjectRef) -> Object {
        self.get(target).await.unwrap_or_else(|| panic!("{target} should be there"))
    }

    pub(super) async fn send(
        &self,
        target: &ObjectRef,
        verb: Verb,
        preconditions: Preconditions,
        mode: Mode,
    ) -> Reply {
        let request = Request { preconditions, mode, ..request(target, verb) };
        self.reached.cluster.send(&request).await
    }

    pub(super) async fn merge(&self, target: &ObjectRef, patch: Value) -> Reply {
        self.reached.cluster.send(&request(target, merge(patch))).await
    }

    pub(super) async fn delete(&self, target: &ObjectRef) {
        let verb = Verb::Delete { grace_seconds: None };
        let reply = self.reached.cluster.send(&request(target, verb)).await;
        assert_eq!(reply, Reply::Deleted, "{target}");
    }

    /// Waits until the object is there and is `so`.
    pub(super) async fn until(&self, target: &ObjectRef, so: impl Fn(&Object) -> bool) {
        let what = target.to_string();
        self.within(&what, async || self.get(target).await.is_some_and(|object| so(&object))).await;
    }

    pub(super) async fn within(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begin = Instant::now();
        while !holds().await {
            assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Follows an action to its end; `before` is called before each change is sent. Gives the number of changes too.
    pub(super) async fn follow(
        &self,
        action: &str,
        args: Value,
        before: impl AsyncFn(usize),
    ) -> (Next, usize) {
        let catalogue = actions::catalogue();
        let (spec, args) = (catalogue.get(action).unwrap(), args.as_object().unwrap());
        let (mut replies, mut sent) = (Vec::new(), 0);
        loop {
            match actions::next(spec, args, "step-key", &replies) {
                Next::Read(queries) => {
                    for query in queries {
                        replies.push(self.look(&query).await);
                    }
                }
                Next::Send { target, verb, preconditions } => {
                    sent += 1;
                    before(sent).await;
                    replies.push(self.send(&target, verb, preconditions, Mode::Apply).await);
                }
                Next::Wait(_) | Next::Ask(_) => replies.push(Reply::Absent),
                end @ (Next::Done { .. } | Next::Refused { .. }) => return (end, sent),
            }
        }
    }

    async fn look(&self, query: &ObjectQuery) -> Reply {
        match query {
            ObjectQuery::One(target) => self.get(target).await.map_or(Reply::Absent, Reply::Found),
            ObjectQuery::Many(query) => {
                Reply::Listed(self.reached.cluster.list(query).await.unwrap().items)
            }
        }
    }

    /// What holds for objects of this namespace alone.
    fn here(&self) -> Value {
        json!({"matchLabels": {"kubernetes.io/metadata.name": self.namespace}})
    }

    /// A rule of admission: it lives outside namespaces and holds for this one alone.
    async fn rule(&self, kind: &str, fields: Value) -> ObjectRef {
        let mut value = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": self.namespace}});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.create(read(value)).await.reference("test")
    }

    /// An admission policy for the Deployments of this namespace.
    pub(super) async fn forbid_replicas_above(&self, most: u32) {
        let matched = json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["UPDATE"], "resources": ["deployments"]}]});
        let check = json!({"expression": format!("object.spec.replicas <= {most}"), "message": format!("no more than {most} replicas")});
        let spec =
            json!({"failurePolicy": "Fail", "matchConstraints": matched, "validations": [check]});
        self.rule("ValidatingAdmissionPolicy", json!({"spec": spec})).await;
        let spec = json!({"policyName": self.namespace, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": self.here()}});
        self.rule("ValidatingAdmissionPolicyBinding", json!({"spec": spec})).await;
    }

    /// An admission webhook at `address` for the ConfigMaps of this namespace, given one second.
    pub(super) async fn ask_before_configmaps(&self, address: SocketAddr) {
        let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["configmaps"]}]);
        let webhook = json!({"name": "silent.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 1, "namespaceSelector": self.here(), "rules": rules,
            "clientConfig": {"url": format!("https://{address}/")}});
        self.rule("ValidatingWebhookConfiguration", json!({"webhooks": [webhook]})).await;
    }
}
