use cluster::Object;
use serde_json::Value;

use super::call::Options;
use super::change::Change;
use super::refusal::{Cause, Refusal};
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
        if self.is_disruption_refused(object) {
            let message = "Cannot evict pod as it would violate the pod's disruption budget.";
            let mut refusal = Refusal::new(429, "TooManyRequests", message);
            refusal.causes.push(Cause::new(
                "DisruptionBudget",
                "",
                "The disruption budget allows no further disruption",
            ));
            return Err(refusal);
        }
        Ok(self.admit_delete(key, object, options))
    }

    /// Whether a disruption budget keeps `pod` where it is.
    fn is_disruption_refused(&self, pod: &Object) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        self.objects.of_kind("PodDisruptionBudget", Some(namespace)).any(|budget| {
            let selector = budget
                .at("/spec/selector")
                .and_then(|value| serde_json::from_value::<cluster::Selector>(value.clone()).ok());
            let Some(selector) =
                selector.filter(|selector| selector.matches(&pod.metadata().labels))
            else {
                return false;
            };
            let matching = self
                .objects
                .of_kind("Pod", Some(namespace))
                .filter(|pod| selector.matches(&pod.metadata().labels));
            let (all, ready) = matching.fold((0, 0), |(all, ready), pod| {
                (
                    all + 1,
                    ready
                        + u64::from(
                            cluster::Pod::of(pod)
                                .is_some_and(|pod| pod.is_ready() && !pod.is_terminating()),
                        ),
                )
            });
            let least = budget.at("/spec/minAvailable").and_then(Value::as_u64);
            let most = budget.at("/spec/maxUnavailable").and_then(Value::as_u64);
            let needed =
                least.or_else(|| most.map(|most| u64::saturating_sub(all, most))).unwrap_or(0);
            ready <= needed
        })
    }
}
