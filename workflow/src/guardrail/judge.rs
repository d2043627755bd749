use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Autonomy, ChangeLog, GuardrailDecision, GuardrailSpec, Guardrails, Impact};
use crate::catalogue::{ActionClass, Reversibility};
use crate::expression;

/// Checks one step against the guardrails, given the recent changes.
///
/// Denials are checked first, in the order of the fields; then the level of autonomy decides about approval. A step
/// without targets changes nothing and is only subject to `denied_actions` and the CEL rules. `observe` denies every
/// other step; `suggest` allows it to be proposed, but not to run.
pub fn judge(
    guardrails: &Guardrails,
    impact: &Impact,
    change_log: &ChangeLog,
    now: Timestamp,
) -> GuardrailDecision {
    let spec = &guardrails.spec;
    if spec.denied_actions.contains(&impact.action) {
        let message = format!("the action `{}` is denied", impact.action);
        return deny(
            "deniedActions",
            message,
            "use another action, or remove it from `deniedActions`",
        );
    }
    if let Some(denied) = check_deny_rules(spec, impact) {
        return denied;
    }
    if impact.targets.is_empty() {
        return GuardrailDecision::Allow;
    }
    check_namespaces(spec, impact)
        .or_else(|| check_size(spec, impact))
        .or_else(|| check_rate(spec, impact, change_log, now))
        .unwrap_or_else(|| decide_by_autonomy(spec, impact))
}

fn deny(rule: &str, message: String, hint: &str) -> GuardrailDecision {
    GuardrailDecision::Deny { rule: rule.into(), message, hint: hint.into() }
}

/// Checks the namespaces of the targets.
fn check_namespaces(spec: &GuardrailSpec, impact: &Impact) -> Option<GuardrailDecision> {
    for target in &impact.targets {
        let Some(namespace) = &target.namespace else {
            // Cluster-scoped objects may only be changed if `allowedNamespaces` is empty.
            if spec.allowed_namespaces.is_empty() {
                continue;
            }
            let message = format!(
                "{target} is outside the allowed namespaces {}",
                spec.allowed_namespaces.join(", ")
            );
            return Some(deny(
                "allowedNamespaces",
                message,
                "use a target in one of these namespaces",
            ));
        };
        if spec.protected_namespaces.contains(namespace) {
            let message = format!("{target} is in the protected namespace `{namespace}`");
            return Some(deny(
                "protectedNamespaces",
                message,
                "fix it manually, or remove the namespace from `protectedNamespaces`",
            ));
        }
        if !spec.allowed_namespaces.is_empty() && !spec.allowed_namespaces.contains(namespace) {
            let message = format!(
                "{target} is not in one of the allowed namespaces {}",
                spec.allowed_namespaces.join(", ")
            );
            return Some(deny(
                "allowedNamespaces",
                message,
                &format!("add `{namespace}` to `allowedNamespaces`"),
            ));
        }
    }
    None
}

/// Checks the size of the change and whether it can be reverted.
fn check_size(spec: &GuardrailSpec, impact: &Impact) -> Option<GuardrailDecision> {
    let is_irreversible = impact.class == ActionClass::Irreversible
        || impact.reversibility == Reversibility::Irreversible;
    if is_irreversible && !spec.allow_irreversible {
        let message = format!("`{}` is irreversible", impact.action);
        return Some(deny(
            "allowIrreversible",
            message,
            "do it manually, or set `allowIrreversible: true`",
        ));
    }
    let replicas = |rule: &str, message: String| {
        deny(
            rule,
            message,
            &format!(
                "use a number of replicas between {} and {}",
                spec.min_replicas, spec.max_replicas
            ),
        )
    };
    match impact.replicas_after {
        Some(after) if after < spec.min_replicas => {
            return Some(replicas(
                "minReplicas",
                format!("{after} replicas is below `minReplicas` = {}", spec.min_replicas),
            ));
        }
        Some(after) if after > spec.max_replicas => {
            return Some(replicas(
                "maxReplicas",
                format!("{after} replicas is above `maxReplicas` = {}", spec.max_replicas),
            ));
        }
        Some(_) | None => {}
    }
    if impact.pods > spec.max_pods {
        let pods = if impact.pods == u32::MAX {
            "an unknown number of".into()
        } else {
            impact.pods.to_string()
        };
        let message =
            format!("the step may disrupt {pods} pods, more than `maxPods` = {}", spec.max_pods);
        return Some(deny("maxPods", message, "use a smaller step, or raise `maxPods`"));
    }
    None
}

