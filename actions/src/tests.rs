//! Every action as data: from arguments and observed objects to the request; repeated, changed concurrently, and undone.

mod case;
mod fold;

use cluster::{JsonOp, NotSent, Object, Patch, ReadReply, Verb, WriteReply};
use serde_json::{Value, json};
use workflow::manifest::RetryOn;
use workflow::run::{Applied, ObjectQuery};
use workflow::{ActionSpec, Args};

use super::*;
use case::{ActionCase, CASES_OF_DEPLOYMENTS, cases};
use fold::{World, request};

fn spec(name: &str) -> ActionSpec {
    catalogue().get(name).cloned().unwrap_or_else(|| panic!("no action {name}"))
}

fn args(value: Value) -> Args {
    value.as_object().cloned().unwrap()
}

/// Runs an action to its end and returns the result and the number of changes that it sent.
fn run(world: &mut World, name: &str, args: &Args, key: &str) -> (Next, usize) {
    let spec = spec(name);
    let (mut replies, mut sent) = (Vec::new(), 0);
    loop {
        match next(&spec, args, key, &replies) {
            Next::Read(queries) => {
                replies.extend(queries.iter().map(|query| Reply::Read(world.read(query))))
            }
            Next::Send { target, verb, preconditions } => {
                sent += 1;
                replies.push(world.send(&request(target, verb, preconditions)).into());
            }
            Next::Wait(_) => replies.push(Reply::Waited),
            Next::RequestApproval(_) => replies.push(Reply::Approved),
            end @ (Next::Done { .. } | Next::Refused { .. }) => return (end, sent),
        }
    }
}

fn done(end: &Next) -> (&Value, &Value) {
    match end {
        Next::Done { output, prior } => (output, prior),
        other => panic!("expected `Done`, found {other:?}"),
    }
}

fn code(end: &Next) -> &str {
    match end {
        Next::Refused { code, .. } => code.as_str(),
        other => panic!("expected `Refused`, found {other:?}"),
    }
}

fn target_of(case: &ActionCase, world: &World) -> Object {
    let target = target(&spec(case.action), &case.args, "").unwrap();
    match world.read(&ObjectQuery::One(target)) {
        ReadReply::Found(object) => object,
        other => panic!("{}: {other:?}", case.action),
    }
}

#[test]
fn every_action_reaches_the_desired_state_and_is_idempotent() {
    for case in cases() {
        let mut world = case.world();
        let (end, sent) = run(&mut world, case.action, &case.args, "step-key");
        let (output, _) = done(&end);
        assert_eq!((output["changed"].as_bool(), sent), (Some(true), 1), "{}", case.name());
        let object = target_of(&case, &world);
        for (pointer, expected) in &case.expected {
            let found = object.at(pointer).cloned().unwrap_or_default();
            assert_eq!(found, *expected, "{} at {pointer}", case.name());
        }
        let (again, sent) = run(&mut world, case.action, &case.args, "step-key");
        assert_eq!(
            (done(&again).0["changed"].as_bool(), sent),
            (Some(false), 0),
            "{}",
            case.name()
        );
        assert_eq!(
            inverse(&spec(case.action), &case.args, done(&again).1),
            None,
            "nothing to undo"
        );
    }
}

#[test]
fn every_inverse_restores_the_prior_state_and_is_idempotent() {
    for case in cases() {
        let spec = spec(case.action);
        let mut world = case.world();
        let before = target_of(&case, &world);
        let (end, _) = run(&mut world, case.action, &case.args, "step-key");
        let undo = inverse(&spec, &case.args, done(&end).1);
        assert_eq!(undo.is_some(), spec.has_inverse, "{}", case.name());
        let Some((action, undo)) = undo else { continue };
        let spec = catalogue().get(&action).cloned().unwrap();
        assert_eq!(check_arguments(&spec, &undo), [], "{}: {undo:?}", case.name());
        let (end, sent) = run(&mut world, &action, &undo, "undo-key");
        assert_eq!((done(&end).0["changed"].as_bool(), sent), (Some(true), 1), "{}", case.name());
        let after = target_of(&case, &world);
        for field in ["spec", "data"] {
            assert_eq!(after.field(field), before.field(field), "{}", case.name());
        }
        let (end, sent) = run(&mut world, &action, &undo, "undo-key");
        assert_eq!((done(&end).0["changed"].as_bool(), sent), (Some(false), 0), "{}", case.name());
    }
}

