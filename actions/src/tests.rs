//! Every action as data: from arguments and observed objects to the request, twice, drifted, and back.

mod case;
mod fold;

use cluster::{JsonOp, Object, Patch, Reply, Verb};
use serde_json::{Value, json};
use workflow::manifest::RetryOn;
use workflow::run::{Applied, ObjectQuery};
use workflow::{ActionSpec, Args};

use super::*;
use case::{CASES_OF_DEPLOYMENTS, Case, cases};
use fold::{World, request};

fn spec(name: &str) -> ActionSpec {
    catalogue().get(name).cloned().unwrap_or_else(|| panic!("no action {name}"))
}

fn args(value: Value) -> Args {
    value.as_object().cloned().unwrap()
}

/// Runs an action to its end and gives how it ended, with the number of changes it sent.
fn run(world: &mut World, name: &str, args: &Args, key: &str) -> (Next, usize) {
    let spec = spec(name);
    let (mut replies, mut sent) = (Vec::new(), 0);
    loop {
        match next(&spec, args, key, &replies) {
            Next::Read(queries) => replies.extend(queries.iter().map(|query| world.read(query))),
            Next::Send { target, verb, preconditions } => {
                sent += 1;
                replies.push(world.send(&request(target, verb, preconditions)));
            }
            Next::Wait(_) | Next::Ask(_) => replies.push(Reply::Absent),
            end @ (Next::Done { .. } | Next::Refused { .. }) => return (end, sent),
        }
    }
}

fn done(end: &Next) -> (&Value, &Value) {
    match end {
        Next::Done { output, prior } => (output, prior),
        other => panic!("expected it done, found {other:?}"),
    }
}

