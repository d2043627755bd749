//! Authentication and authorization.

use serde_json::{Value, json};

use super::client::TestClient;
use super::{ApiHarness, PODS};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";

async fn robot(api: &ApiHarness) -> TestClient {
    let path = "/api/v1/namespaces/shop/serviceaccounts/robot/token";
    let (code, token) =
        api.request("POST", path, json!({"spec": {"expirationSeconds": 3600}})).await;
    assert_eq!(code, 201, "{token}");
    api.client.with_token(token["status"]["token"].as_str().unwrap())
}

#[tokio::test]
async fn unauthenticated_requests_are_rejected() {
    let api = ApiHarness::start().await;
    let (code, status) = api.client.with_token("nonsense").send("GET", PODS, &[], b"").await.json();
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    let (code, status) = api.client.anonymous().send("GET", PODS, &[], b"").await.json();
    let message = "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \"shop\"";
    assert_eq!((code, &status["message"]), (403, &json!(message)));
    assert_eq!(status["details"], json!({"kind": "pods"}));
    let (code, status) = api.client.anonymous().send("GET", "/apis", &[], b"").await.json();
    let message = "forbidden: User \"system:anonymous\" cannot get path \"/apis\"";
    assert_eq!((code, &status["message"]), (403, &json!(message)));
}

#[tokio::test]
async fn service_account_is_limited_to_its_roles() {
    let api = ApiHarness::start().await;
    let robot = robot(&api).await;
    let list = async || robot.send("GET", PODS, &[], b"").await.code;
    assert_eq!(list().await, 403);
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    assert_eq!(api.request("POST", &format!("{ROLES}/roles"), role).await.0, 201);
    let binding = json!({"metadata": {"name": "reader"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]});
    assert_eq!(api.request("POST", &format!("{ROLES}/rolebindings"), binding).await.0, 201);
    assert_eq!(list().await, 200);
    assert_eq!(robot.send("GET", "/api/v1/pods", &[], b"").await.code, 403);
    let (code, status) = robot.send("DELETE", &format!("{PODS}/x"), &[], b"").await.json();
    let message = "pods \"x\" is forbidden: User \"system:serviceaccount:shop:robot\" cannot delete resource \"pods\" in API group \"\" in the namespace \"shop\"";
    assert_eq!((code, &status["message"]), (403, &json!(message)));
    assert_eq!(
        api.request("DELETE", &format!("{ROLES}/rolebindings/reader"), Value::Null).await.0,
        200
    );
    assert_eq!(list().await, 403);
    let account = "/api/v1/namespaces/shop/serviceaccounts/robot";
    assert_eq!(api.request("DELETE", account, Value::Null).await.0, 200);
    assert_eq!(list().await, 401, "the token of a deleted account");
}

#[tokio::test]
async fn self_reviews_return_identity_and_permissions() {
    let api = ApiHarness::start().await;
    let (code, me) =
        api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await;
    assert_eq!((code, &me["status"]["userInfo"]["username"]), (201, &json!("admin")));
    let spec = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}}).to_string();
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let headers = [("Content-Type", "application/json")];
    let (_, review) = api.client.send("POST", reviews, &headers, spec.as_bytes()).await.json();
    assert_eq!(review["status"]["allowed"], true);
    let (_, review) =
        robot(&api).await.send("POST", reviews, &headers, spec.as_bytes()).await.json();
    assert_eq!(review["status"]["allowed"], false);
    let (code, review) = api.request("POST", reviews, json!({"spec": {}})).await;
    assert_eq!((code, &review["reason"]), (422, &json!("Invalid")));
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let (_, review) = api.request("POST", rules, json!({"spec": {"namespace": "shop"}})).await;
    assert_eq!(review["status"]["resourceRules"][0]["verbs"], json!(["*"]));
}

#[tokio::test]
async fn impersonation_uses_only_the_rights_of_the_impersonated() {
    let api = ApiHarness::start().await;
    let headers = [("Impersonate-User", "system:serviceaccount:shop:robot")];
    assert_eq!(api.client.send("GET", PODS, &headers, b"").await.code, 403);
    let (code, status) =
        robot(&api).await.send("GET", PODS, &[("Impersonate-User", "admin")], b"").await.json();
    assert_eq!(code, 403);
    assert!(
        status["message"].as_str().unwrap().contains("cannot impersonate resource \"users\""),
        "{status}"
    );
}