#[test]
fn inverse_is_refused_after_a_concurrent_change() {
    for case in cases() {
        let Some(external_change) = &case.external_change else { continue };
        let mut world = case.world();
        let (end, _) = run(&mut world, case.action, &case.args, "step-key");
        let (action, undo) = inverse(&spec(case.action), &case.args, done(&end).1).unwrap();
        world.write(&target_of(&case, &world), external_change);
        let before = target_of(&case, &world);
        let (end, sent) = run(&mut world, &action, &undo, "undo-key");
        assert_eq!((code(&end), sent), ("changed_concurrently", 0), "{}", case.name());
        assert_eq!(target_of(&case, &world), before);
    }
}

#[test]
fn argument_schemas_accept_cases_and_reject_unknown_arguments() {
    for case in cases() {
        let spec = spec(case.action);
        assert_eq!(check_arguments(&spec, &case.args), [], "{}", case.name());
        let mut more = case.args.clone();
        more.insert("shell".into(), "rm -rf /".into());
        assert!(!check_arguments(&spec, &more).is_empty());
        let mut world = case.world();
        let (end, sent) = run(&mut world, case.action, &more, "k");
        assert_eq!((code(&end), sent), ("invalid_arguments", 0));
        let mut text = case.args.clone();
        text.insert("target".into(), "Deployment shop/cart".into());
        assert_eq!(
            check_arguments(&spec, &text)[0].0,
            "target",
            "an object reference is never a string"
        );
    }
}

#[test]
fn argument_schemas_use_supported_keywords_and_descriptions() {
    fn walk(schema: &Value, is_names: bool, name: &str) {
        let Some(map) = schema.as_object() else { return };
        for (word, below) in map {
            if !is_names {
                assert!(
                    workflow::catalogue::arguments::KEYWORDS.contains(&word.as_str()),
                    "{name}: {word}"
                );
            }
            if matches!(word.as_str(), "default" | "enum") && !is_names {
                continue;
            }
            walk(below, word == "properties" && !is_names, name);
        }
    }
    for (name, spec) in catalogue().actions {
        assert_eq!(name, spec.name);
        walk(&spec.parameters, false, &name);
        assert_eq!(spec.parameters["additionalProperties"], false, "{name}");
        for (argument, schema) in spec.parameters["properties"].as_object().unwrap() {
            assert!(
                schema["description"].as_str().is_some_and(|text| text.len() > 5),
                "{name}.{argument}"
            );
        }
        assert_eq!(spec.target.is_none(), spec.target_kinds.is_empty(), "{name}");
    }
    assert_eq!(catalogue().actions.len(), 12);
}

#[test]
fn every_action_with_a_target_has_a_case() {
    for action in all().iter().filter(|action| action.spec().target.is_some()) {
        assert!(cases().iter().any(|case| case.action == action.name()), "{}", action.name());
    }
}

/// The learner's features have this order.
#[test]
fn catalogue_order_is_stable() {
    let names: Vec<&str> = all().iter().map(|action| action.name()).collect();
    let expected = "request-approval set-config-key rollout-restart rollout-undo scale set-env set-image set-probe \
        set-resources set-service-port set-service-selector wait";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
}

