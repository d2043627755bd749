use cluster::ObjectRef;
use serde_json::{Value, json};
use workflow::fact::{Fact, Predicate};
use workflow::{ActionSpec, Args, ErrorCode};

use crate::argument::{arguments, text};
use crate::change::{ChangeInput, FieldUpdate, Proposed};
use crate::changed_field::known_good_fact;
use crate::container::{ContainerRef, is_in_container};
use crate::declaration::{WORKLOADS, container_schema, fact, priors, reversible};
use crate::equivalence::is_same_probe;
use crate::refused::Refused;
use crate::{Action, ChangedField, FieldClass, Symptom};

pub(crate) struct SetProbe;

impl Action for SetProbe {
    fn name(&self) -> &'static str {
        "set-probe"
    }

    fn spec(&self) -> ActionSpec {
        let arguments = json!({
            "container": container_schema(),
            "which": {"type": "string", "enum": ["readiness", "liveness"], "description": "Which probe."},
            "httpGet": {"type": ["object", "null"], "additionalProperties": false, "required": ["path", "port"],
                "description": "The HTTP request of the probe; its timing and thresholds are kept. Null removes the probe.",
                "properties": {
                    "path": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^/", "description": "The path."},
                    "port": {"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "minLength": 1, "maxLength": 63, "description": "The port, by number or by container port name."},
                }},
            "probe": {"type": ["object", "null"], "minProperties": 1, "description": "The complete probe, as in the pod template; instead of `httpGet`. Null removes the probe."},
            "expect": {"type": ["object", "null"], "description": "The complete probe that must be set now, null for none; with any other probe, nothing is changed."},
        });
        let changed = [Predicate::ProbePath, Predicate::ProbePort, Predicate::ProbePasses];
        ActionSpec {
            reads: vec![
                fact(Predicate::ProbePath, Some("$container"), None),
                fact(Predicate::ProbePort, Some("$container"), None),
            ],
            // Only for readiness probes. Path and port are nested in the arguments, so the effects declare no values.
            effects: changed
                .into_iter()
                .map(|predicate| fact(predicate, Some("$container"), None))
                .collect(),
            priors: priors(60, 7.0, 3.0, 60.0),
            ..reversible(
                self.name(),
                "Sets or removes the readiness or liveness probe of a container of a workload.",
                WORKLOADS,
                arguments,
                &["container", "which"],
            )
        }
    }

    fn propose(&self, input: &ChangeInput<'_>) -> Result<Proposed, Refused> {
        let ChangeInput { args, object, .. } = *input;
        let (name, which) = (text(args, "container")?, text(args, "which")?);
        let container = ContainerRef::of(object, name)?;
        let member = format!("{which}Probe");
        let current = container.field(&member);
        let desired = match (args.get("httpGet"), args.get("probe")) {
            (Some(Value::Object(http)), None) => with_request(&current, http),
            (Some(_), None) => Value::Null,
            (None, Some(probe)) => probe.clone(),
            (Some(_), Some(_)) | (None, None) => {
                return Err(Refused {
                    code: ErrorCode::InvalidArguments,
                    message: format!(
                        "the {which} probe requires exactly one of `httpGet` and `probe`"
                    ),
                });
            }
        };
        let field = FieldUpdate { current, desired, is_same: is_same_probe };
        field.propose(args, |field| {
            let undo = [
                ("container", name.into()),
                ("which", which.into()),
                ("probe", field.current.clone()),
            ];
            let undo = undo.map(|(name, value)| (name.to_string(), value));
            (vec![container.set(&member, field.desired.clone())], Some(Args::from_iter(undo)))
        })
    }

    fn treats(&self) -> &'static [Symptom] {
        &[Symptom::Unready]
    }

    fn modified_fields(&self) -> &'static [FieldClass] {
        &[FieldClass::Probe]
    }

    fn selects(&self, args: &Args, path: &str) -> bool {
        is_in_container(args, path)
    }

    fn restore(&self, field: &ChangedField<'_>) -> Option<Args> {
        let which = if field.leaf() == "livenessProbe" { "liveness" } else { "readiness" };
        let container = field.container()?.into();
        Some(arguments([
            ("container", container),
            ("which", which.into()),
            ("probe", field.before.clone()),
        ]))
    }

    fn known_good_fact(&self, subject: &ObjectRef, args: &Args) -> Option<Fact> {
        let container = text(args, "container").ok()?;
        let is_readiness = text(args, "which") == Ok("readiness");
        let probe = args.get("probe").filter(|_| is_readiness);
        known_good_fact(subject, Predicate::KnownGoodProbe, container, probe)
    }
}

/// Returns the probe with another HTTP request. Scheme, host, headers and timing are kept.
fn with_request(probe: &Value, http: &serde_json::Map<String, Value>) -> Value {
    let mut merged = probe.as_object().cloned().unwrap_or_default();
    let mut request = merged.get("httpGet").and_then(Value::as_object).cloned().unwrap_or_default();
    for other in ["tcpSocket", "exec", "grpc"] {
        merged.remove(other);
    }
    request.extend(http.clone());
    merged.insert("httpGet".into(), Value::Object(request));
    Value::Object(merged)
}
