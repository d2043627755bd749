use std::sync::Arc;

use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted};
use crate::{
    Agent, Cluster, Consistency, Kind, ListQuery, Mode, Patch, Preconditions, ReadFailure, Reply,
    Request, Verb,
};

/// A service account, and the cluster as it meets it.
struct Account {
    ground: Ground,
    cluster: Arc<dyn Cluster>,
}

impl Account {
    async fn new(world: &mut dyn Fixture, what: &str) -> Self {
        let ground = Ground::new(world, what).await;
        ground.make(&ground.object("ServiceAccount", "robot", json!({}))).await;
        ground.make(&ground.config_map("c", json!({"a": "1"}))).await;
        let cluster = world.account(&ground.namespace, "robot").await;
        Self { ground, cluster }
    }

    fn user(&self) -> String {
        format!("system:serviceaccount:{}:robot", self.ground.namespace)
    }

    /// Gives the account these rules, in its namespace.
    async fn grant(&self, world: &mut dyn Fixture, mut rules: Value) {
        let ground = &self.ground;
        // And one by which it is seen whether they hold: an API server learns of a role a little later than it stores it.
        let sign = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]});
        rules.as_array_mut().expect("rules are a list").push(sign);
        ground.make(&ground.object("Role", "robot", json!({"rules": rules}))).await;
        self.bind("Role", "robot").await;
        self.until_it_may(world, "Lease", true).await;
    }

    /// Waits until the account may list objects of a kind in its namespace, or may not any more.
    async fn until_it_may(&self, world: &mut dyn Fixture, kind: &str, wanted: bool) {
        let kind = Kind::builtin(kind).expect("promises speak of built-in kinds");
        for _ in 0..60 {
            world.settle(1).await;
            let may = self.cluster.may("list", &kind, Some(&self.ground.namespace)).await;
            if may == Ok(wanted) {
                return;
            }
        }
        panic!("a minute later the account's right to list {}s is not {wanted}", kind.kind);
    }

    async fn bind(&self, kind: &str, name: &str) {
        let ground = &self.ground;
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
        let subject =
            json!({"kind": "ServiceAccount", "name": "robot", "namespace": ground.namespace});
        let binding = json!({"roleRef": role, "subjects": [subject]});
        ground.make(&ground.object("RoleBinding", "robot", binding)).await;
    }

    async fn get(&self, kind: &str, name: &str) -> Result<bool, ReadFailure> {
        let found = self.cluster.get(&self.ground.name(kind, name), Consistency::Latest).await;
        found.map(|found| found.is_some())
    }

    async fn merge(
        &self,
        kind: &str,
        name: &str,
        subresource: Option<&str>,
        patch: Value,
    ) -> Reply {
        let verb =
            Verb::Patch { patch: Patch::Merge(patch), subresource: subresource.map(Into::into) };
        let request = Request {
            target: self.ground.name(kind, name),
            verb,
            preconditions: Preconditions::default(),
            mode: Mode::Apply,
            agent: Agent::default(),
        };
        self.cluster.send(&request).await
    }
}

#[track_caller]
fn unread<T: std::fmt::Debug>(read: Result<T, ReadFailure>) -> String {
    match read {
        Err(ReadFailure::Refused { code: 403, message, .. }) => message,
        other => panic!("should be refused with 403, but the answer is {other:?}"),
    }
}

#[track_caller]
fn unsent(reply: Reply) -> String {
    match reply {
        Reply::Refused { code: 403, reason, message } => {
            assert_eq!(reason, "Forbidden");
            message
        }
        other => panic!("should be refused with 403, but the answer is {other:?}"),
    }
}

pub(super) async fn an_account_without_a_role_may_nothing(world: &mut dyn Fixture) {
    let account = Account::new(world, "account").await;
    let (user, namespace) = (account.user(), &account.ground.namespace);
    assert_eq!(
        unread(account.get("ConfigMap", "c").await),
        format!(
            "configmaps \"c\" is forbidden: User \"{user}\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
        )
    );
    let query = ListQuery::latest(Kind::new("apps/v1", "Deployment"), Some(namespace));
    assert_eq!(
        unread(account.cluster.list(&query).await),
        format!(
            "deployments.apps is forbidden: User \"{user}\" cannot list resource \"deployments\" in API group \"apps\" in the namespace \"{namespace}\""
        )
    );
    assert_eq!(
        unsent(account.merge("ConfigMap", "c", None, json!({"data": {"a": "2"}})).await),
        format!(
            "configmaps \"c\" is forbidden: User \"{user}\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
        )
    );
    let found = account.ground.found(&account.ground.name("ConfigMap", "c")).await;
    assert_eq!(found.at("/data/a"), Some(&json!("1")));
}

