use cluster::ObjectRef;
use serde_json::json;

use super::*;
use crate::guardrail::{DenyRule, Freeze};

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn guardrails_with(change: impl FnOnce(&mut GuardrailSpec)) -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = Autonomy::Auto;
    change(&mut guardrails.spec);
    guardrails
}

fn cart() -> ObjectRef {
    ObjectRef::builtin("c", "Deployment", Some("shop"), "cart")
}

fn scale(replicas: u32) -> Impact {
    Impact {
        action: "scale".into(),
        arguments: json!({"replicas": replicas}).as_object().unwrap().clone(),
        targets: vec![cart()],
        pods: replicas,
        replicas_after: Some(replicas),
        class: ActionClass::NaturallyIdempotent,
        reversibility: Reversibility::Reversible,
    }
}

fn rule_of(verdict: GuardrailDecision) -> String {
    match verdict {
        GuardrailDecision::Allow => "allow".into(),
        GuardrailDecision::NeedsApproval { .. } => "approval".into(),
        GuardrailDecision::SuggestOnly { .. } => "suggestion".into(),
        GuardrailDecision::Deny { rule, message, hint } => {
            assert!(!message.is_empty() && !hint.is_empty(), "{rule} has a message and a hint");
            rule
        }
    }
}

fn check(guardrails: &Guardrails, impact: &Impact, expected: &str) {
    assert_eq!(
        rule_of(judge(guardrails, impact, &ChangeLog::default(), now())),
        expected,
        "{impact:?}"
    );
}

#[test]
fn each_field_denies_violating_steps() {
    let within = |namespace: &str| Impact {
        targets: vec![ObjectRef::builtin("c", "Deployment", Some(namespace), "x")],
        ..scale(2)
    };
    let freeze = |from: &str, until: &str| Freeze {
        name: "sale".into(),
        from: from.parse().unwrap(),
        until: until.parse().unwrap(),
    };
    check(&guardrails_with(|_| {}), &scale(2), "allow");
    check(
        &guardrails_with(|spec| spec.denied_actions.push("scale".into())),
        &scale(2),
        "deniedActions",
    );
    check(&guardrails_with(|_| {}), &within("chiron-system"), "protectedNamespaces");
    check(
        &guardrails_with(|spec| spec.allowed_namespaces.push("shop".into())),
        &within("bank"),
        "allowedNamespaces",
    );
    check(&guardrails_with(|spec| spec.allowed_namespaces.push("shop".into())), &scale(2), "allow");
    check(&guardrails_with(|_| {}), &scale(0), "minReplicas");
    check(&guardrails_with(|spec| spec.max_pods = 1_000), &scale(51), "maxReplicas");
    check(&guardrails_with(|_| {}), &Impact { pods: u32::MAX, ..scale(2) }, "maxPods");
    check(
        &guardrails_with(|_| {}),
        &Impact { class: ActionClass::Irreversible, ..scale(2) },
        "allowIrreversible",
    );
    check(
        &guardrails_with(|_| {}),
        &Impact { reversibility: Reversibility::Irreversible, ..scale(2) },
        "allowIrreversible",
    );
    check(
        &guardrails_with(|spec| spec.allow_irreversible = true),
        &Impact { class: ActionClass::Irreversible, ..scale(2) },
        "allow",
    );
    check(
        &guardrails_with(|spec| {
            spec.freezes.push(freeze("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"))
        }),
        &scale(2),
        "freezes",
    );
    check(
        &guardrails_with(|spec| {
            spec.freezes.push(freeze("2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z"))
        }),
        &scale(2),
        "allow",
    );
}

#[test]
/// Bad-input row A15: no level of autonomy allows a change in a protected namespace.
fn protected_namespace_is_never_changed() {
    for namespace in ["kube-system", "kube-public", "kube-node-lease", "chiron-system"] {
        let impact = Impact {
            targets: vec![ObjectRef::builtin("c", "Deployment", Some(namespace), "x")],
            ..scale(2)
        };
        for autonomy in [Autonomy::Approve, Autonomy::AutoLowRisk, Autonomy::Auto] {
            check(
                &guardrails_with(|spec| spec.autonomy = autonomy),
                &impact,
                "protectedNamespaces",
            );
        }
    }
}

