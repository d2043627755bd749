use cluster::{Object, ObjectRef};
use serde_json::{Value, json};
use workflow::fact::{Facts, Predicate};
use workflow::{ActionClass, ActionSpec, Args, ErrorCode, Reversibility};

use crate::change::{ChangeInput, FieldUpdate, Proposed, add_with_parents};
use crate::declaration::{WORKLOADS, fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::refused::Refused;
use crate::{Action, Symptom};

/// Pod template annotation; changing it makes the controller replace every pod.
const MARKER: &str = "chiron.dev/restarted-at-step";

/// Restarts every pod of a workload with a rolling update.
pub struct RolloutRestart;

impl Action for RolloutRestart {
    fn name(&self) -> &'static str {
        "rollout-restart"
    }

    fn spec(&self) -> ActionSpec {
        ActionSpec {
            class: ActionClass::Marked,
            reversibility: Reversibility::BestEffort,
            has_inverse: false,
            // The values after a restart are unknown, so the effects declare none.
            effects: vec![
                fact(Predicate::Restarts, None, None),
                fact(Predicate::Waiting, None, None),
                fact(Predicate::Terminated, None, None),
            ],
            priors: priors(45, 2.0, 3.0, 30.0),
            ..reversible(
                self.name(),
                "Restarts every pod of a workload with a rolling update.",
                WORKLOADS,
                json!({}),
                &[],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, key, object, .. } = *input;
        if is_paused(object) {
            return Err(paused());
        }
        let annotations = object.at("/spec/template/metadata/annotations");
        let current = annotations.and_then(|map| map.get(MARKER)).cloned().unwrap_or_default();
        let field = FieldUpdate { current, desired: key.into(), is_same: is_equal };
        field.propose(args, |field| {
            let operation = add_with_parents(
                object,
                &["spec", "template", "metadata", "annotations", MARKER],
                field.desired.clone(),
            );
            (vec![operation], None)
        })
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Crash, Symptom::Config, Symptom::Unready]
    }

    fn derive_arguments(&self, _object: &ObjectRef, _facts: &Facts) -> Option<Args> {
        Some(Args::new())
    }
}

/// Whether the rollout of a Deployment is paused.
pub(crate) fn is_paused(object: &Object) -> bool {
    object.at("/spec/paused").and_then(Value::as_bool) == Some(true)
}

pub(crate) fn paused() -> Refused {
    Refused { code: ErrorCode::Paused, message: "the rollout is paused, so a change has no effect; resume it first (`kubectl rollout resume`)".into() }
}
