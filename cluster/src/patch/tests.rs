use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::canonical_json;

fn deployment() -> Object {
    Object::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop", "labels": {"app": "api"}, "annotations": {"a/b": "1", "t~": "2"}},
        "spec": {"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"metadata": {"labels": {"app": "api"}}, "spec": {
                "tolerations": [{"key": "old"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [
                    {"name": "api", "image": "api:1", "args": ["-x"],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [{"containerPort": 80, "name": "http"}],
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
                    {"name": "side", "image": "side:1"}]}}},
        "status": {"conditions": [{"type": "Available", "status": "True"}, {"type": "Progressing", "status": "True"}]}
    }))
    .unwrap()
}

fn read(patch: Value) -> Patch {
    serde_json::from_value(patch).unwrap()
}

#[track_caller]
fn check(patch: Value, pointer: &str, expected: Value) -> Object {
    let patched = read(patch).apply(&deployment()).unwrap();
    assert_eq!(patched.to_value().pointer(pointer), Some(&expected));
    patched
}

fn merged(patch: &Value, mut document: Value) -> Value {
    json_patch::merge(&mut document, patch);
    document
}

#[track_caller]
fn refused(patch: Value) -> PatchError {
    read(patch).apply(&deployment()).unwrap_err()
}

#[test]
fn patch_json_round_trips() {
    for text in [
        json!({"type": "merge", "patch": {"spec": {"replicas": 0}}}),
        json!({"type": "strategic", "patch": {}}),
        json!({"type": "json", "patch": [{"op": "add", "path": "/a", "value": null}, {"op": "move", "from": "/a", "path": "/b"}]}),
    ] {
        assert_eq!(serde_json::to_value(read(text.clone())).unwrap(), text);
    }
    for (bad, message) in [
        (json!({"type": "apply", "patch": {}}), "unknown variant `apply`"),
        (json!({"type": "json", "patch": [{"op": "add", "path": "/a"}]}), "missing field `value`"),
        (
            json!({"type": "json", "patch": [{"op": "increment", "path": "/a"}]}),
            "unknown variant `increment`",
        ),
    ] {
        let error = serde_json::from_value::<Patch>(bad).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn json_patch_operations_follow_rfc_6902() {
    let json = |operations: Value| json!({"type": "json", "patch": operations});
    let env = "/spec/template/spec/containers/0/env";
    check(
        json(json!([{"op": "replace", "path": "/spec/replicas", "value": 5}])),
        "/spec/replicas",
        json!(5),
    );
    check(
        json(json!([{"op": "add", "path": format!("{env}/0"), "value": {"name": "Z"}}])),
        &format!("{env}/1/name"),
        json!("A"),
    );
    check(
        json(json!([{"op": "add", "path": format!("{env}/-"), "value": {"name": "Z"}}])),
        &format!("{env}/2/name"),
        json!("Z"),
    );
    check(
        json(json!([{"op": "remove", "path": format!("{env}/0")}])),
        &format!("{env}/0/name"),
        json!("B"),
    );
    check(
        json(json!([{"op": "add", "path": "/metadata/annotations/a~1b", "value": "9"}])),
        "/metadata/annotations/a~1b",
        json!("9"),
    );
    check(
        json(
            json!([{"op": "move", "from": "/metadata/annotations/t~0", "path": "/metadata/annotations/u"}]),
        ),
        "/metadata/annotations",
        json!({"a/b": "1", "u": "2"}),
    );
    check(
        json(json!([{"op": "copy", "from": "/spec/replicas", "path": "/spec/minReadySeconds"}])),
        "/spec/minReadySeconds",
        json!(2),
    );
    check(
        json(
            json!([{"op": "test", "path": "/spec/replicas", "value": 2.0}, {"op": "replace", "path": "/spec/replicas", "value": 3}]),
        ),
        "/spec/replicas",
        json!(3),
    );
    check(json(json!([{"op": "add", "path": "/extra", "value": {"a": 1}}])), "/extra/a", json!(1));
    let patched =
        read(json(json!([{"op": "remove", "path": "/status"}]))).apply(&deployment()).unwrap();
    assert_eq!(patched.field("status"), None);
}

#[test]
fn failed_test_differs_from_invalid_patch() {
    let json = |operations: Value| json!({"type": "json", "patch": operations});
    for (path, value) in [
        ("/spec/replicas", json!(3)),
        ("/spec/paused", json!(true)),
        ("/spec/replicas", json!("2")),
    ] {
        let failure = refused(json(json!([{"op": "test", "path": path, "value": value}])));
        assert!(matches!(failure, PatchError::TestFailed { .. }), "{failure}");
    }
    for bad in [
        json!([{"op": "remove", "path": "/spec/paused"}]),
        json!([{"op": "replace", "path": "/spec/template/spec/containers/9", "value": {}}]),
        json!([{"op": "add", "path": "/spec/a/b", "value": 1}]),
        json!([{"op": "add", "path": "/spec/replicas/b", "value": 1}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/9", "value": {}}]),
        json!([{"op": "add", "path": "/spec/template/spec/containers/01", "value": {}}]),
        json!([{"op": "remove", "path": "/spec/template/spec/containers/-"}]),
        json!([{"op": "remove", "path": ""}]),
        json!([{"op": "replace", "path": "", "value": 5}]),
        json!([{"op": "remove", "path": "/metadata"}]),
        json!([{"op": "replace", "path": "/kind", "value": "Pod"}]),
        json!([{"op": "replace", "path": "/metadata/labels", "value": 5}]),
        json!([{"op": "test", "path": "spec", "value": 1}]),
        json!([{"op": "add", "path": "/spec/a~2", "value": 1}]),
        json!([{"op": "move", "from": "/spec", "path": "/spec/inner"}]),
    ] {
        let failure = refused(json(bad.clone()));
        assert!(matches!(failure, PatchError::Invalid { .. }), "{bad}: {failure}");
    }
}

#[test]
fn failed_json_patch_has_no_effect() {
    let before = deployment();
    let patch = read(json!({"type": "json", "patch": [
        {"op": "replace", "path": "/spec/replicas", "value": 9}, {"op": "test", "path": "/spec/paused", "value": true}]}));
    let error = PatchError::TestFailed {
        path: "/spec/paused".into(),
        expected: "true".into(),
        found: "nothing".into(),
    };
    assert_eq!(patch.apply(&before), Err(error));
    assert_eq!(before, deployment());
}

#[test]
fn merge_patch_follows_rfc_7386() {
    let merge = |patch: Value| json!({"type": "merge", "patch": patch});
    check(merge(json!({"spec": {"replicas": 0}})), "/spec/replicas", json!(0));
    check(
        merge(json!({"spec": {"strategy": null, "a": {"b": null, "c": 1}}})),
        "/spec/a",
        json!({"c": 1}),
    );
    check(
        merge(json!({"spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}})),
        "/spec/template/spec/containers",
        json!([{"name": "x"}]),
    );
    check(
        merge(json!({"metadata": {"labels": {"app": null, "b": "c"}}})),
        "/metadata/labels",
        json!({"b": "c"}),
    );
    assert!(matches!(refused(merge(json!(5))), PatchError::Invalid { .. }));
    assert!(matches!(refused(merge(json!({"kind": null}))), PatchError::Invalid { .. }));
}

#[test]
fn merge_patch_passes_rfc_7386_examples() {
    for (document, patch, expected) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(merged(&patch, document.clone()), expected, "{document} with {patch}");
    }
}

#[test]
fn strategic_patch_merges_named_elements() {
    let pod =
        |spec: Value| json!({"type": "strategic", "patch": {"spec": {"template": {"spec": spec}}}});
    let container = |fields: Value| {
        let mut container = json!({"name": "api"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        pod(json!({"containers": [container]}))
    };
    let containers = "/spec/template/spec/containers";
    let patched = check(
        container(json!({"image": "api:2"})),
        &format!("{containers}/0/image"),
        json!("api:2"),
    );
    assert_eq!(patched.at(&format!("{containers}/1/image")), Some(&json!("side:1")));
    assert_eq!(patched.at(&format!("{containers}/0/env/1/value")), Some(&json!("2")));
    check(
        container(json!({"env": [{"name": "B", "value": "3"}]})),
        &format!("{containers}/0/env"),
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]),
    );
    check(
        container(json!({"env": [{"name": "A", "$patch": "delete"}]})),
        &format!("{containers}/0/env"),
        json!([{"name": "B", "value": "2"}]),
    );
    check(
        container(json!({"env": [{"$patch": "replace"}, {"name": "C", "value": "4"}]})),
        &format!("{containers}/0/env"),
        json!([{"name": "C", "value": "4"}]),
    );
    check(
        container(
            json!({"env": [{"name": "A", "value": null, "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}),
        ),
        &format!("{containers}/0/env/0"),
        json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}),
    );
    check(container(json!({"args": ["-y"]})), &format!("{containers}/0/args"), json!(["-y"]));
    check(
        container(json!({"ports": [{"containerPort": 80, "name": "web"}]})),
        &format!("{containers}/0/ports"),
        json!([{"containerPort": 80, "name": "web"}]),
    );
    check(
        container(json!({"volumeMounts": [{"mountPath": "/w", "name": "v"}]})),
        &format!("{containers}/0/volumeMounts/1/mountPath"),
        json!("/v"),
    );
    check(container(json!({"env": null})), &format!("{containers}/0/image"), json!("api:1"));
    check(
        pod(json!({"tolerations": [{"key": "new"}]})),
        "/spec/template/spec/tolerations",
        json!([{"key": "new"}]),
    );
    check(
        pod(
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}),
        ),
        "/spec/template/spec/volumes",
        json!([{"name": "v", "configMap": {"name": "c"}}]),
    );
    check(
        pod(json!({"volumes": [{"name": "v", "$patch": "delete"}]})),
        "/spec/template/spec/volumes",
        json!([]),
    );
}

#[test]
fn strategic_patch_supports_map_directives() {
    let strategic = |patch: Value| json!({"type": "strategic", "patch": patch});
    check(
        strategic(json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}})),
        "/spec/strategy",
        json!({"type": "Recreate"}),
    );
    check(
        strategic(json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})),
        "/spec/strategy",
        json!({"type": "Recreate"}),
    );
    check(
        strategic(json!({"spec": {"strategy": {"$patch": "delete"}}})),
        "/spec/strategy",
        json!({}),
    );
    check(
        strategic(json!({"metadata": {"labels": {"app": null}}})),
        "/metadata/name",
        json!("api"),
    );
    check(
        strategic(json!({"status": {"conditions": [{"type": "Available", "status": "False"}]}})),
        "/status/conditions/1/status",
        json!("True"),
    );
    assert!(matches!(
        refused(strategic(json!({"spec": {"strategy": {"$patch": "swap"}}}))),
        PatchError::Invalid { .. }
    ));
    assert!(matches!(
        refused(strategic(
            json!({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}})
        )),
        PatchError::Invalid { .. }
    ));
}

