//! Who may do what.

use serde_json::{Value, json};

use super::client::Client;
use super::{House, PODS};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";

async fn robot(house: &House) -> Client {
    let path = "/api/v1/namespaces/shop/serviceaccounts/robot/token";
    let (code, token) = house.ask("POST", path, json!({"spec": {"expirationSeconds": 3600}})).await;
    assert_eq!(code, 201, "{token}");
    house.client.with_token(token["status"]["token"].as_str().unwrap())
}

#[tokio::test]
async fn nobody_known_is_let_in() {
    let house = House::open().await;
    let (code, status) =
        house.client.with_token("nonsense").send("GET", PODS, &[], b"").await.json();
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    let (code, status) = house.client.anonymous().send("GET", PODS, &[], b"").await.json();
    let message = "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \"shop\"";
    assert_eq!((code, &status["message"]), (403, &json!(message)));
    assert_eq!(status["details"], json!({"kind": "pods"}));
    let (code, status) = house.client.anonymous().send("GET", "/apis", &[], b"").await.json();
    let message = "forbidden: User \"system:anonymous\" cannot get path \"/apis\"";
    assert_eq!((code, &status["message"]), (403, &json!(message)));
}

#[tokio::test]
async fn a_service_account_may_what_its_roles_say_and_no_more() {
    let house = House::open().await;
    let robot = robot(&house).await;
    let list = async || robot.send("GET", PODS, &[], b"").await.code;
    assert_eq!(list().await, 403);
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
    assert_eq!(house.ask("POST", &format!("{ROLES}/roles"), role).await.0, 201);
    let binding = json!({"metadata": {"name": "reader"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]});
    assert_eq!(house.ask("POST", &format!("{ROLES}/rolebindings"), binding).await.0, 201);
    assert_eq!(list().await, 200);
    assert_eq!(robot.send("GET", "/api/v1/pods", &[], b"").await.code, 403);
    let (code, status) = robot.send("DELETE", &format!("{PODS}/x"), &[], b"").await.json();
    let message = "pods \"x\" is forbidden: User \"system:serviceaccount:shop:robot\" cannot delete resource \"pods\" in API group \"\" in the namespace \"shop\"";
    assert_eq!((code, &status["message"]), (403, &json!(message)));
    assert_eq!(
        house.ask("DELETE", &format!("{ROLES}/rolebindings/reader"), Value::Null).await.0,
        200
    );
    assert_eq!(list().await, 403);
    let account = "/api/v1/namespaces/shop/serviceaccounts/robot";
    assert_eq!(house.ask("DELETE", account, Value::Null).await.0, 200);
    assert_eq!(list().await, 401, "the token of an account that is gone");
}

#[tokio::test]
async fn reviews_tell_who_one_is_and_what_one_may() {
    let house = House::open().await;
    let (code, me) =
        house.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await;
    assert_eq!((code, &me["status"]["userInfo"]["username"]), (201, &json!("admin")));
    let may = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"}}}).to_string();
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let headers = [("Content-Type", "application/json")];
    let (_, review) = house.client.send("POST", reviews, &headers, may.as_bytes()).await.json();
    assert_eq!(review["status"]["allowed"], true);
    let (_, review) =
        robot(&house).await.send("POST", reviews, &headers, may.as_bytes()).await.json();
    assert_eq!(review["status"]["allowed"], false);
    let (code, review) = house.ask("POST", reviews, json!({"spec": {}})).await;
    assert_eq!((code, &review["reason"]), (422, &json!("Invalid")));
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let (_, review) = house.ask("POST", rules, json!({"spec": {"namespace": "shop"}})).await;
    assert_eq!(review["status"]["resourceRules"][0]["verbs"], json!(["*"]));
}

#[tokio::test]
async fn whoever_may_act_for_others_has_their_rights_alone() {
    let house = House::open().await;
    let headers = [("Impersonate-User", "system:serviceaccount:shop:robot")];
    assert_eq!(house.client.send("GET", PODS, &headers, b"").await.code, 403);
    let (code, status) =
        robot(&house).await.send("GET", PODS, &[("Impersonate-User", "admin")], b"").await.json();
    assert_eq!(code, 403);
    assert!(
        status["message"].as_str().unwrap().contains("cannot impersonate resource \"users\""),
        "{status}"
    );
}
