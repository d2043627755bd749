use std::sync::Arc;

use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted};
use crate::{
    Agent, Cluster, Consistency, Kind, ListQuery, Mode, Patch, Preconditions, ReadFailure, Request,
    Verb, WriteReply,
};

/// A service account, and the cluster with its permissions.
struct ServiceAccountClient {
    ns: TestNamespace,
    cluster: Arc<dyn Cluster>,
}

impl ServiceAccountClient {
    async fn new(fixture: &mut dyn Fixture, what: &str) -> Self {
        let ns = TestNamespace::new(fixture, what).await;
        ns.create_as_admin(&ns.object("ServiceAccount", "robot", json!({}))).await;
        ns.create_as_admin(&ns.config_map("c", json!({"a": "1"}))).await;
        let cluster = fixture.as_service_account(&ns.namespace, "robot").await;
        Self { ns, cluster }
    }

    fn user(&self) -> String {
        format!("system:serviceaccount:{}:robot", self.ns.namespace)
    }

    /// Grants the account a Role with these rules in its namespace.
    async fn grant(&self, fixture: &mut dyn Fixture, mut rules: Value) {
        let ns = &self.ns;
        // An additional rule, to detect when the Role is effective: an API server authorizes from a cache that lags.
        let probe_rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]});
        rules.as_array_mut().expect("rules are a list").push(probe_rule);
        ns.create_as_admin(&ns.object("Role", "robot", json!({"rules": rules}))).await;
        self.bind("Role", "robot").await;
        self.wait_for_list_permission(fixture, "Lease", true).await;
    }

    /// Waits until the permission of the account to list objects of a kind in its namespace equals `expected`.
    async fn wait_for_list_permission(
        &self,
        fixture: &mut dyn Fixture,
        kind: &str,
        expected: bool,
    ) {
        let kind = Kind::builtin(kind).expect("contract tests use built-in kinds only");
        for _ in 0..60 {
            fixture.wait(1).await;
            let allowed = self.cluster.can_i("list", &kind, Some(&self.ns.namespace)).await;
            if allowed == Ok(expected) {
                return;
            }
        }
        panic!(
            "the permission of the account to list {}s is not {expected} after one minute",
            kind.kind
        );
    }

    async fn bind(&self, kind: &str, name: &str) {
        let ns = &self.ns;
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let subject = json!({"kind": "ServiceAccount", "name": "robot", "namespace": ns.namespace});
        let binding = json!({"roleRef": role, "subjects": [subject]});
        ns.create_as_admin(&ns.object("RoleBinding", "robot", binding)).await;
    }

    async fn get(&self, kind: &str, name: &str) -> Result<bool, ReadFailure> {
        let found = self.cluster.get(&self.ns.reference(kind, name), Consistency::Latest).await;
        found.map(|found| found.is_some())
    }

    async fn merge(
        &self,
        kind: &str,
        name: &str,
        subresource: Option<&str>,
        patch: Value,
    ) -> WriteReply {
        let verb =
            Verb::Patch { patch: Patch::Merge(patch), subresource: subresource.map(Into::into) };
        let request = Request {
            target: self.ns.reference(kind, name),
            verb,
            preconditions: Preconditions::default(),
            mode: Mode::Commit,
            agent: Agent::default(),
        };
        self.cluster.send(&request).await
    }
}

#[track_caller]
fn refused_read<T: std::fmt::Debug>(read: Result<T, ReadFailure>) -> String {
    match read {
        Err(ReadFailure::Refused { code: 403, message, .. }) => message,
        other => panic!("expected a refusal with 403, got {other:?}"),
    }
}

#[track_caller]
fn refused_change(reply: WriteReply) -> String {
    match reply {
        WriteReply::Refused { code: 403, reason, message } => {
            assert_eq!(reason, "Forbidden");
            message
        }
        other => panic!("expected a refusal with 403, got {other:?}"),
    }
}

pub(super) async fn unbound_service_account_is_forbidden(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account").await;
    let (user, namespace) = (account.user(), &account.ns.namespace);
    assert_eq!(
        refused_read(account.get("ConfigMap", "c").await),
        format!(
            "configmaps \"c\" is forbidden: User \"{user}\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
        )
    );
    let query = ListQuery::latest(Kind::new("apps/v1", "Deployment"), Some(namespace));
    assert_eq!(
        refused_read(account.cluster.list(&query).await),
        format!(
            "deployments.apps is forbidden: User \"{user}\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"{namespace}\""
        )
    );
    assert_eq!(
        refused_change(account.merge("ConfigMap", "c", None, json!({"data": {"a": "2"}})).await),
        format!(
            "configmaps \"c\" is forbidden: User \"{user}\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
        )
    );
    let found = account.ns.get_existing(&account.ns.reference("ConfigMap", "c")).await;
    assert_eq!(found.at("/data/a"), Some(&json!("1")));
}

