use cluster::Object;
use serde_json::Value;

use super::call::CallOptions;
use super::change::StorageChange;
use super::status_error::{StatusCause, StatusError};
use crate::controller::is_healthy;
use crate::objects::Key;
use crate::world::World;

impl World {
    pub(super) fn admit_evict(
        &self,
        key: &Key,
        object: &Object,
        options: &CallOptions,
    ) -> Result<StorageChange, StatusError> {
        if key.kind != "Pod" {
            return Err(StatusError::unknown_resource());
        }
        let deletion = self.admit_delete(key, object, options);
        let phase = object.at("/status/phase").and_then(Value::as_str).unwrap_or("Pending");
        let is_always_allowed = matches!(phase, "Pending" | "Succeeded" | "Failed")
            || object.metadata().deletion_timestamp.is_some();
        let budgets = self.budgets_of(object);
        let budget = match &budgets[..] {
            _ if is_always_allowed => return Ok(deletion),
            [] => return Ok(deletion),
            [budget] => *budget,
            [_, _, ..] => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(StatusError::new(500, "InternalError", message));
            }
        };
        let count =
            |name: &str| budget.at(&format!("/status/{name}")).and_then(Value::as_i64).unwrap_or(0);
        let (healthy, desired) = (count("currentHealthy"), count("desiredHealthy"));
        // An unready pod does not count against the budget while enough other pods are healthy.
        let policy = budget.at("/spec/unhealthyPodEvictionPolicy").and_then(Value::as_str);
        let is_exempt = !is_healthy(object)
            && (policy == Some("AlwaysAllow") || healthy >= desired && desired > 0);
        if is_exempt {
            return Ok(deletion);
        }
        if count("observedGeneration") < budget.metadata().generation {
            return Err(budget_error(format!(
                "The disruption budget {} is still being processed by the server.",
                budget.name()
            )));
        }
        let allowed = count("disruptionsAllowed");
        if allowed <= 0 {
            return Err(budget_error(format!(
                "The disruption budget {} needs {desired} healthy pods and has {healthy} currently",
                budget.name()
            )));
        }
        let mut status = budget.field("status").cloned().unwrap_or_default();
        status["disruptionsAllowed"] = (allowed - 1).into();
        let update = Key::new("PodDisruptionBudget", &key.namespace, budget.name());
        let update = StorageChange::Update(update, budget.with_field("status", status));
        Ok(StorageChange::Pair(Box::new(update), Box::new(deletion)))
    }
}

fn budget_error(detail: String) -> StatusError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = StatusError::new(429, "TooManyRequests", message);
    error.causes.push(StatusCause::new("DisruptionBudget", "", detail));
    error
}
