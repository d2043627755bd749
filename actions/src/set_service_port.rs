use cluster::{JsonOp, ObjectRef, PortRef};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args, Condition, ErrorCode};

use crate::argument::arguments;
use crate::change::{ChangeInput, FieldUpdate, Proposed};
use crate::changed_field::known_good_fact;
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::postcondition::has_endpoints;
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct SetServicePort;

impl Action for SetServicePort {
    fn name(&self) -> &'static str {
        "set-service-port"
    }

    fn spec(&self) -> ActionSpec {
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
                self.name(),
                "Sets the targetPort of one port of a Service.",
                &["Service"],
                arguments,
                &["port", "targetPort"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let (port, desired) = (
            args.get("port").cloned().unwrap_or_default(),
            args.get("targetPort").cloned().unwrap_or_default(),
        );
        let ports =
            object.at("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let Some((index, candidate)) =
            ports.iter().enumerate().find(|(_, candidate)| matches_port(candidate, &port))
        else {
            let known: Vec<String> = ports
                .iter()
                .map(|port| {
                    format!("{} {}", port["name"].as_str().unwrap_or("unnamed"), port["port"])
                })
                .collect();
            return Err(Refused {
                code: ErrorCode::NoPort,
                message: format!("no port {port}; the ports are {}", known.join(", ")),
            });
        };
        // `targetPort` defaults to `port`.
        let current = candidate
            .get("targetPort")
            .or_else(|| candidate.get("port"))
            .cloned()
            .unwrap_or_default();
        let field = FieldUpdate { current, desired, is_same: is_equal };
        field.propose(args, |field| {
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
        })
    }

    fn postconditions(
        &self,
        target: &ObjectRef,
        args: &Args,
        _workload: Option<&ObjectRef>,
    ) -> Vec<Condition> {
        vec![has_endpoints(target, args.get("targetPort").and_then(Value::as_u64))]
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Service]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Port]
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        let now = field.object.at(field.pointer)?;
        let port = now
            .get("name")
            .filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))
            .or_else(|| now.get("port"))?;
        let old = field.before.get("targetPort").or_else(|| field.before.get("port"))?;
        PortRef::of(old)?;
        Some(arguments([("port", port.clone()), ("targetPort", old.clone())]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        let port = args.get("port")?;
        let key = port.as_str().map_or_else(|| port.to_string(), str::to_string);
        known_good_fact(subject, Predicate::KnownGoodPort, &key, args.get("targetPort"))
    }
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