#[test]
fn strategic_patch_orders_elements_as_api_server() {
    let env = |extra: Value| {
        let mut container = json!({"name": "api"});
        container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let patch = read(
            json!({"type": "strategic", "patch": {"spec": {"template": {"spec": {"containers": [container]}}}}}),
        );
        let patched = patch.apply(&deployment()).unwrap();
        let names: Vec<String> = patched
            .at("/spec/template/spec/containers/0/env")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|env| env["name"].as_str().unwrap().to_string())
            .collect();
        names.join(",")
    };
    assert_eq!(env(json!({"env": [{"name": "C"}]})), "C,A,B");
    assert_eq!(env(json!({"env": [{"name": "B"}]})), "A,B");
    assert_eq!(
        env(
            json!({"env": [{"name": "C"}], "$setElementOrder/env": [{"name": "B"}, {"name": "C"}, {"name": "A"}]})
        ),
        "B,C,A"
    );
}

#[test]
fn strategic_patch_merges_finalizers_as_set() {
    let before = deployment();
    let mut metadata = before.metadata().clone();
    metadata.finalizers = vec!["a/x".into(), "a/y".into()];
    let before = before.with_metadata(metadata);
    let apply = |patch: Value| {
        read(json!({"type": "strategic", "patch": {"metadata": patch}}))
            .apply(&before)
            .unwrap()
            .metadata()
            .finalizers
            .clone()
    };
    assert_eq!(apply(json!({"finalizers": ["a/y", "a/z"]})), ["a/x", "a/y", "a/z"]);
    assert_eq!(apply(json!({"$deleteFromPrimitiveList/finalizers": ["a/x"]})), ["a/y"]);
}

