use cluster::{JsonOp, Object, Reply};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::change::{Field, Proposal, change};
use crate::declaration::{fact, priors, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "set-service-port";

pub(crate) fn spec() -> ActionSpec {
    let port = |what: &str| json!({"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "minLength": 1, "maxLength": 63, "description": what});
    let arguments = json!({
        "port": port("The port of the Service: its name, or its number."),
        "targetPort": port("The port of the pods that it shall lead to: a number, or a name that the containers give it."),
        "expect": port("The targetPort that must stand there now; anything else is left as it is."),
    });
    ActionSpec {
        reads: vec![fact(Predicate::TargetPort, Some("$port"), None)],
        effects: vec![
            fact(Predicate::TargetPort, Some("$port"), Some(json!("$targetPort"))),
            fact(Predicate::Reachable, None, None),
        ],
        blast_radius: BlastRadius::Service,
        priors: priors(15, 8.0, 2.0, 30.0),
        ..reversible(
            NAME,
            "Sets the pod port that one port of a Service leads to.",
            &["Service"],
            arguments,
            &["port", "targetPort"],
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
    let (port, wanted) = (
        args.get("port").cloned().unwrap_or_default(),
        args.get("targetPort").cloned().unwrap_or_default(),
    );
    let ports = object.at("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some((index, present)) =
        ports.iter().enumerate().find(|(_, present)| is_meant(present, &port))
    else {
        let known: Vec<String> = ports
            .iter()
            .map(|port| format!("{} {}", port["name"].as_str().unwrap_or("unnamed"), port["port"]))
            .collect();
        return Err(Proposal::Refuse {
            code: "no-port",
            why: format!("it has no port {port}; it has {}", known.join(", ")),
        });
    };
    // Where none is said, a port leads to the same number.
    let current =
        present.get("targetPort").or_else(|| present.get("port")).cloned().unwrap_or_default();
    let field = Field { current, wanted, is_same: is_equal };
    Ok(field.propose(args, |field| {
        let undo = Args::from_iter([
            ("port".to_string(), port),
            ("targetPort".to_string(), field.current.clone()),
        ]);
        // The number of the port is tested as well: ports are told apart by place in a JSON patch.
        let operations = vec![
            JsonOp::Test {
                path: format!("/spec/ports/{index}/port"),
                value: present["port"].clone(),
            },
            JsonOp::Add {
                path: format!("/spec/ports/{index}/targetPort"),
                value: field.wanted.clone(),
            },
        ];
        (operations, Some(undo))
    }))
}

/// Whether a Service's port is the one of this name or number; a text of digits is a number too, as in facts.
fn is_meant(present: &Value, port: &Value) -> bool {
    match port {
        Value::String(text) => {
            present["name"] == *text
                || present["port"].as_u64().is_some_and(|number| *text == number.to_string())
        }
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            present["port"] == *port
        }
    }
}