#[test]
fn rate_limits_count_last_hour() {
    let minutes_ago = |minutes: i64| now() - jiff::SignedDuration::from_mins(minutes);
    let mut change_log = ChangeLog::default();
    for minutes in [70, 50, 40, 30, 20, 10] {
        change_log.record(&cart(), minutes_ago(minutes));
    }
    let guardrails = guardrails_with(|_| {});
    assert_eq!(
        rule_of(judge(&guardrails, &scale(2), &change_log, now())),
        "allow",
        "the first change was more than an hour ago"
    );
    change_log.record(&cart(), now());
    assert_eq!(
        rule_of(judge(&guardrails, &scale(2), &change_log, now())),
        "maxChangesPerTargetPerHour"
    );
    let other = Impact {
        targets: vec![ObjectRef::builtin("c", "Deployment", Some("shop"), "other")],
        ..scale(2)
    };
    assert_eq!(rule_of(judge(&guardrails, &other, &change_log, now())), "allow");
    assert_eq!(
        rule_of(judge(
            &guardrails_with(|spec| spec.max_changes_per_hour = 6),
            &other,
            &change_log,
            now()
        )),
        "maxChangesPerHour"
    );
}

#[test]
fn deny_rule_denies_if_true_or_unknown() {
    let with = |when: &str, hint: &str| {
        let rule = DenyRule {
            name: "mine".into(),
            when: expression::Expression::parse(when).unwrap(),
            hint: hint.into(),
        };
        guardrails_with(|spec| spec.deny.push(rule))
    };
    check(&with("action == 'scale' && args.replicas > 5", ""), &scale(6), "deny/mine");
    check(&with("action == 'scale' && args.replicas > 5", ""), &scale(5), "allow");
    check(&with("target.namespace == 'shop' && pods > 1", ""), &scale(2), "deny/mine");
    check(&with("class == 'naturallyIdempotent'", ""), &scale(2), "deny/mine");
    check(&with("args.absent > 5", ""), &scale(2), "deny/mine");
    check(&with("pods", ""), &scale(2), "deny/mine");
    let GuardrailDecision::Deny { hint, .. } =
        judge(&with("true", "ask Ada"), &scale(2), &ChangeLog::default(), now())
    else {
        panic!("denied")
    };
    assert_eq!(hint, "ask Ada");
}

#[test]
fn autonomy_determines_approval() {
    let service = Impact {
        targets: vec![ObjectRef::builtin("c", "Service", Some("shop"), "cart")],
        replicas_after: None,
        ..scale(2)
    };
    let restart =
        Impact { reversibility: Reversibility::BestEffort, replicas_after: None, ..scale(2) };
    let not_idempotent = Impact { class: ActionClass::AtMostOnce, ..scale(2) };
    for (autonomy, plain, risky) in [
        (Autonomy::Observe, "autonomy", "autonomy"),
        (Autonomy::Suggest, "suggestion", "suggestion"),
        (Autonomy::Approve, "approval", "approval"),
        (Autonomy::AutoLowRisk, "allow", "approval"),
        (Autonomy::Auto, "allow", "allow"),
    ] {
        let guardrails = guardrails_with(|spec| spec.autonomy = autonomy);
        check(&guardrails, &scale(2), plain);
        for impact in [&service, &restart, &not_idempotent] {
            check(&guardrails, impact, risky);
        }
    }
}

#[test]
fn step_without_targets_needs_no_approval() {
    let ask = Impact {
        action: "request-approval".into(),
        targets: Vec::new(),
        pods: 0,
        replicas_after: None,
        ..scale(0)
    };
    for autonomy in [Autonomy::Observe, Autonomy::Approve, Autonomy::Auto] {
        check(&guardrails_with(|spec| spec.autonomy = autonomy), &ask, "allow");
    }
    check(
        &guardrails_with(|spec| spec.denied_actions.push("request-approval".into())),
        &ask,
        "deniedActions",
    );
}