/// Otherwise the order of the catalogue would decide how a change is reverted.
#[test]
fn changed_field_is_restored_by_at_most_one_action() {
    let shop = case::shop();
    let deployment = &shop.objects()[0];
    let container = "/spec/template/spec/containers/1";
    let probe = json!({"httpGet": {"path": "/up", "port": 80}});
    for (field, object, pointer, before, restoring) in [
        (FieldClass::Config, &shop.objects()[4], "/data/b".into(), json!("1"), "set-config-key"),
        (FieldClass::Image, deployment, format!("{container}/image"), json!("a:1"), "set-image"),
        (
            FieldClass::Env,
            deployment,
            format!("{container}/env/0"),
            json!({"name": "A"}),
            "set-env",
        ),
        (
            FieldClass::Resources,
            deployment,
            format!("{container}/resources"),
            json!({"limits": {"memory": "1Gi"}}),
            "set-resources",
        ),
        (FieldClass::Probe, deployment, format!("{container}/readinessProbe"), probe, "set-probe"),
        (FieldClass::Template, deployment, "/spec/template/metadata".into(), json!({}), ""),
        (FieldClass::Replicas, deployment, "/spec/replicas".into(), json!(2), "scale"),
        (
            FieldClass::Selector,
            &shop.objects()[7],
            "/spec/selector".into(),
            json!({"app": "cart"}),
            "set-service-selector",
        ),
        (
            FieldClass::Port,
            &shop.objects()[7],
            "/spec/ports/1".into(),
            json!({"name": "http", "port": 80, "targetPort": 8080}),
            "set-service-port",
        ),
    ] {
        let changed = ChangedField { object, pointer: &pointer, before: &before };
        let actions = all().iter().filter(|action| action.modified_fields().contains(&field));
        let restored: Vec<(&str, Args)> =
            actions.filter_map(|action| Some((action.name(), action.restore(&changed)?))).collect();
        let names: Vec<&str> = restored.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, restoring.split_whitespace().collect::<Vec<_>>(), "{field:?}");
        for (name, mut arguments) in restored {
            let target =
                json!({"kind": object.kind().kind, "namespace": "shop", "name": object.name()});
            arguments.insert("target".into(), target);
            assert_eq!(check_arguments(&spec(name), &arguments), [], "{name}");
        }
    }
}

/// One read of the target decides whether a request without a response was applied.
#[test]
fn was_applied_decides_from_one_read() {
    for case in cases() {
        let mut world = case.world();
        let before = target_of(&case, &world);
        let mut replies: Vec<Reply> = Vec::new();
        let spec = spec(case.action);
        let Next::Read(queries) = next(&spec, &case.args, "k", &replies) else { panic!() };
        replies.extend(queries.iter().map(|query| Reply::Read(world.read(query))));
        let Next::Send { target, verb, preconditions } = next(&spec, &case.args, "k", &replies)
        else {
            panic!()
        };
        let request = request(target, verb, preconditions);
        let applied = |object: &Object| was_applied(&request, &ReadReply::Found(object.clone()));
        let name = case.name();

        assert_eq!(applied(&before), Applied::No, "{name}: nothing happened");
        let mut other = before.metadata().clone();
        other.uid = "another".into();
        assert_eq!(applied(&before.with_metadata(other)), Applied::No, "{name}: another uid");
        assert_eq!(was_applied(&request, &ReadReply::NotFound), Applied::No, "{name}: deleted");
        let unread = ReadReply::Unavailable { message: "reset".into() };
        assert_eq!(was_applied(&request, &unread), Applied::Unknown, "{name}: not read");

        let mut status = before.metadata().clone();
        status.resource_version = "77".into();
        let with_status = before.with_metadata(status).with_field("status", json!({"replicas": 1}));
        let expected = if CASES_OF_DEPLOYMENTS.contains(&case.action) {
            Applied::No
        } else {
            Applied::Unknown
        };
        assert_eq!(applied(&with_status), expected, "{name}: only its status changed");

        let mut foreign = before.metadata().clone();
        (foreign.resource_version, foreign.generation) = ("77".into(), foreign.generation + 1);
        assert_eq!(
            applied(&before.with_metadata(foreign)),
            Applied::Unknown,
            "{name}: changed by another client"
        );

        assert!(matches!(world.send(&request), WriteReply::Accepted(_)), "{name}");
        assert_eq!(applied(&target_of(&case, &world)), Applied::Yes, "{name}: it was applied");
    }
}

