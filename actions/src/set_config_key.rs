use cluster::{JsonOp, Object};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::argument::text;
use crate::change::{FieldUpdate, Proposed, add_with_parents, child_pointer, read_then_patch};
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::{Next, Reply};

pub(crate) const NAME: &str = "set-config-key";

pub(crate) fn spec() -> ActionSpec {
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
            NAME,
            "Sets or removes one key of a ConfigMap.",
            &["ConfigMap"],
            arguments,
            &["key", "value"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    read_then_patch(
        spec,
        args,
        replies,
        |_| Vec::new(),
        |object, _| propose(args, object).unwrap_or_else(|refused| refused),
    )
}

fn propose(args: &Args, object: &Object) -> Result<Proposed, Proposed> {
    let key = text(args, "key")?;
    if object.field("immutable").and_then(Value::as_bool) == Some(true) {
        let message =
            "the ConfigMap is immutable; create a new ConfigMap and reference it in the workload"
                .into();
        return Err(Proposed::Refused { code: "immutable", message });
    }
    if object.field("binaryData").is_some_and(|data| data.get(key).is_some()) {
        return Err(Proposed::Refused {
            code: "binary",
            message: format!("the key `{key}` is in `binaryData`"),
        });
    }
    let current = object.field("data").and_then(|data| data.get(key)).cloned().unwrap_or_default();
    let field = FieldUpdate {
        current,
        desired: args.get("value").cloned().unwrap_or_default(),
        is_same: is_equal,
    };
    Ok(field.propose(args, |field| {
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
    }))
}
