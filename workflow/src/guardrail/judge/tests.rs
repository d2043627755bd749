use cluster::ObjectRef;
use serde_json::json;

use super::*;
use crate::guardrail::{DenyRule, Freeze};

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn rails(change: impl FnOnce(&mut GuardrailSpec)) -> Guardrails {
    let mut guardrails = Guardrails::default();
    guardrails.spec.autonomy = Autonomy::Auto;
    change(&mut guardrails.spec);
    guardrails
}

fn cart() -> ObjectRef {
    ObjectRef::builtin("c", "Deployment", Some("shop"), "cart")
}

fn scale(replicas: u32) -> Footprint {
    Footprint {
        action: "scale".into(),
        arguments: json!({"replicas": replicas}).as_object().unwrap().clone(),
        targets: vec![cart()],
        pods: replicas,
        replicas_after: Some(replicas),
        class: ActionClass::A,
        reversibility: Reversibility::Reversible,
    }
}

fn rule_of(verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => "allow".into(),
        Verdict::NeedsApproval { .. } => "approval".into(),
        Verdict::SuggestOnly { .. } => "suggestion".into(),
        Verdict::Deny { rule, message, hint } => {
            assert!(!message.is_empty() && !hint.is_empty(), "{rule} says what and how to mend it");
            rule
        }
    }
}

fn check(guardrails: &Guardrails, footprint: &Footprint, expected: &str) {
    assert_eq!(
        rule_of(judge(guardrails, footprint, &Ledger::default(), now())),
        expected,
        "{footprint:?}"
    );
}

#[test]
fn every_field_denies_what_it_is_there_for() {
    let within = |namespace: &str| Footprint {
        targets: vec![ObjectRef::builtin("c", "Deployment", Some(namespace), "x")],
        ..scale(2)
    };
    let freeze = |from: &str, until: &str| Freeze {
        name: "sale".into(),
        from: from.parse().unwrap(),
        until: until.parse().unwrap(),
    };
    check(&rails(|_| {}), &scale(2), "allow");
    check(&rails(|spec| spec.denied_actions.push("scale".into())), &scale(2), "deniedActions");
    check(&rails(|_| {}), &within("chiron-system"), "protectedNamespaces");
    check(
        &rails(|spec| spec.allowed_namespaces.push("shop".into())),
        &within("bank"),
        "allowedNamespaces",
    );
    check(&rails(|spec| spec.allowed_namespaces.push("shop".into())), &scale(2), "allow");
    check(&rails(|_| {}), &scale(0), "minReplicas");
    check(&rails(|spec| spec.max_pods = 1_000), &scale(51), "maxReplicas");
    check(&rails(|_| {}), &Footprint { pods: u32::MAX, ..scale(2) }, "maxPods");
    check(&rails(|_| {}), &Footprint { class: ActionClass::D, ..scale(2) }, "allowIrreversible");
    check(
        &rails(|_| {}),
        &Footprint { reversibility: Reversibility::Irreversible, ..scale(2) },
        "allowIrreversible",
    );
    check(
        &rails(|spec| spec.allow_irreversible = true),
        &Footprint { class: ActionClass::D, ..scale(2) },
        "allow",
    );
    check(
        &rails(|spec| spec.freezes.push(freeze("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"))),
        &scale(2),
        "freezes",
    );
    check(
        &rails(|spec| spec.freezes.push(freeze("2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z"))),
        &scale(2),
        "allow",
    );
}

#[test]
fn a15_a_protected_namespace_is_never_changed() {
    for namespace in ["kube-system", "kube-public", "kube-node-lease", "chiron-system"] {
        let footprint = Footprint {
            targets: vec![ObjectRef::builtin("c", "Deployment", Some(namespace), "x")],
            ..scale(2)
        };
        for autonomy in [Autonomy::Approve, Autonomy::AutoLowRisk, Autonomy::Auto] {
            check(&rails(|spec| spec.autonomy = autonomy), &footprint, "protectedNamespaces");
        }
    }
}