#[test]
fn lost_response_is_resolved_by_reading_again_and_keeps_prior() {
    for case in cases() {
        for is_applied in [true, false] {
            let mut world = case.world();
            let spec = spec(case.action);
            let (mut replies, mut sends) = (Vec::new(), 0);
            let end = loop {
                match next(&spec, &case.args, "k", &replies) {
                    Next::Read(queries) => {
                        replies.extend(queries.iter().map(|query| Reply::Read(world.read(query))))
                    }
                    Next::Send { target, verb, preconditions } => {
                        let request = request(target, verb, preconditions);
                        sends += 1;
                        let reply = if sends > 1 || is_applied {
                            world.send(&request)
                        } else {
                            WriteReply::NotFound
                        };
                        replies.push(Reply::Write(if sends == 1 {
                            WriteReply::Unknown { message: "reset".into() }
                        } else {
                            reply
                        }));
                    }
                    end => break end,
                }
            };
            let (output, prior) = done(&end);
            assert_eq!(output["changed"], true, "{}", case.name());
            assert_eq!(sends, if is_applied { 1 } else { 2 }, "{}", case.name());
            assert_eq!(inverse(&spec, &case.args, prior).is_some(), spec.has_inverse);
        }
    }
}

#[test]
fn conflict_is_retried_three_times() {
    let case = &cases()[0];
    let world = case.world();
    let found = Reply::Read(ReadReply::Found(target_of(case, &world)));
    let conflict = || Reply::Write(WriteReply::Conflict { message: "moved".into() });
    let spec = spec(case.action);
    let mut replies = Vec::new();
    for attempt in 0..4 {
        assert!(matches!(next(&spec, &case.args, "k", &replies), Next::Read(_)), "{attempt}");
        replies.push(found.clone());
        assert!(matches!(next(&spec, &case.args, "k", &replies), Next::Send { .. }), "{attempt}");
        replies.push(conflict());
    }
    let end = next(&spec, &case.args, "k", &replies);
    assert!(matches!(&end, Next::Refused { on: Some(RetryOn::Conflict), .. }), "{end:?}");
}

#[test]
fn status_422_is_retried_only_if_the_object_changed() {
    let case = cases().into_iter().find(|case| case.action == "set-image").unwrap();
    let mut world = case.world();
    let spec = spec(case.action);
    let before = target_of(&case, &world);
    let found = |object: &Object| Reply::Read(ReadReply::Found(object.clone()));
    let refused =
        WriteReply::Refused { code: 422, reason: "Invalid".into(), message: "invalid".into() };
    let mut replies = vec![found(&before), refused.into()];
    assert!(matches!(next(&spec, &case.args, "k", &replies), Next::Read(_)));
    replies.push(found(&before));
    assert_eq!(code(&next(&spec, &case.args, "k", &replies)), "refused");
    world.write(&before, &json!({"spec": {"paused": false}}));
    replies[2] = found(&target_of(&case, &world));
    assert!(matches!(next(&spec, &case.args, "k", &replies), Next::Send { .. }));
}

#[test]
fn failed_request_is_refused_with_code_and_retry_kind() {
    let case = &cases()[0];
    let spec = spec(case.action);
    let text = || "no".to_string();
    let other = || NotSent::OtherCluster { requested: "a".into(), connected: "b".into() };
    let unreachable = || NotSent::Unavailable { message: text(), retry_after_seconds: 5 };
    let check = |replies: &[Reply], on, expected_code| {
        let end = next(&spec, &case.args, "k", replies);
        let Next::Refused { on: found, code, .. } = &end else { panic!("{end:?}") };
        assert_eq!((*found, code.as_str()), (on, expected_code));
    };
    for (reply, on, expected_code) in [
        (ReadReply::NotFound, None, "not_found"),
        (ReadReply::Unavailable { message: text() }, Some(RetryOn::Unavailable), "unavailable"),
        (ReadReply::NotSent(unreachable()), Some(RetryOn::Unavailable), "unavailable"),
        (ReadReply::NotSent(other()), None, "not_sent"),
        (ReadReply::NotRecordable { message: text() }, None, "not_recordable"),
        (ReadReply::Refused { code: 403, message: text() }, None, "refused"),
        (ReadReply::Listed(Vec::new()), None, "unexpected_reply"),
    ] {
        check(&[reply.into()], on, expected_code);
    }
    check(&[WriteReply::Deleted.into()], None, "unexpected_reply");
    let read = Reply::Read(ReadReply::Found(target_of(case, &case.world())));
    let refused = WriteReply::Refused { code: 403, reason: "Forbidden".into(), message: text() };
    for (reply, on, expected_code) in [
        (WriteReply::NotFound, None, "not_found"),
        (WriteReply::Throttled { retry_after_seconds: 3 }, Some(RetryOn::Throttled), "throttled"),
        (WriteReply::NotSent(unreachable()), Some(RetryOn::Unavailable), "unavailable"),
        (WriteReply::NotSent(other()), None, "not_sent"),
        (refused, None, "refused"),
        (WriteReply::Deleted, None, "unexpected_reply"),
    ] {
        check(&[read.clone(), reply.into()], on, expected_code);
    }
    check(&[read, Reply::Waited], None, "unexpected_reply");
}

