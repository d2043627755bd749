use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args, Condition, ErrorCode};

use crate::argument::arguments;
use crate::change::{ChangeInput, FieldUpdate, Proposed, add_with_parents};
use crate::changed_field::known_good_fact;
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::postcondition::has_endpoints;
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct SetServiceSelector;

impl Action for SetServiceSelector {
    fn name(&self) -> &'static str {
        "set-service-selector"
    }

    fn spec(&self) -> ActionSpec {
        let labels = |what: &str| {
            json!({"type": "object", "description": what,
                "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"}})
        };
        let arguments = json!({
            "selector": labels("The complete selector; labels that are not listed are removed. Empty only when undoing a change."),
            "expect": labels("The selector that must be set now; with any other selector, nothing is changed."),
        });
        ActionSpec {
            reads: vec![fact(Predicate::Selects, None, None)],
            // Which workloads it selects afterwards depends on their labels, so the effects declare no keys.
            effects: vec![
                fact(Predicate::Selects, None, None),
                fact(Predicate::Endpoints, None, None),
                fact(Predicate::Reachable, None, None),
            ],
            blast_radius: BlastRadius::Service,
            priors: priors(15, 8.0, 2.0, 30.0),
            ..reversible(
                self.name(),
                "Sets the pod selector of a Service.",
                &["Service"],
                arguments,
                &["selector"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let desired = args.get("selector").cloned().unwrap_or_default();
        let is_empty = desired.as_object().is_none_or(serde_json::Map::is_empty);
        if is_empty && !args.contains_key("expect") {
            return Err(Refused {
                code: ErrorCode::InvalidArguments,
                message: "an empty selector selects no pods".into(),
            });
        }
        let current = object
            .at("/spec/selector")
            .filter(|value| value.is_object())
            .cloned()
            .unwrap_or_else(|| Value::Object(Args::new()));
        FieldUpdate { current, desired, is_same: is_equal }.propose(args, |field| {
            let undo = Args::from_iter([("selector".to_string(), field.current.clone())]);
            (
                vec![add_with_parents(object, &["spec", "selector"], field.desired.clone())],
                Some(undo),
            )
        })
    }

    fn postconditions(
        &self,
        target: &ObjectRef,
        _args: &Args,
        _workload: Option<&ObjectRef>,
    ) -> Vec<Condition> {
        vec![has_endpoints(target, None)]
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Service]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Selector]
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        field.before.as_object()?;
        Some(arguments([("selector", field.before.clone())]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        known_good_fact(subject, Predicate::KnownGoodSelector, "", args.get("selector"))
    }
}
