use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Object, Pod, Selector};
use serde_json::{Value, json};

use crate::objects::Key;
use crate::world::World;

impl World {
    /// Writes the status of each PodDisruptionBudget in a namespace.
    pub(crate) fn reconcile_budgets(&mut self, namespace: &Arc<str>) {
        let budgets: Vec<Object> =
            self.objects.of_kind("PodDisruptionBudget", Some(namespace)).cloned().collect();
        for budget in budgets {
            let status = self.budget_status(&budget);
            if budget.field("status") != Some(&status) {
                let key = Key::new("PodDisruptionBudget", namespace, budget.name());
                self.store(&key, &budget.with_field("status", status));
            }
        }
    }

    /// Returns the PodDisruptionBudgets that select `pod`.
    pub(crate) fn budgets_of(&self, pod: &Object) -> Vec<&Object> {
        let budgets = self.objects.of_kind("PodDisruptionBudget", pod.namespace());
        let labels = &pod.metadata().labels;
        budgets
            .filter(|budget| selector_of(budget).is_some_and(|selector| selector.matches(labels)))
            .collect()
    }

    fn budget_status(&self, budget: &Object) -> Value {
        let selector = selector_of(budget);
        let is_counted = |object: &&Object| {
            selector.as_ref().is_some_and(|selector| selector.matches(&object.metadata().labels))
                && Pod::of(object).is_some_and(|pod| !pod.is_finished())
        };
        let pods: Vec<&Object> =
            self.objects.of_kind("Pod", budget.namespace()).filter(is_counted).collect();
        let healthy = pods.iter().filter(|pod| is_healthy(pod)).count() as u64;
        let counted = pods.len() as u64;
        let scale = self.scale_of_pods(&pods);
        let (expected, desired) =
            match (budget.at("/spec/minAvailable"), budget.at("/spec/maxUnavailable")) {
                (_, Some(max)) => (scale, scale.saturating_sub(resolve(max, scale))),
                (Some(Value::Number(min)), None) => (counted, min.as_u64().unwrap_or(0)),
                (Some(min), None) => (scale, resolve(min, scale)),
                (None, None) => (counted, 0),
            };
        let allowed = if expected == 0 { 0 } else { healthy.saturating_sub(desired) };
        let generation = budget.metadata().generation;
        let (status, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let old = budget.at("/status/conditions/0").filter(|old| old["status"] == status);
        let since = old.map_or_else(
            || Value::from(self.now_rfc3339()),
            |old| old["lastTransitionTime"].clone(),
        );
        json!({
            "conditions": [{"type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
                "observedGeneration": generation, "lastTransitionTime": since}],
            "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed,
            "expectedPods": expected, "observedGeneration": generation,
        })
    }

    /// Returns the total desired replicas of the controllers of `pods`. A pod without a controller counts as one.
    fn scale_of_pods(&self, pods: &[&Object]) -> u64 {
        let mut scales: BTreeMap<&str, u64> = BTreeMap::new();
        for pod in pods {
            let Some(owner) = pod.controller() else {
                scales.insert(&pod.metadata().uid, 1);
                continue;
            };
            let namespace = pod.namespace().unwrap_or_default();
            let set = self.objects.get(&Key::new("ReplicaSet", namespace, &owner.name));
            let top = set.and_then(Object::controller).and_then(|owner| {
                self.objects.get(&Key::new("Deployment", namespace, &owner.name))
            });
            let Some(controller) = top.or(set) else { continue };
            let replicas = controller.at("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
            scales.insert(&controller.metadata().uid, replicas);
        }
        scales.values().sum()
    }
}

/// Returns the selector of a budget, or `None` if it is absent or invalid.
fn selector_of(budget: &Object) -> Option<Selector> {
    serde_json::from_value(budget.at("/spec/selector")?.clone()).ok()
}

/// Whether `pod` counts as healthy for a budget.
pub(crate) fn is_healthy(pod: &Object) -> bool {
    Pod::of(pod).is_some_and(|pod| pod.is_ready() && !pod.is_terminating())
}

/// Resolves a number, or a percentage of `all`, rounded up.
fn resolve(value: &Value, all: u64) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::String(text) => {
            let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(0);
            all.saturating_mul(percent).div_ceil(100)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => 0,
    }
}