pub(super) async fn a_role_allows_what_it_lists_and_no_more(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-role").await;
    account
        .grant(
            world,
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}]),
        )
        .await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    assert_eq!(account.get("ConfigMap", "nothing").await, Ok(false));
    accepted(account.merge("ConfigMap", "c", None, json!({"data": {"a": "2"}})).await);
    let query = ListQuery::latest(Kind::new("v1", "ConfigMap"), Some(&account.ground.namespace));
    unread(account.cluster.list(&query).await);
    unread(account.get("Secret", "s").await);
    let target = account.ground.name("ConfigMap", "c");
    let request = Request {
        target,
        verb: Verb::Delete { grace_seconds: None },
        preconditions: Preconditions::default(),
        mode: Mode::Apply,
        agent: Agent::default(),
    };
    unsent(account.cluster.send(&request).await);
}

pub(super) async fn a_dry_run_needs_the_same_rights(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-dry").await;
    let request = Request {
        target: account.ground.name("ConfigMap", "d"),
        verb: Verb::Create(account.ground.config_map("d", json!({}))),
        preconditions: Preconditions::default(),
        mode: Mode::DryRun,
        agent: Agent::default(),
    };
    unsent(account.cluster.send(&request).await);
}

pub(super) async fn a_role_holds_in_its_namespace_only(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-here").await;
    let there = Ground::new(world, "account-there").await;
    there.make(&there.config_map("c", json!({}))).await;
    account
        .grant(world, json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]))
        .await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    unread(account.cluster.get(&there.name("ConfigMap", "c"), Consistency::Latest).await);
    unread(account.cluster.list(&ListQuery::latest(Kind::new("v1", "ConfigMap"), None)).await);
}

pub(super) async fn a_cluster_role_bound_in_a_namespace_holds_there(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-cluster").await;
    account.bind("ClusterRole", "view").await;
    account.until_it_may(world, "ConfigMap", true).await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    unread(account.get("Secret", "s").await);
    unsent(account.merge("ConfigMap", "c", None, json!({"data": {"a": "2"}})).await);
}

pub(super) async fn a_role_for_names_holds_for_those(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-names").await;
    account.ground.make(&account.ground.config_map("d", json!({}))).await;
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["c"], "verbs": ["get"]});
    account.grant(world, json!([rule])).await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    unread(account.get("ConfigMap", "d").await);
}

pub(super) async fn a_subresource_is_a_right_of_its_own(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-scale").await;
    account.ground.make(&account.ground.deployment("d")).await;
    account.grant(world, json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}])).await;
    let one = json!({"spec": {"replicas": 1}});
    let message = unsent(account.merge("Deployment", "d", None, one.clone()).await);
    assert!(
        message.contains("cannot patch resource \"deployments\" in API group \"apps\""),
        "{message}"
    );
    accepted(account.merge("Deployment", "d", Some("scale"), one).await);
}

pub(super) async fn what_an_account_may_is_answered(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-may").await;
    account
        .grant(world, json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]))
        .await;
    let (kind, namespace) = (Kind::new("v1", "ConfigMap"), account.ground.namespace.clone());
    assert_eq!(account.cluster.may("list", &kind, Some(&namespace)).await, Ok(true));
    assert_eq!(account.cluster.may("delete", &kind, Some(&namespace)).await, Ok(false));
    assert_eq!(account.cluster.may("list", &kind, None).await, Ok(false), "not in all namespaces");
}

pub(super) async fn a_revoked_role_is_worth_nothing(world: &mut dyn Fixture) {
    let account = Account::new(world, "account-revoked").await;
    account
        .grant(world, json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]))
        .await;
    assert_eq!(account.get("ConfigMap", "c").await, Ok(true));
    let binding = account.ground.name("RoleBinding", "robot");
    let reply = account.ground.delete(&binding, Preconditions::default(), Mode::Apply).await;
    assert_eq!(reply, Reply::Deleted);
    account.until_it_may(world, "Lease", false).await;
    unread(account.get("ConfigMap", "c").await);
}