#[test]
fn strategic_patch_rejects_custom_kinds() {
    let custom = Object::from_value(
        json!({"apiVersion": "acme.io/v1", "kind": "Deployment", "metadata": {"name": "x"}}),
    )
    .unwrap();
    assert!(matches!(Patch::Strategic(json!({})).apply(&custom), Err(PatchError::Invalid { .. })));
    assert!(Patch::Merge(json!({"spec": {}})).apply(&custom).is_ok());
}

#[test]
fn patch_shares_unchanged_fields() {
    let before = deployment();
    let share = |a: &Object, field: &str| {
        std::ptr::eq(a.field(field).unwrap(), before.field(field).unwrap())
    };
    for patch in [
        json!({"type": "merge", "patch": {"status": {"x": 1}}}),
        json!({"type": "strategic", "patch": {"status": {"x": 1}}}),
        json!({"type": "json", "patch": [{"op": "add", "path": "/status/x", "value": 1}]}),
    ] {
        let after = read(patch).apply(&before).unwrap();
        assert!(share(&after, "spec") && !share(&after, "status"));
        assert!(std::ptr::eq(after.metadata(), before.metadata()));
    }
    let same =
        read(json!({"type": "merge", "patch": {"spec": {"replicas": 2}}})).apply(&before).unwrap();
    assert!(same.ptr_eq(&before), "a no-op patch should return the same allocation");
}