/// Checks freezes and the rate of changes.
fn check_rate(
    spec: &GuardrailSpec,
    impact: &Impact,
    change_log: &ChangeLog,
    now: Timestamp,
) -> Option<GuardrailDecision> {
    if let Some(freeze) =
        spec.freezes.iter().find(|freeze| freeze.from <= now && now < freeze.until)
    {
        let message = format!("the freeze `{}` is active until {}", freeze.name, freeze.until);
        return Some(deny("freezes", message, "wait until it ends, or remove it"));
    }
    for target in &impact.targets {
        let count = change_log.count(target, now);
        if count >= spec.max_changes_per_target_per_hour as usize {
            let message =
                format!("{target} was changed {count} times in the last hour, which is the limit");
            return Some(deny(
                "maxChangesPerTargetPerHour",
                message,
                "find out why the changes do not help, or wait",
            ));
        }
    }
    let total = change_log.total(now);
    if total >= spec.max_changes_per_hour as usize {
        let message = format!("{total} changes were made in the last hour, which is the limit");
        return Some(deny("maxChangesPerHour", message, "find out why there are so many, or wait"));
    }
    None
}

/// Checks the CEL rules. A rule denies if it is true or cannot be evaluated.
fn check_deny_rules(spec: &GuardrailSpec, impact: &Impact) -> Option<GuardrailDecision> {
    if spec.deny.is_empty() {
        return None;
    }
    let to_json = |value| serde_json::to_value(value).unwrap_or(Value::Null);
    let target = impact.targets.first().map_or(Value::Null, to_json);
    let variables: expression::Variables = BTreeMap::from([
        ("action".into(), impact.action.clone().into()),
        ("args".into(), Value::Object(impact.arguments.clone())),
        ("target".into(), target),
        ("pods".into(), impact.pods.into()),
        ("class".into(), serde_json::to_value(impact.class).unwrap_or(Value::Null)),
    ]);
    for rule in &spec.deny {
        let message = match rule.when.evaluate_condition(&variables) {
            expression::Truth::False => continue,
            expression::Truth::True => format!("the rule `{}` denies the step", rule.name),
            expression::Truth::Unknown { message } => {
                format!(
                    "the rule `{}` cannot be evaluated, which denies the step: {message}",
                    rule.name
                )
            }
        };
        let hint = if rule.hint.is_empty() {
            "change the step so that the rule is false, or change the rule"
        } else {
            &rule.hint
        };
        return Some(deny(&format!("deny/{}", rule.name), message, hint));
    }
    None
}

/// Decides whether a step needs approval.
fn decide_by_autonomy(spec: &GuardrailSpec, impact: &Impact) -> GuardrailDecision {
    match spec.autonomy {
        Autonomy::Observe => {
            let message = "`autonomy: observe` allows no changes".into();
            deny("autonomy", message, "set `autonomy: approve` or higher")
        }
        Autonomy::Suggest => GuardrailDecision::SuggestOnly {
            message: "`autonomy: suggest` allows plans to be proposed, but not to run".into(),
        },
        Autonomy::Approve => GuardrailDecision::NeedsApproval {
            message: "`autonomy: approve` requires approval of every plan".into(),
        },
        Autonomy::Auto => GuardrailDecision::Allow,
        Autonomy::AutoLowRisk => match risk_reason(impact) {
            None => GuardrailDecision::Allow,
            Some(reason) => GuardrailDecision::NeedsApproval {
                message: format!("`{}` is not low-risk: {reason}", impact.action),
            },
        },
    }
}

/// Returns why a step is not low-risk. `None` if it is.
fn risk_reason(impact: &Impact) -> Option<&'static str> {
    if !matches!(impact.class, ActionClass::NaturallyIdempotent | ActionClass::Marked) {
        return Some("it is not idempotent");
    }
    if !matches!(impact.reversibility, Reversibility::NoEffect | Reversibility::Reversible) {
        return Some("it cannot be reverted exactly");
    }
    // Any number of workloads may call a Service.
    if impact.targets.len() > 1
        || impact
            .targets
            .iter()
            .any(|target| matches!(target.kind.as_str(), "Service" | "Node" | "Namespace"))
    {
        return Some("it affects more than one workload");
    }
    None
}

#[cfg(test)]
mod tests;
