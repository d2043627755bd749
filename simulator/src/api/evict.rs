use cluster::Object;
use serde_json::Value;

use super::call::Options;
use super::change::Change;
use super::refusal::{Cause, Refusal};
use crate::controller::is_healthy;
use crate::objects::Key;
use crate::world::World;

impl World {
    pub(super) fn admit_evict(
        &self,
        key: &Key,
        object: &Object,
        options: &Options,
    ) -> Result<Change, Refusal> {
        if key.kind != "Pod" {
            return Err(Refusal::unknown_resource());
        }
        let going = self.admit_delete(key, object, options);
        let phase = object.at("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
        let is_nothing_lost = matches!(phase, "Pending" | "Succeeded" | "Failed")
            || object.metadata().deletion_timestamp.is_some();
        let budgets = self.budgets_of(object);
        let budget = match &budgets[..] {
            _ if is_nothing_lost => return Ok(going),
            [] => return Ok(going),
            [budget] => *budget,
            [_, _, ..] => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Refusal::new(500, "InternalError", message));
            }
        };
        let figure =
            |name: &str| budget.at(&format!("/status/{name}")).and_then(Value::as_i64).unwrap_or(0);
        let (healthy, desired) = (figure("currentHealthy"), figure("desiredHealthy"));
        // A pod that does not serve costs the budget nothing, as long as the others do.
        let policy = budget.at("/spec/unhealthyPodEvictionPolicy").and_then(Value::as_str);
        let is_free = !is_healthy(object)
            && (policy == Some("AlwaysAllow") || healthy >= desired && desired > 0);
        if is_free {
            return Ok(going);
        }
        if figure("observedGeneration") < budget.metadata().generation {
            return Err(refused(format!(
                "The disruption budget {} is still being processed by the server.",
                budget.name()
            )));
        }
        let allowed = figure("disruptionsAllowed");
        if allowed <= 0 {
            return Err(refused(format!(
                "The disruption budget {} needs {desired} healthy pods and has {healthy} currently",
                budget.name()
            )));
        }
        let mut status = budget.field("status").cloned().unwrap_or_default();
        status["disruptionsAllowed"] = (allowed - 1).into();
        let spent = Key::new("PodDisruptionBudget", &key.namespace, budget.name());
        let spent = Change::Update(spent, budget.with_field("status", status));
        Ok(Change::Both(Box::new(spent), Box::new(going)))
    }
}

fn refused(why: String) -> Refusal {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut refusal = Refusal::new(429, "TooManyRequests", message);
    refusal.causes.push(Cause::new("DisruptionBudget", "", why));
    refusal
}