#[test]
fn budgets_count_the_last_hour() {
    let minutes_ago = |minutes: i64| now() - jiff::SignedDuration::from_mins(minutes);
    let mut ledger = Ledger::default();
    for minutes in [70, 50, 40, 30, 20, 10] {
        ledger.note(&cart(), minutes_ago(minutes));
    }
    let guardrails = rails(|_| {});
    assert_eq!(
        rule_of(judge(&guardrails, &scale(2), &ledger, now())),
        "allow",
        "the first was more than an hour ago"
    );
    ledger.note(&cart(), now());
    assert_eq!(
        rule_of(judge(&guardrails, &scale(2), &ledger, now())),
        "maxChangesPerTargetPerHour"
    );
    let other = Footprint {
        targets: vec![ObjectRef::builtin("c", "Deployment", Some("shop"), "other")],
        ..scale(2)
    };
    assert_eq!(rule_of(judge(&guardrails, &other, &ledger, now())), "allow");
    assert_eq!(
        rule_of(judge(&rails(|spec| spec.max_changes_per_hour = 6), &other, &ledger, now())),
        "maxChangesPerHour"
    );
}

#[test]
fn a_rule_denies_where_it_is_true_and_where_it_cannot_be_judged() {
    let with = |when: &str, hint: &str| {
        let rule = DenyRule {
            name: "mine".into(),
            when: expression::Expression::parse(when).unwrap(),
            hint: hint.into(),
        };
        rails(|spec| spec.deny.push(rule))
    };
    check(&with("action == 'scale' && args.replicas > 5", ""), &scale(6), "deny/mine");
    check(&with("action == 'scale' && args.replicas > 5", ""), &scale(5), "allow");
    check(&with("target.namespace == 'shop' && pods > 1", ""), &scale(2), "deny/mine");
    check(&with("class == 'A'", ""), &scale(2), "deny/mine");
    check(&with("args.absent > 5", ""), &scale(2), "deny/mine");
    check(&with("pods", ""), &scale(2), "deny/mine");
    let Verdict::Deny { hint, .. } =
        judge(&with("true", "ask Ada"), &scale(2), &Ledger::default(), now())
    else {
        panic!("denied")
    };
    assert_eq!(hint, "ask Ada");
}

#[test]
fn autonomy_says_who_must_agree() {
    let service = Footprint {
        targets: vec![ObjectRef::builtin("c", "Service", Some("shop"), "cart")],
        replicas_after: None,
        ..scale(2)
    };
    let restart =
        Footprint { reversibility: Reversibility::BestEffort, replicas_after: None, ..scale(2) };
    let once = Footprint { class: ActionClass::C, ..scale(2) };
    for (autonomy, plain, risky) in [
        (Autonomy::Observe, "autonomy", "autonomy"),
        (Autonomy::Suggest, "suggestion", "suggestion"),
        (Autonomy::Approve, "approval", "approval"),
        (Autonomy::AutoLowRisk, "allow", "approval"),
        (Autonomy::Auto, "allow", "allow"),
    ] {
        let guardrails = rails(|spec| spec.autonomy = autonomy);
        check(&guardrails, &scale(2), plain);
        for footprint in [&service, &restart, &once] {
            check(&guardrails, footprint, risky);
        }
    }
}

#[test]
fn what_changes_nothing_needs_nobody() {
    let ask = Footprint {
        action: "ask-human".into(),
        targets: Vec::new(),
        pods: 0,
        replicas_after: None,
        ..scale(0)
    };
    for autonomy in [Autonomy::Observe, Autonomy::Approve, Autonomy::Auto] {
        check(&rails(|spec| spec.autonomy = autonomy), &ask, "allow");
    }
    check(&rails(|spec| spec.denied_actions.push("ask-human".into())), &ask, "deniedActions");
}