fn code(end: &Next) -> &str {
    match end {
        Next::Refused { code, .. } => code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn target_of(case: &Case, world: &World) -> Object {
    let target = target(&spec(case.action), &case.args, "").unwrap();
    match world.read(&ObjectQuery::One(target)) {
        Reply::Found(object) => object,
        other => panic!("{}: {other:?}", case.action),
    }
}

#[test]
fn every_action_leaves_what_was_asked_for_and_does_nothing_the_second_time() {
    for case in cases() {
        let mut world = case.world();
        let (end, sent) = run(&mut world, case.action, &case.args, "step-key");
        let (output, _) = done(&end);
        assert_eq!((output["changed"].as_bool(), sent), (Some(true), 1), "{}", case.name());
        let object = target_of(&case, &world);
        for (pointer, expected) in &case.leaves {
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
fn every_inverse_brings_back_what_stood_there_and_does_nothing_the_second_time() {
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
fn an_inverse_leaves_alone_what_somebody_else_changed_since() {
    for case in cases() {
        let Some(drift) = &case.drift else { continue };
        let mut world = case.world();
        let (end, _) = run(&mut world, case.action, &case.args, "step-key");
        let (action, undo) = inverse(&spec(case.action), &case.args, done(&end).1).unwrap();
        world.write(&target_of(&case, &world), drift);
        let before = target_of(&case, &world);
        let (end, sent) = run(&mut world, &action, &undo, "undo-key");
        assert_eq!((code(&end), sent), ("drifted", 0), "{}", case.name());
        assert_eq!(target_of(&case, &world), before);
    }
}

#[test]
fn arguments_of_every_case_fit_the_schema_and_a_wrong_word_does_not() {
    for case in cases() {
        let spec = spec(case.action);
        assert_eq!(check_arguments(&spec, &case.args), [], "{}", case.name());
        let mut more = case.args.clone();
        more.insert("shell".into(), "rm -rf /".into());
        assert!(!check_arguments(&spec, &more).is_empty());
        let mut world = case.world();
        let (end, sent) = run(&mut world, case.action, &more, "k");
        assert_eq!((code(&end), sent), ("bad-arguments", 0));
        let mut text = case.args.clone();
        text.insert("target".into(), "Deployment shop/cart".into());
        assert_eq!(check_arguments(&spec, &text)[0].0, "target", "an object never comes as a text");
    }
}

#[test]
fn schemas_use_only_the_words_that_the_checker_knows_and_describe_every_argument() {
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
fn was_applied_tells_from_one_read_what_an_unknown_answer_meant() {
    for case in cases() {
        let mut world = case.world();
        let before = target_of(&case, &world);
        let mut replies: Vec<Reply> = Vec::new();
        let spec = spec(case.action);
        let Next::Read(queries) = next(&spec, &case.args, "k", &replies) else { panic!() };
        replies.extend(queries.iter().map(|query| world.read(query)));
        let Next::Send { target, verb, preconditions } = next(&spec, &case.args, "k", &replies)
        else {
            panic!()
        };
        let request = request(target, verb, preconditions);
        let judge = |object: &Object| was_applied(&request, &Reply::Found(object.clone()));
        let name = case.name();

        assert_eq!(judge(&before), Applied::No, "{name}: nothing happened");
        let mut other = before.metadata().clone();
        other.uid = "another".into();
        assert_eq!(judge(&before.with_metadata(other)), Applied::No, "{name}: another incarnation");
        assert_eq!(was_applied(&request, &Reply::Absent), Applied::No, "{name}: it is gone");
        let unread = Reply::Unknown { message: "reset".into() };
        assert_eq!(was_applied(&request, &unread), Applied::Unknown, "{name}: not read");

        let mut status = before.metadata().clone();
        status.resource_version = "77".into();
        let churned = before.with_metadata(status).with_field("status", json!({"replicas": 1}));
        let expected = if CASES_OF_DEPLOYMENTS.contains(&case.action) {
            Applied::No
        } else {
            Applied::Unknown
        };
        assert_eq!(judge(&churned), expected, "{name}: its status moved on");

        let mut foreign = before.metadata().clone();
        (foreign.resource_version, foreign.generation) = ("77".into(), foreign.generation + 1);
        assert_eq!(
            judge(&before.with_metadata(foreign)),
            Applied::Unknown,
            "{name}: somebody wrote"
        );

        assert!(matches!(world.send(&request), Reply::Accepted(_)), "{name}");
        assert_eq!(judge(&target_of(&case, &world)), Applied::Yes, "{name}: it was applied");
    }
}

#[test]
fn a_lost_answer_is_met_by_reading_again_and_keeps_the_prior_state() {
    for case in cases() {
        for was_lost_after in [true, false] {
            let mut world = case.world();
            let spec = spec(case.action);
            let (mut replies, mut sends) = (Vec::new(), 0);
            let end = loop {
                match next(&spec, &case.args, "k", &replies) {
                    Next::Read(queries) => {
                        replies.extend(queries.iter().map(|query| world.read(query)))
                    }
                    Next::Send { target, verb, preconditions } => {
                        let request = request(target, verb, preconditions);
                        sends += 1;
                        let answer = if sends > 1 || was_lost_after {
                            world.send(&request)
                        } else {
                            Reply::Absent
                        };
                        replies.push(if sends == 1 {
                            Reply::Unknown { message: "reset".into() }
                        } else {
                            answer
                        });
                    }
                    end => break end,
                }
            };
            let (output, prior) = done(&end);
            assert_eq!(output["changed"], true, "{}", case.name());
            assert_eq!(sends, if was_lost_after { 1 } else { 2 }, "{}", case.name());
            assert_eq!(inverse(&spec, &case.args, prior).is_some(), spec.has_inverse);
        }
    }
}

#[test]
fn a_conflict_is_met_by_reading_again_three_times_and_no_more() {
    let case = &cases()[0];
    let world = case.world();
    let found = Reply::Found(target_of(case, &world));
    let conflict = || Reply::Conflict { message: "moved".into() };
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
fn a_refusal_for_a_failed_test_is_told_from_a_refusal_for_good() {
    let case = cases().into_iter().find(|case| case.action == "set-image").unwrap();
    let mut world = case.world();
    let spec = spec(case.action);
    let before = target_of(&case, &world);
    let refused = Reply::Refused { code: 422, reason: "Invalid".into(), message: "invalid".into() };
    let mut replies = vec![Reply::Found(before.clone()), refused];
    assert!(matches!(next(&spec, &case.args, "k", &replies), Next::Read(_)));
    replies.push(Reply::Found(before.clone()));
    assert_eq!(code(&next(&spec, &case.args, "k", &replies)), "refused");
    world.write(&before, &json!({"spec": {"paused": false}}));
    replies[2] = Reply::Found(target_of(&case, &world));
    assert!(matches!(next(&spec, &case.args, "k", &replies), Next::Send { .. }));
}

#[test]
fn what_a_bad_read_means_is_said_with_the_kind_of_failure() {
    let case = &cases()[0];
    let spec = spec(case.action);
    for (reply, on, word) in [
        (Reply::Absent, None, "not-found"),
        (Reply::Unknown { message: "reset".into() }, Some(RetryOn::Unavailable), "unavailable"),
        (Reply::Throttled { retry_after_seconds: 3 }, Some(RetryOn::Throttled), "throttled"),
        (
            Reply::Refused { code: 403, reason: "Forbidden".into(), message: "no".into() },
            None,
            "refused",
        ),
        (Reply::Deleted, None, "unexpected-reply"),
    ] {
        let end = next(&spec, &case.args, "k", &[reply]);
        let Next::Refused { on: found, code, .. } = &end else { panic!("{end:?}") };
        assert_eq!((*found, code.as_str()), (on, word));
    }
}

#[test]
fn every_change_names_the_incarnation_and_what_it_was_based_on() {
    for case in cases() {
        let world = case.world();
        let spec = spec(case.action);
        let Next::Read(queries) = next(&spec, &case.args, "k", &[]) else { panic!() };
        let replies: Vec<Reply> = queries.iter().map(|query| world.read(query)).collect();
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
fn restarts_of_one_step_are_one_and_of_two_steps_are_two() {
    let case = cases().into_iter().find(|case| case.action == "rollout-restart").unwrap();
    let mut world = case.world();
    for (key, sends) in [("a", 1), ("a", 0), ("b", 1)] {
        assert_eq!(run(&mut world, "rollout-restart", &case.args, key).1, sends, "{key}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_a_word_and_a_reason() {
    let world = || case::shop();
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let map = json!({"kind": "ConfigMap", "namespace": "shop", "name": "frozen"});
    let service = json!({"kind": "Service", "namespace": "shop", "name": "cart"});
    for (action, arguments, word) in [
        ("set-image", json!({"target": cart, "container": "gone", "image": "x:1"}), "no-container"),
        (
            "set-image",
            json!({"target": service, "container": "main", "image": "x:1"}),
            "bad-arguments",
        ),
        (
            "set-image",
            json!({"target": {"kind": "Deployment", "namespace": "shop", "name": "none"}, "container": "main", "image": "x:1"}),
            "not-found",
        ),
        ("rollout-undo", json!({"target": cart, "revision": 99}), "no-revision"),
        (
            "rollout-restart",
            json!({"target": {"kind": "Deployment", "namespace": "shop", "name": "paused"}}),
            "paused",
        ),
        (
            "set-service-port",
            json!({"target": service, "port": "none", "targetPort": 80}),
            "no-port",
        ),
        ("set-service-selector", json!({"target": service, "selector": {}}), "bad-arguments"),
        ("restore-config-key", json!({"target": map, "key": "a", "value": "b"}), "immutable"),
        ("set-env", json!({"target": cart, "container": "main", "name": "A"}), "bad-arguments"),
        (
            "set-resources",
            json!({"target": cart, "container": "main", "limits": {"memory": "lots"}}),
            "bad-arguments",
        ),
        (
            "set-probe",
            json!({"target": cart, "container": "main", "which": "readiness"}),
            "bad-arguments",
        ),
        ("scale", json!({"target": cart, "replicas": "${{ params.replicas }}"}), "bad-arguments"),
        ("wait", json!({"duration": "soon"}), "bad-arguments"),
    ] {
        let (end, sent) = run(&mut world(), action, &args(arguments.clone()), "k");
        assert_eq!((code(&end), sent), (word, 0), "{action} {arguments}");
    }
}

#[test]
fn waiting_and_asking_end_after_one_answer_and_change_nothing() {
    let wait = args(json!({"duration": "90s"}));
    assert_eq!(
        next(&spec("wait"), &wait, "k", &[]),
        Next::Wait(workflow::duration::Span::from_secs(90))
    );
    assert_eq!(done(&next(&spec("wait"), &wait, "k", &[Reply::Absent])).0["changed"], false);
    let ask = args(json!({"question": "Is the backup fresh?"}));
    assert_eq!(next(&spec("ask-human"), &ask, "k", &[]), Next::Ask("Is the backup fresh?".into()));
    assert_eq!(done(&next(&spec("ask-human"), &ask, "k", &[Reply::Absent])).0["answer"], "yes");
}

#[test]
fn the_footprint_counts_the_pods_that_a_step_may_disturb() {
    let shop = case::shop();
    let objects = shop.objects();
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let of = |action: &str, more: Value, objects: &[Object]| {
        let mut all = args(more);
        all.entry("target").or_insert(cart.clone());
        footprint(&spec(action), &all, objects)
    };
    assert_eq!(of("rollout-restart", json!({}), &objects).pods, 3);
    assert_eq!(of("rollout-restart", json!({}), &[]).pods, u32::MAX);
    let scaled = of("scale", json!({"replicas": 5}), &objects);
    assert_eq!((scaled.pods, scaled.replicas_after), (2, Some(5)));
    let map = json!({"target": {"kind": "ConfigMap", "namespace": "shop", "name": "cart"}, "key": "a", "value": "b"});
    let mapped = of("restore-config-key", map, &objects);
    assert_eq!((mapped.pods, mapped.targets[0].uid.as_deref()), (0, Some("uid-ConfigMap-cart")));
}

#[test]
fn default_postconditions_hold_of_what_is_well_and_of_nothing_else() {
    use workflow::Verdict;
    let judge = |condition: &workflow::Condition, value: Value| {
        let name = condition.read.keys().next().unwrap().clone();
        condition.check.judge(&[(name, value)].into_iter().collect())
    };
    let cart = json!({"kind": "Deployment", "namespace": "shop", "name": "cart"});
    let conditions =
        default_postconditions(&spec("rollout-restart"), &args(json!({"target": cart})), None);
    let [rolled] = conditions.as_slice() else { panic!("{conditions:?}") };
    let deployment = |status: Value| json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
    let well =
        json!({"observedGeneration": 2, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 2});
    assert_eq!(judge(rolled, deployment(well)), Verdict::True);
    for bad in [
        json!({}),
        json!({"observedGeneration": 1, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 2}),
        json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2}),
        json!({"observedGeneration": 2, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 3}),
    ] {
        assert_eq!(judge(rolled, deployment(bad.clone())), Verdict::False, "{bad}");
    }
    assert_eq!(judge(rolled, Value::Null), Verdict::False);

    let service = json!({"kind": "Service", "namespace": "shop", "name": "cart"});
    let port = args(json!({"target": service, "port": "http", "targetPort": 8080}));
    let conditions = default_postconditions(&spec("set-service-port"), &port, None);
    let [endpoints] = conditions.as_slice() else { panic!("{conditions:?}") };
    let slices = |ready: bool, port: u16| json!([{"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}], "ports": [{"port": port}]}]);
    assert_eq!(judge(endpoints, slices(true, 8080)), Verdict::True);
    assert_eq!(judge(endpoints, slices(false, 8080)), Verdict::False);
    assert_eq!(judge(endpoints, slices(true, 9999)), Verdict::False);
    assert_eq!(judge(endpoints, json!([{"endpoints": null}])), Verdict::False);

    let map = args(
        json!({"target": {"kind": "ConfigMap", "namespace": "shop", "name": "cart"}, "key": "a", "value": "b"}),
    );
    let workload = cluster::ObjectRef::builtin("c", "Deployment", Some("shop"), "cart");
    let conditions = default_postconditions(&spec("restore-config-key"), &map, Some(&workload));
    assert_eq!(conditions.len(), 2);
    assert_eq!(judge(&conditions[0], json!({"data": {"a": "b"}})), Verdict::True);
    assert_eq!(judge(&conditions[0], json!({"metadata": {}})), Verdict::False);
    assert!(
        default_postconditions(&spec("wait"), &args(json!({"duration": "1s"})), None).is_empty()
    );
}
