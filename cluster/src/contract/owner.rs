use serde_json::{Value, json};

use super::Fixture;
use super::ground::{Ground, accepted};
use crate::{Object, Preconditions};

/// The fields that a manager owns, in one way of writing and through one subresource (none where that is empty).
fn owned(object: &Object, operation: &str, subresource: &str) -> Option<Value> {
    let entries = object.metadata().rest.get("managedFields")?.as_array()?;
    let own = entries.iter().find(|entry| {
        entry["manager"] == "chiron"
            && entry["operation"] == operation
            && entry["subresource"].as_str().unwrap_or_default() == subresource
    })?;
    assert_eq!(own["fieldsType"], "FieldsV1");
    assert_eq!(own["apiVersion"].as_str(), Some(object.kind().api_version.as_str()));
    assert!(own["time"].is_string(), "an entry says when: {own}");
    Some(own["fieldsV1"].clone())
}

pub(super) async fn who_makes_an_object_owns_its_fields(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-made").await;
    let made = accepted(
        ground.create(&ground.config_map("c", json!({"a": "1"})), crate::Mode::Apply).await,
    );
    let fields = owned(&made, "Update", "").expect("its maker is a manager of it");
    assert_eq!(fields["f:data"], json!({".": {}, "f:a": {}}));
    assert_eq!(fields["f:metadata"]["f:labels"], json!({".": {}, "f:contract": {}}));
}

pub(super) async fn who_changes_a_field_owns_it(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-changed").await;
    accepted(ground.apply(&ground.config_map("c", json!({"a": "1", "b": "1"}))).await);
    let target = ground.name("ConfigMap", "c");
    let after = accepted(ground.merge(&target, json!({"data": {"b": "2"}})).await);
    let updater = owned(&after, "Update", "").expect("who updates is a manager");
    assert_eq!(updater, json!({"f:data": {"f:b": {}}}));
    let applier = owned(&after, "Apply", "").expect("who applies is another manager");
    assert_eq!(applier["f:data"], json!({"f:a": {}}), "what another changed is no longer owned");
}

pub(super) async fn who_applies_owns_what_is_applied(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-applied").await;
    let made = accepted(ground.apply(&ground.config_map("c", json!({"a": "1"}))).await);
    let fields = owned(&made, "Apply", "").expect("who applies is a manager");
    assert_eq!(fields["f:data"], json!({"f:a": {}}));
    assert_eq!(owned(&made, "Update", ""), None);
}

pub(super) async fn an_applier_owns_elements_by_their_keys(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-element").await;
    let made = accepted(ground.apply(&ground.deployment("d")).await);
    let fields = owned(&made, "Apply", "").expect("who applies is a manager");
    let containers = &fields["f:spec"]["f:template"]["f:spec"]["f:containers"];
    let main = &containers["k:{\"name\":\"main\"}"];
    assert_eq!(main["f:image"], json!({}));
    assert_eq!(main["f:name"], json!({}));
    let a = json!({".": {}, "f:name": {}, "f:value": {}});
    assert_eq!(main["f:env"]["k:{\"name\":\"A\"}"], a);
}

pub(super) async fn the_status_has_managers_of_its_own(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-status").await;
    ground.make(&ground.deployment("d")).await;
    let target = ground.name("Deployment", "d");
    let condition = json!([{"type": "Contract", "status": "True", "reason": "Asked", "message": "by the contract"}]);
    let patch = json!({"status": {"conditions": condition}});
    let after = accepted(ground.patch_at(&target, "status", patch, Preconditions::default()).await);
    let fields = owned(&after, "Update", "status").expect("who writes the status is a manager");
    assert!(
        fields["f:status"]["f:conditions"]["k:{\"type\":\"Contract\"}"].is_object(),
        "{fields}"
    );
    assert!(fields.get("f:spec").is_none(), "{fields}");
}

pub(super) async fn what_is_removed_is_owned_by_nobody(world: &mut dyn Fixture) {
    let ground = Ground::new(world, "owner-removed").await;
    ground.make(&ground.config_map("c", json!({"a": "1", "b": "2"}))).await;
    let target = ground.name("ConfigMap", "c");
    let after = accepted(ground.merge(&target, json!({"data": {"b": null}})).await);
    let fields = owned(&after, "Update", "").expect("its maker is a manager of it");
    assert_eq!(fields["f:data"], json!({".": {}, "f:a": {}}));
}