#[test]
fn every_change_has_uid_and_version_preconditions() {
    for case in cases() {
        let world = case.world();
        let spec = spec(case.action);
        let Next::Read(queries) = next(&spec, &case.args, "k", &[]) else { panic!() };
        let replies: Vec<Reply> =
            queries.iter().map(|query| Reply::Read(world.read(query))).collect();
        let Next::Send { target, verb, preconditions } = next(&spec, &case.args, "k", &replies)
        else {
            panic!()
        };
        let object = target_of(&case, &world);
        assert_eq!(preconditions.uid.as_deref(), Some(object.metadata().uid.as_str()));
        assert_eq!(target.uid, preconditions.uid);
        let Verb::Patch { patch: Patch::Json(operations), .. } = &verb else { panic!("{verb:?}") };
        let tests = |operation: &JsonOp| matches!(operation, JsonOp::Test { path, .. } if path == "/metadata/generation");
        assert!(
            preconditions.resource_version.is_some() || operations.iter().any(tests),
            "{}",
            case.name()
        );
    }
}

#[test]
fn restart_is_sent_once_per_step_key() {
    let case = cases().into_iter().find(|case| case.action == "rollout-restart").unwrap();
    let mut world = case.world();
    for (key, sends) in [("a", 1), ("a", 0), ("b", 1)] {
        assert_eq!(run(&mut world, "rollout-restart", &case.args, key).1, sends, "{key}");
    }
}

#[test]
fn impossible_change_is_refused_with_its_code() {
    let world = || case::shop();
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let map = json!({"kind": "ConfigMap", "namespace": "shop", "name": "frozen"});
    let service = json!({"kind": "Service", "namespace": "shop", "name": "cart"});
    for (action, arguments, expected_code) in [
        (
            "set-image",
            json!({"target": cart, "container": "missing", "image": "x:1"}),
            "no_container",
        ),
        (
            "set-image",
            json!({"target": service, "container": "main", "image": "x:1"}),
            "invalid_arguments",
        ),
        (
            "set-image",
            json!({"target": {"kind": "Deployment", "namespace": "shop", "name": "none"}, "container": "main", "image": "x:1"}),
            "not_found",
        ),
        ("rollout-undo", json!({"target": cart, "revision": 99}), "no_revision"),
        (
            "rollout-restart",
            json!({"target": {"kind": "Deployment", "namespace": "shop", "name": "paused"}}),
            "paused",
        ),
        (
            "set-service-port",
            json!({"target": service, "port": "none", "targetPort": 80}),
            "no_port",
        ),
        ("set-service-selector", json!({"target": service, "selector": {}}), "invalid_arguments"),
        ("set-config-key", json!({"target": map, "key": "a", "value": "b"}), "immutable"),
        ("set-env", json!({"target": cart, "container": "main", "name": "A"}), "invalid_arguments"),
        (
            "set-resources",
            json!({"target": cart, "container": "main", "limits": {"memory": "lots"}}),
            "invalid_arguments",
        ),
        (
            "set-probe",
            json!({"target": cart, "container": "main", "which": "readiness"}),
            "invalid_arguments",
        ),
        (
            "scale",
            json!({"target": cart, "replicas": "${{ params.replicas }}"}),
            "invalid_arguments",
        ),
        ("wait", json!({"duration": "soon"}), "invalid_arguments"),
    ] {
        let (end, sent) = run(&mut world(), action, &args(arguments.clone()), "k");
        assert_eq!((code(&end), sent), (expected_code, 0), "{action} {arguments}");
    }
}

