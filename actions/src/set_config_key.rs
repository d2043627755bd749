use cluster::{JsonOp, ObjectRef};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args, Condition, ErrorCode};

use crate::argument::{arguments, text};
use crate::change::{ChangeInput, FieldUpdate, Proposed, add_with_parents, child_pointer};
use crate::changed_field::known_good_fact;
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::postcondition::{condition, is_rolled_out, read_object};
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct SetConfigKey;

impl Action for SetConfigKey {
    fn name(&self) -> &'static str {
        "set-config-key"
    }

    fn spec(&self) -> ActionSpec {
        let arguments = json!({
            "key": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[A-Za-z0-9_.-]+$", "description": "The key in `data`."},
            "value": {"type": ["string", "null"], "maxLength": 1_048_576, "description": "The value; null removes the key."},
            "expect": {"type": ["string", "null"], "description": "The value that must be set now, null for none; with any other value, nothing is changed."},
        });
        ActionSpec {
            reads: vec![fact(Predicate::HasKey, Some("$key"), None)],
            effects: vec![fact(Predicate::HasKey, Some("$key"), None)],
            blast_radius: BlastRadius::Object,
            priors: priors(75, 7.0, 3.0, 30.0),
            ..reversible(
                self.name(),
                "Sets or removes one key of a ConfigMap.",
                &["ConfigMap"],
                arguments,
                &["key", "value"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let key = text(args, "key")?;
        if object.field("immutable").and_then(Value::as_bool) == Some(true) {
            let message =
                "the ConfigMap is immutable; create a new ConfigMap and reference it in the workload"
                    .into();
            return Err(Refused { code: ErrorCode::Immutable, message });
        }
        if object.field("binaryData").is_some_and(|data| data.get(key).is_some()) {
            return Err(Refused {
                code: ErrorCode::Binary,
                message: format!("the key `{key}` is in `binaryData`"),
            });
        }
        let current =
            object.field("data").and_then(|data| data.get(key)).cloned().unwrap_or_default();
        let field = FieldUpdate {
            current,
            desired: args.get("value").cloned().unwrap_or_default(),
            is_same: is_equal,
        };
        field.propose(args, |field| {
            let undo = Args::from_iter([
                ("key".to_string(), key.into()),
                ("value".to_string(), field.current.clone()),
            ]);
            let operation = if field.desired.is_null() {
                JsonOp::Remove { path: child_pointer("/data", key) }
            } else {
                add_with_parents(object, &["data", key], field.desired.clone())
            };
            (vec![operation], Some(undo))
        })
    }

    fn postconditions(
        &self,
        target: &ObjectRef,
        args: &Args,
        workload: Option<&ObjectRef>,
    ) -> Vec<Condition> {
        let mut conditions = vec![has_key(target, args)];
        conditions.extend(workload.and_then(is_rolled_out));
        conditions
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Config, Symptom::Crash, Symptom::Unready]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Config]
    }

    fn selects(&self, args: &Args, path: &str) -> bool {
        text(args, "key")
            .is_ok_and(|key| path.ends_with(key) || path.ends_with(&format!("{}]", json!(key))))
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        let key = field.leaf().replace("~1", "/").replace("~0", "~");
        Some(arguments([("key", key.into()), ("value", field.before.clone())]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        let key = text(args, "key").ok()?;
        known_good_fact(subject, Predicate::KnownGoodValue, key, args.get("value"))
    }
}

fn has_key(map: &ObjectRef, args: &Args) -> Condition {
    let key =
        Value::String(args.get("key").and_then(Value::as_str).unwrap_or_default().to_string());
    let is_present = format!("c != null && has(c.data) && c.data != null && {key} in c.data");
    let (name, check) = match args.get("value") {
        Some(Value::Null) => ("does not contain", format!("!({is_present})")),
        Some(_) | None => ("contains", is_present),
    };
    condition(
        json!({"name": format!("{map} {name} {key}"), "read": {"c": read_object(map)}, "check": check, "within": "30s"}),
    )
}
