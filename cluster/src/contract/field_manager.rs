use serde_json::{Value, json};

use super::Fixture;
use super::test_namespace::{TestNamespace, accepted};
use crate::{Object, Preconditions};

/// Returns the fields that the manager `chiron` owns with an operation (`Apply`, `Update`) and subresource (empty: none).
fn owned_fields(object: &Object, operation: &str, subresource: &str) -> Option<Value> {
    let entries = object.metadata().rest.get("managedFields")?.as_array()?;
    let own = entries.iter().find(|entry| {
        entry["manager"] == "chiron"
            && entry["operation"] == operation
            && entry["subresource"].as_str().unwrap_or_default() == subresource
    })?;
    assert_eq!(own["fieldsType"], "FieldsV1");
    assert_eq!(own["apiVersion"].as_str(), Some(object.kind().api_version.as_str()));
    assert!(own["time"].is_string(), "an entry has a time: {own}");
    Some(own["fieldsV1"].clone())
}

pub(super) async fn create_records_field_manager(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-created").await;
    let created =
        accepted(ns.create(&ns.config_map("c", json!({"a": "1"})), crate::Mode::Commit).await);
    let fields = owned_fields(&created, "Update", "").expect("the creator is a field manager");
    assert_eq!(fields["f:data"], json!({".": {}, "f:a": {}}));
    assert_eq!(fields["f:metadata"]["f:labels"], json!({".": {}, "f:contract": {}}));
}

pub(super) async fn update_takes_field_ownership(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-changed").await;
    accepted(ns.apply(&ns.config_map("c", json!({"a": "1", "b": "1"}))).await);
    let target = ns.reference("ConfigMap", "c");
    let after = accepted(ns.merge(&target, json!({"data": {"b": "2"}})).await);
    let updater = owned_fields(&after, "Update", "").expect("the updater is a field manager");
    assert_eq!(updater, json!({"f:data": {"f:b": {}}}));
    let applier =
        owned_fields(&after, "Apply", "").expect("the applier has a separate manager entry");
    assert_eq!(
        applier["f:data"],
        json!({"f:a": {}}),
        "the applier loses the field that another manager changed"
    );
}

pub(super) async fn apply_records_field_manager(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-applied").await;
    let created = accepted(ns.apply(&ns.config_map("c", json!({"a": "1"}))).await);
    let fields = owned_fields(&created, "Apply", "").expect("the applier is a field manager");
    assert_eq!(fields["f:data"], json!({"f:a": {}}));
    assert_eq!(owned_fields(&created, "Update", ""), None);
}

pub(super) async fn apply_owns_list_elements_by_key(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-element").await;
    let created = accepted(ns.apply(&ns.deployment("d")).await);
    let fields = owned_fields(&created, "Apply", "").expect("the applier is a field manager");
    let containers = &fields["f:spec"]["f:template"]["f:spec"]["f:containers"];
    let main = &containers["k:{\"name\":\"main\"}"];
    assert_eq!(main["f:image"], json!({}));
    assert_eq!(main["f:name"], json!({}));
    let a = json!({".": {}, "f:name": {}, "f:value": {}});
    assert_eq!(main["f:env"]["k:{\"name\":\"A\"}"], a);
}

pub(super) async fn status_update_has_its_own_manager_entry(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-status").await;
    ns.create_as_admin(&ns.deployment("d")).await;
    let target = ns.reference("Deployment", "d");
    let condition = json!([{"type": "Contract", "status": "True", "reason": "Test", "message": "set by the contract test"}]);
    let patch = json!({"status": {"conditions": condition}});
    let after = accepted(ns.patch_at(&target, "status", patch, Preconditions::default()).await);
    let fields =
        owned_fields(&after, "Update", "status").expect("the status writer is a field manager");
    assert!(
        fields["f:status"]["f:conditions"]["k:{\"type\":\"Contract\"}"].is_object(),
        "{fields}"
    );
    assert!(fields.get("f:spec").is_none(), "{fields}");
}

pub(super) async fn removed_field_has_no_manager(fixture: &mut dyn Fixture) {
    let ns = TestNamespace::new(fixture, "owner-removed").await;
    ns.create_as_admin(&ns.config_map("c", json!({"a": "1", "b": "2"}))).await;
    let target = ns.reference("ConfigMap", "c");
    let after = accepted(ns.merge(&target, json!({"data": {"b": null}})).await);
    let fields = owned_fields(&after, "Update", "").expect("the creator is a field manager");
    assert_eq!(fields["f:data"], json!({".": {}, "f:a": {}}));
}