#[test]
fn changed_pointers_lists_changes_only() {
    for (patch, expected) in [
        (json!({"type": "merge", "patch": {}}), vec![]),
        (
            json!({"type": "merge", "patch": {"spec": {"replicas": 1, "a": {}}, "metadata": {"annotations": {"a/b": null}}}}),
            vec!["/metadata/annotations/a~1b", "/spec/a", "/spec/replicas"],
        ),
        (
            json!({"type": "json", "patch": [{"op": "test", "path": "/x", "value": 1}, {"op": "move", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/c", "path": "/d"}]}),
            vec!["/a", "/b", "/d"],
        ),
        (
            json!({"type": "strategic", "patch": {"spec": {"$setElementOrder/containers": [], "template": {"spec": {"tolerations": [1], "containers": [
                {"name": "api", "image": "x", "ports": [{"containerPort": 80, "$patch": "delete"}], "env": [{"name": "A", "value": "1"}]}]}}}}}),
            vec![
                "/spec/template/spec/containers/name=api/env/name=A/value",
                "/spec/template/spec/containers/name=api/image",
                "/spec/template/spec/containers/name=api/ports/containerPort=80",
                "/spec/template/spec/tolerations",
            ],
        ),
        (
            json!({"type": "strategic", "patch": {"spec": {"strategy": {"$retainKeys": ["type"]}}}}),
            vec!["/spec/strategy"],
        ),
    ] {
        assert_eq!(read(patch.clone()).changed_pointers(), expected, "{patch}");
    }
}

/// Generates any JSON, with numbers that canonical JSON supports.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "[a-z~/\"é]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Returns the merge patch from `before` to `after`; neither may contain null members.
fn merge_between(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        let old = before.get(name);
        if old != Some(value) {
            // `before` is not a map here, so the patch replaces it.
            patch.insert(
                name.clone(),
                old.map_or_else(|| value.clone(), |old| merge_between(old, value)),
            );
        }
    }
    Value::Object(patch)
}

/// Removes null members, which a merge patch cannot produce.
fn without_null_members(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_null_members(value)))
                .collect(),
        ),
        other => other,
    }
}

proptest! {
    #[test]
    fn merge_patch_can_produce_any_value(before in any_json(), after in any_json()) {
        let (before, after) = (without_null_members(before), without_null_members(after));
        prop_assert_eq!(merged(&merge_between(&before, &after), before), after);
    }

    #[test]
    fn merge_patch_is_idempotent(document in any_json(), patch in any_json()) {
        let once = merged(&patch, document);
        prop_assert_eq!(merged(&patch, once.clone()), once);
    }

    #[test]
    fn json_patch_tests_and_removes_added_member(document in prop::collection::btree_map("[a-c~/]{1,2}", any_json(), 0..4), name in "[a-c~/]{3,4}", value in any_json()) {
        let document = Value::Object(document.into_iter().collect());
        let path = child_pointer("", &name);
        let operations = [JsonOp::Add { path: path.clone(), value: value.clone() }, JsonOp::Test { path: path.clone(), value }, JsonOp::Remove { path }];
        prop_assert_eq!(json::apply(&operations[..], document.clone()).unwrap(), document);
    }

    #[test]
    fn json_patch_move_is_reversible(value in any_json()) {
        let document = json!({"a": value, "list": [1, 2]});
        let operations = [
            JsonOp::Move { from: "/a".into(), path: "/list/1".into() },
            JsonOp::Move { from: "/list/1".into(), path: "/a".into() },
        ];
        prop_assert_eq!(json::apply(&operations, document.clone()).unwrap(), document);
    }

    #[test]
    fn canonical_json_is_idempotent(value in any_json()) {
        let once = canonical_json(&value).unwrap();
        let read: Value = serde_json::from_str(&once).unwrap();
        prop_assert_eq!(canonical_json(&read).unwrap(), once);
        prop_assert!(is_same_json(&read, &value));
    }
}
