use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Autonomy, Footprint, GuardrailSpec, Guardrails, Ledger, Verdict};
use crate::catalogue::{ActionClass, Reversibility};
use crate::expression;

/// What the guardrails say to one step, given what was done of late.
///
/// A denial comes first, in the order of the fields; whoever is let through may still need a person. What changes
/// nothing (no targets) is bound by `denied_actions` and the rules in CEL alone. Under `observe` what changes something
/// is denied; under `suggest` it may be proposed and not be done.
pub fn judge(
    guardrails: &Guardrails,
    footprint: &Footprint,
    ledger: &Ledger,
    now: Timestamp,
) -> Verdict {
    let spec = &guardrails.spec;
    if spec.denied_actions.contains(&footprint.action) {
        let message = format!("the action `{}` is never taken", footprint.action);
        return deny(
            "deniedActions",
            message,
            "take another action, or remove it from `deniedActions`",
        );
    }
    if let Some(denied) = by_rules(spec, footprint) {
        return denied;
    }
    if footprint.targets.is_empty() {
        return Verdict::Allow;
    }
    place(spec, footprint)
        .or_else(|| size(spec, footprint))
        .or_else(|| time(spec, footprint, ledger, now))
        .unwrap_or_else(|| autonomy(spec, footprint))
}

fn deny(rule: &str, message: String, hint: &str) -> Verdict {
    Verdict::Deny { rule: rule.into(), message, hint: hint.into() }
}

/// Where something may be changed.
fn place(spec: &GuardrailSpec, footprint: &Footprint) -> Option<Verdict> {
    for target in &footprint.targets {
        let Some(namespace) = &target.namespace else {
            // Outside namespaces something is changed only where no list of namespaces narrows it.
            if spec.allowed_namespaces.is_empty() {
                continue;
            }
            let message = format!(
                "{target} stands outside the allowed namespaces {}",
                spec.allowed_namespaces.join(", ")
            );
            return Some(deny("allowedNamespaces", message, "act on objects of these namespaces"));
        };
        if spec.protected_namespaces.contains(namespace) {
            let message = format!("{target} is in the protected namespace `{namespace}`");
            return Some(deny(
                "protectedNamespaces",
                message,
                "mend it by hand, or take the namespace out of `protectedNamespaces`",
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

/// How much may be changed at once, and whether there is a way back.
fn size(spec: &GuardrailSpec, footprint: &Footprint) -> Option<Verdict> {
    let is_irreversible =
        footprint.class == ActionClass::D || footprint.reversibility == Reversibility::Irreversible;
    if is_irreversible && !spec.allow_irreversible {
        let message = format!("`{}` cannot be undone", footprint.action);
        return Some(deny(
            "allowIrreversible",
            message,
            "do it by hand, or set `allowIrreversible: true`",
        ));
    }
    let replicas = |rule: &str, message: String| {
        deny(
            rule,
            message,
            &format!(
                "choose a number of replicas within {} and {}",
                spec.min_replicas, spec.max_replicas
            ),
        )
    };
    match footprint.replicas_after {
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
    if footprint.pods > spec.max_pods {
        let pods = if footprint.pods == u32::MAX {
            "an unknown number of".into()
        } else {
            footprint.pods.to_string()
        };
        let message =
            format!("it may disturb {pods} pods, more than `maxPods` = {}", spec.max_pods);
        return Some(deny("maxPods", message, "take a smaller step, or raise `maxPods`"));
    }
    None
}

/// When, and how often.
fn time(
    spec: &GuardrailSpec,
    footprint: &Footprint,
    ledger: &Ledger,
    now: Timestamp,
) -> Option<Verdict> {
    if let Some(freeze) =
        spec.freezes.iter().find(|freeze| freeze.from <= now && now < freeze.until)
    {
        let message = format!("the freeze `{}` is in force until {}", freeze.name, freeze.until);
        return Some(deny("freezes", message, "wait until it ends, or end it"));
    }
    for target in &footprint.targets {
        let count = ledger.count(target, now);
        if count >= spec.max_changes_per_target_per_hour as usize {
            let message = format!(
                "{target} was changed {count} times within the hour, as often as it may be"
            );
            return Some(deny(
                "maxChangesPerTargetPerHour",
                message,
                "find out why it does not help, or wait",
            ));
        }
    }
    let total = ledger.total(now);
    if total >= spec.max_changes_per_hour as usize {
        let message = format!("{total} changes were made within the hour, as many as may be");
        return Some(deny("maxChangesPerHour", message, "find out why there are so many, or wait"));
    }
    None
}

/// Rules in CEL: what is true denies, and so does what cannot be judged.
fn by_rules(spec: &GuardrailSpec, footprint: &Footprint) -> Option<Verdict> {
    if spec.deny.is_empty() {
        return None;
    }
    let plain = |value| serde_json::to_value(value).unwrap_or(Value::Null);
    let target = footprint.targets.first().map_or(Value::Null, plain);
    let bindings: expression::Bindings = BTreeMap::from([
        ("action".into(), footprint.action.clone().into()),
        ("args".into(), Value::Object(footprint.arguments.clone())),
        ("target".into(), target),
        ("pods".into(), footprint.pods.into()),
        ("class".into(), serde_json::to_value(footprint.class).unwrap_or(Value::Null)),
    ]);
    for rule in &spec.deny {
        let why = match rule.when.judge(&bindings) {
            expression::Verdict::False => continue,
            expression::Verdict::True => format!("the rule `{}` denies it", rule.name),
            expression::Verdict::Unknown { reason } => {
                format!("the rule `{}` cannot be judged, and so it denies: {reason}", rule.name)
            }
        };
        let hint = if rule.hint.is_empty() {
            "change the step so that the rule is false, or change the rule"
        } else {
            &rule.hint
        };
        return Some(deny(&format!("deny/{}", rule.name), why, hint));
    }
    None
}

/// How far Chiron goes by itself.
fn autonomy(spec: &GuardrailSpec, footprint: &Footprint) -> Verdict {
    match spec.autonomy {
        Autonomy::Observe => {
            let message = "under `autonomy: observe` nothing is changed".into();
            deny("autonomy", message, "set `autonomy: approve` or higher")
        }
        Autonomy::Suggest => Verdict::SuggestOnly {
            why: "under `autonomy: suggest` plans are shown, and nothing runs".into(),
        },
        Autonomy::Approve => Verdict::NeedsApproval {
            why: "under `autonomy: approve` a person approves every plan".into(),
        },
        Autonomy::Auto => Verdict::Allow,
        Autonomy::AutoLowRisk => match risk(footprint) {
            None => Verdict::Allow,
            Some(why) => Verdict::NeedsApproval {
                why: format!("`{}` is not of low risk: {why}", footprint.action),
            },
        },
    }
}

/// Why a step is not of low risk, if it is not.
fn risk(footprint: &Footprint) -> Option<&'static str> {
    if !matches!(footprint.class, ActionClass::A | ActionClass::B) {
        return Some("a repeat of it does more");
    }
    if !matches!(footprint.reversibility, Reversibility::NoEffect | Reversibility::Reversible) {
        return Some("it cannot be undone exactly");
    }
    // A Service is asked by whoever calls it: more than one workload.
    if footprint.targets.len() > 1
        || footprint
            .targets
            .iter()
            .any(|target| matches!(target.kind.as_str(), "Service" | "Node" | "Namespace"))
    {
        return Some("it reaches beyond one workload");
    }
    None
}

#[cfg(test)]
mod tests;
