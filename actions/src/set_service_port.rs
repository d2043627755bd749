use cluster::{JsonOp, Object};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::change::{FieldUpdate, Proposed, read_then_patch};
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::{Next, Reply};

pub(crate) const NAME: &str = "set-service-port";

pub(crate) fn spec() -> ActionSpec {
    let port = |what: &str| json!({"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "minLength": 1, "maxLength": 63, "description": what});
    let arguments = json!({
        "port": port("The port of the Service, by name or number."),
        "targetPort": port("The target port on the pods: a number or a container port name."),
        "expect": port("The targetPort that must be set now; with any other port, nothing is changed."),
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
            "Sets the targetPort of one port of a Service.",
            &["Service"],
            arguments,
            &["port", "targetPort"],
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
    let (port, desired) = (
        args.get("port").cloned().unwrap_or_default(),
        args.get("targetPort").cloned().unwrap_or_default(),
    );
    let ports = object.at("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some((index, candidate)) =
        ports.iter().enumerate().find(|(_, candidate)| matches_port(candidate, &port))
    else {
        let known: Vec<String> = ports
            .iter()
            .map(|port| format!("{} {}", port["name"].as_str().unwrap_or("unnamed"), port["port"]))
            .collect();
        return Err(Proposed::Refused {
            code: "no-port",
            message: format!("no port {port}; the ports are {}", known.join(", ")),
        });
    };
    // `targetPort` defaults to `port`.
    let current =
        candidate.get("targetPort").or_else(|| candidate.get("port")).cloned().unwrap_or_default();
    let field = FieldUpdate { current, desired, is_same: is_equal };
    Ok(field.propose(args, |field| {
        let undo = Args::from_iter([
            ("port".to_string(), port),
            ("targetPort".to_string(), field.current.clone()),
        ]);
        // Also tests the port number, because a JSON patch addresses ports by index.
        let operations = vec![
            JsonOp::Test {
                path: format!("/spec/ports/{index}/port"),
                value: candidate["port"].clone(),
            },
            JsonOp::Add {
                path: format!("/spec/ports/{index}/targetPort"),
                value: field.desired.clone(),
            },
        ];
        (operations, Some(undo))
    }))
}

/// Whether a Service port has this name or number. A string of digits also matches as a number, as in facts.
fn matches_port(candidate: &Value, port: &Value) -> bool {
    match port {
        Value::String(text) => {
            candidate["name"] == *text
                || candidate["port"].as_u64().is_some_and(|number| *text == number.to_string())
        }
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            candidate["port"] == *port
        }
    }
}
