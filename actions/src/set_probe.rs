use cluster::{Object, Reply};
use serde_json::{Value, json};
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::argument::text;
use crate::change::{Field, Proposal, change};
use crate::container::Place;
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::sameness::is_same_probe;

pub(crate) const NAME: &str = "set-probe";

pub(crate) fn spec() -> ActionSpec {
    let arguments = json!({
        "container": container_schema(),
        "which": {"type": "string", "enum": ["readiness", "liveness"], "description": "Which of its probes."},
        "httpGet": {"type": ["object", "null"], "additionalProperties": false, "required": ["path", "port"],
            "description": "The request that the probe makes; how often and how patiently it asks stays as it is. Null removes the probe.",
            "properties": {
                "path": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^/", "description": "The path."},
                "port": {"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "minLength": 1, "maxLength": 63, "description": "The port, by number or by the name that the container gives it."},
            }},
        "probe": {"type": ["object", "null"], "minProperties": 1, "description": "The whole probe, as in the pod template; instead of `httpGet`. Null removes the probe."},
        "expect": {"type": ["object", "null"], "description": "The whole probe that must stand there now, null for none; anything else is left as it is."},
    });
    let changed = [Predicate::ProbePath, Predicate::ProbePort, Predicate::ProbePasses];
    ActionSpec {
        reads: vec![
            fact(Predicate::ProbePath, Some("$container"), None),
            fact(Predicate::ProbePort, Some("$container"), None),
        ],
        // Of readiness probes only, and path and port stand one level below the arguments: the values stay open.
        effects: changed
            .into_iter()
            .map(|predicate| fact(predicate, Some("$container"), None))
            .collect(),
        priors: priors(60, 7.0, 3.0, 60.0),
        ..reversible(
            NAME,
            "Sets or removes the readiness or liveness probe of a container of a workload.",
            WORKLOADS,
            arguments,
            &["container", "which"],
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
    let (name, which) = (text(args, "container")?, text(args, "which")?);
    let place = Place::of(object, name)?;
    let member = format!("{which}Probe");
    let current = place.field(&member);
    let wanted = match (args.get("httpGet"), args.get("probe")) {
        (Some(Value::Object(http)), None) => with_request(&current, http),
        (Some(_), None) => Value::Null,
        (None, Some(probe)) => probe.clone(),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Proposal::Refuse {
                code: "bad-arguments",
                why: format!("give one of `httpGet` and `probe` for the {which} probe"),
            });
        }
    };
    let field = Field { current, wanted, is_same: is_same_probe };
    Ok(field.propose(args, |field| {
        let undo =
            [("container", name.into()), ("which", which.into()), ("probe", field.current.clone())];
        let undo = undo.map(|(name, value)| (name.to_string(), value));
        (vec![place.set(&member, field.wanted.clone())], Some(Args::from_iter(undo)))
    }))
}

/// The probe with another request: scheme, host and headers of an HTTP probe stay, as does all about its timing.
fn with_request(probe: &Value, http: &serde_json::Map<String, Value>) -> Value {
    let mut whole = probe.as_object().cloned().unwrap_or_default();
    let mut request = whole.get("httpGet").and_then(Value::as_object).cloned().unwrap_or_default();
    for other in ["tcpSocket", "exec", "grpc"] {
        whole.remove(other);
    }
    request.extend(http.clone());
    whole.insert("httpGet".into(), Value::Object(request));
    Value::Object(whole)
}
