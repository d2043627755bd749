use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args};

use crate::argument::{arguments, integer};
use crate::change::{ChangeInput, FieldUpdate, Proposed, add_with_parents};
use crate::changed_field::known_good_fact;
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct Scale;

impl Action for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn spec(&self) -> ActionSpec {
        let count = |what: &str| json!({"type": "integer", "minimum": 0, "maximum": 10_000, "description": what});
        let arguments = json!({
            "replicas": count("The desired number of pods, absolute, not relative."),
            "expect": count("The number of replicas that must be set now; with any other number, nothing is changed."),
        });
        ActionSpec {
            reads: vec![fact(Predicate::Replicas, None, None)],
            effects: vec![
                fact(Predicate::Replicas, None, Some(json!("$replicas"))),
                fact(Predicate::ReadyReplicas, None, None),
            ],
            priors: priors(30, 7.0, 3.0, 20.0),
            ..reversible(
                self.name(),
                "Sets the number of replicas of a workload.",
                &["Deployment", "StatefulSet"],
                arguments,
                &["replicas"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let desired = Value::from(integer(args, "replicas")?);
        // Kubernetes defaults to one replica.
        let current = object.at("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
        FieldUpdate { current, desired, is_same: is_equal }.propose(args, |field| {
            let undo = Args::from_iter([("replicas".to_string(), field.current.clone())]);
            (
                vec![add_with_parents(object, &["spec", "replicas"], field.desired.clone())],
                Some(undo),
            )
        })
    }

    fn replicas_after(&self, args: &Args) -> Option<u64> {
        args.get("replicas").and_then(Value::as_u64)
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Replicas]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Replicas]
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        // Kubernetes defaults to one replica.
        Some(arguments([("replicas", field.before.as_u64().unwrap_or(1).into())]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        known_good_fact(subject, Predicate::KnownGoodReplicas, "", args.get("replicas"))
    }
}