pub(super) async fn role_allows_only_listed_verbs(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-role").await;
    account
        .grant(
            fixture,
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}]),
        )
        .await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    assert_eq!(account.get("ConfigMap", "nothing").await, Ok(false));
    accepted(account.merge("ConfigMap", "c", None, json!({"data": {"a": "2"}})).await);
    let query = ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&account.ns.namespace));
    refused_read(account.cluster.list(&query).await);
    refused_read(account.get("Secret", "s").await);
    let target = account.ns.reference("ConfigMap", "c");
    let request = Request {
        target,
        verb: Verb::Delete { grace_seconds: None },
        preconditions: Preconditions::default(),
        mode: Mode::Commit,
        agent: Agent::default(),
    };
    refused_change(account.cluster.send(&request).await);
}

pub(super) async fn dry_run_requires_same_permissions(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-dry").await;
    let request = Request {
        target: account.ns.reference("ConfigMap", "d"),
        verb: Verb::Create(account.ns.config_map("d", json!({}))),
        preconditions: Preconditions::default(),
        mode: Mode::DryRun,
        agent: Agent::default(),
    };
    refused_change(account.cluster.send(&request).await);
}

pub(super) async fn role_is_limited_to_its_namespace(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-namespace").await;
    let there = TestNamespace::new(fixture, "account-other-namespace").await;
    there.create_as_admin(&there.config_map("c", json!({}))).await;
    account
        .grant(fixture, json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]))
        .await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    refused_read(
        account.cluster.get(&there.reference("ConfigMap", "c"), Consistency::Latest).await,
    );
    refused_read(
        account.cluster.list(&ListQuery::latest(Kind::new("v1", "ConfigMap"), None)).await,
    );
}

pub(super) async fn role_binding_limits_cluster_role_to_namespace(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-cluster").await;
    account.bind("ClusterRole", "view").await;
    account.wait_for_list_permission(fixture, "ConfigMap", true).await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    refused_read(account.get("Secret", "s").await);
    refused_change(account.merge("ConfigMap", "c", None, json!({"data": {"a": "2"}})).await);
}

pub(super) async fn resource_names_limit_role_to_named_objects(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-names").await;
    account.ns.create_as_admin(&account.ns.config_map("d", json!({}))).await;
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["c"], "verbs": ["get"]});
    account.grant(fixture, json!([rule])).await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    refused_read(account.get("ConfigMap", "d").await);
}

pub(super) async fn subresource_requires_its_own_permission(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-scale").await;
    account.ns.create_as_admin(&account.ns.deployment("d")).await;
    account.grant(fixture, json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}])).await;
    let one = json!({"spec": {"replicas": 1}});
    let message = refused_change(account.merge("Deployment", "d", None, one.clone()).await);
    assert!(
        message.contains("cannot patch resource \"deployments\" in API group \"apps\""),
        "{message}"
    );
    accepted(account.merge("Deployment", "d", Some("scale"), one).await);
}

pub(super) async fn can_i_reflects_role(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-can-i").await;
    account
        .grant(
            fixture,
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]),
        )
        .await;
    let (kind, namespace) = (Kind::new("v1", "ConfigMap"), account.ns.namespace.clone());
    assert_eq!(account.cluster.can_i("list", &kind, Some(&namespace)).await, Ok(true));
    assert_eq!(account.cluster.can_i("delete", &kind, Some(&namespace)).await, Ok(false));
    assert_eq!(
        account.cluster.can_i("list", &kind, None).await,
        Ok(false),
        "not in all namespaces"
    );
}

pub(super) async fn deleted_role_binding_revokes_permissions(fixture: &mut dyn Fixture) {
    let account = ServiceAccountClient::new(fixture, "account-revoked").await;
    account
        .grant(fixture, json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]))
        .await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    let binding = account.ns.reference("RoleBinding", "robot");
    let reply = account.ns.delete(&binding, Preconditions::default(), Mode::Commit).await;
    assert_eq!(reply, WriteReply::Deleted);
    account.wait_for_list_permission(fixture, "Lease", false).await;
    refused_read(account.get("ConfigMap", "c").await);
}
