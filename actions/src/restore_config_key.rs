use cluster::{JsonOp, Object, Reply};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::argument::text;
use crate::change::{Field, Proposal, below, change, put};
use crate::declaration::{fact, priors, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "restore-config-key";

pub(crate) fn spec() -> ActionSpec {
    let arguments = json!({
        "key": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[A-Za-z0-9_.-]+$", "description": "The key."},
        "value": {"type": ["string", "null"], "maxLength": 1_048_576, "description": "Its value; null removes the key."},
        "expect": {"type": ["string", "null"], "description": "The value that must stand there now, null for none; anything else is left as it is."},
    });
    ActionSpec {
        reads: vec![fact(Predicate::KeyPresent, Some("$key"), None)],
        effects: vec![fact(Predicate::KeyPresent, Some("$key"), None)],
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
    change(
        spec,
        args,
        replies,
        |_| Vec::new(),
        |object, _| propose(args, object).unwrap_or_else(|refused| refused),
    )
}

fn propose(args: &Args, object: &Object) -> Result<Proposal, Proposal> {
    let key = text(args, "key")?;
    if object.field("immutable").and_then(Value::as_bool) == Some(true) {
        let why = "it is immutable: make a new ConfigMap and point the workload to it".into();
        return Err(Proposal::Refuse { code: "immutable", why });
    }
    if object.field("binaryData").is_some_and(|data| data.get(key).is_some()) {
        return Err(Proposal::Refuse {
            code: "binary",
            why: format!("its key `{key}` holds bytes, not a text"),
        });
    }
    let current = object.field("data").and_then(|data| data.get(key)).cloned().unwrap_or_default();
    let field = Field {
        current,
        wanted: args.get("value").cloned().unwrap_or_default(),
        is_same: is_equal,
    };
    Ok(field.propose(args, |field| {
        let undo = Args::from_iter([
            ("key".to_string(), key.into()),
            ("value".to_string(), field.current.clone()),
        ]);
        let operation = if field.wanted.is_null() {
            JsonOp::Remove { path: below("/data", key) }
        } else {
            put(object, &["data", key], field.wanted.clone())
        };
        (vec![operation], Some(undo))
    }))
}