#[test]
fn wait_and_request_approval_finish_after_one_reply() {
    let wait = args(json!({"duration": "90s"}));
    assert_eq!(
        next(&spec("wait"), &wait, "k", &[]),
        Next::Wait(workflow::duration::Duration::from_secs(90))
    );
    assert_eq!(done(&next(&spec("wait"), &wait, "k", &[Reply::Waited])).0["changed"], false);
    let ask = args(json!({"question": "Is the backup fresh?"}));
    assert_eq!(
        next(&spec("request-approval"), &ask, "k", &[]),
        Next::RequestApproval("Is the backup fresh?".into())
    );
    assert_eq!(
        done(&next(&spec("request-approval"), &ask, "k", &[Reply::Approved])).0["approved"],
        true
    );
}

#[test]
fn impact_counts_affected_pods() {
    let shop = case::shop();
    let objects = shop.objects();
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let of = |action: &str, more: Value, objects: &[Object]| {
        let mut all = args(more);
        all.entry("target").or_insert(cart.clone());
        impact(&spec(action), &all, objects)
    };
    assert_eq!(of("rollout-restart", json!({}), &objects).pods, 3);
    assert_eq!(of("rollout-restart", json!({}), &[]).pods, u32::MAX);
    let scale_impact = of("scale", json!({"replicas": 5}), &objects);
    assert_eq!((scale_impact.pods, scale_impact.replicas_after), (2, Some(5)));
    let map = json!({"target": {"kind": "ConfigMap", "namespace": "shop", "name": "cart"}, "key": "a", "value": "b"});
    let config_impact = of("set-config-key", map, &objects);
    assert_eq!(
        (config_impact.pods, config_impact.targets[0].uid.as_deref()),
        (0, Some("uid-ConfigMap-cart"))
    );
}

#[test]
fn default_postconditions_are_true_only_for_healthy_objects() {
    use workflow::Truth;
    let truth = |condition: &workflow::Condition, value: Value| {
        let name = condition.read.keys().next().unwrap().clone();
        condition.check.evaluate_condition(&[(name, value)].into_iter().collect())
    };
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let conditions =
        default_postconditions(&spec("rollout-restart"), &args(json!({"target": cart})), None);
    let [rolled_out] = conditions.as_slice() else { panic!("{conditions:?}") };
    let deployment = |status: Value| json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
    let healthy =
        json!({"observedGeneration": 2, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 2});
    assert_eq!(truth(rolled_out, deployment(healthy)), Truth::True);
    for bad in [
        json!({}),
        json!({"observedGeneration": 1, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 2}),
        json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2}),
        json!({"observedGeneration": 2, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 3}),
    ] {
        assert_eq!(truth(rolled_out, deployment(bad.clone())), Truth::False, "{bad}");
    }
    assert_eq!(truth(rolled_out, Value::Null), Truth::False);

    let service = json!({"kind": "Service", "namespace": "shop", "name": "cart"});
    let port = args(json!({"target": service, "port": "http", "targetPort": 8080}));
    let conditions = default_postconditions(&spec("set-service-port"), &port, None);
    let [endpoints] = conditions.as_slice() else { panic!("{conditions:?}") };
    let slices = |ready: bool, port: u16| json!([{"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}], "ports": [{"port": port}]}]);
    assert_eq!(truth(endpoints, slices(true, 8080)), Truth::True);
    assert_eq!(truth(endpoints, slices(false, 8080)), Truth::False);
    assert_eq!(truth(endpoints, slices(true, 9999)), Truth::False);
    assert_eq!(truth(endpoints, json!([{"endpoints": null}])), Truth::False);

    let map = args(
        json!({"target": {"kind": "ConfigMap", "namespace": "shop", "name": "cart"}, "key": "a", "value": "b"}),
    );
    let workload = cluster::ObjectRef::builtin("c", "Deployment", Some("shop"), "cart");
    let conditions = default_postconditions(&spec("set-config-key"), &map, Some(&workload));
    assert_eq!(conditions.len(), 2);
    assert_eq!(truth(&conditions[0], json!({"data": {"a": "b"}})), Truth::True);
    assert_eq!(truth(&conditions[0], json!({"metadata": {}})), Truth::False);
    assert!(
        default_postconditions(&spec("wait"), &args(json!({"duration": "1s"})), None).is_empty()
    );
}
