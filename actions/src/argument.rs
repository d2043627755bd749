use cluster::{Kind, ObjectRef};
use serde_json::Value;
use workflow::fact::{Binding, Bindings};
use workflow::{ActionSpec, Args};

use crate::change::Proposal;

/// The object that the action acts on, out of `{kind, name, [namespace, apiVersion, uid, cluster]}`.
///
/// `cluster` stands where the argument names none, and the built-in version of the kind where it names no
/// `apiVersion`. Absent for actions on nothing, and where the argument does not name an object.
pub fn target(spec: &ActionSpec, args: &Args, cluster: &str) -> Option<ObjectRef> {
    object(args.get(spec.target.as_deref()?)?, cluster)
}

/// Every way in which `args` do not fit what the action takes: path and message, in order of the path.
pub fn check_arguments(spec: &ActionSpec, args: &Args) -> Vec<(String, String)> {
    workflow::catalogue::arguments::check(spec, args)
}

/// What fills the holes of the action's fact patterns: `$target`, `$container`, `$image`, one per argument.
pub fn bindings(spec: &ActionSpec, args: &Args, cluster: &str) -> Bindings {
    let fill = |(name, value): (&String, &Value)| {
        let binding = match target(spec, args, cluster) {
            Some(target) if spec.target.as_ref() == Some(name) => Binding::Object(target),
            Some(_) | None => Binding::Value(value.clone()),
        };
        (format!("${name}"), binding)
    };
    args.iter().map(fill).collect()
}

fn object(value: &Value, cluster: &str) -> Option<ObjectRef> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_string);
    let kind = text("kind")?;
    let api_version =
        text("apiVersion").or_else(|| Kind::builtin(&kind).map(|builtin| builtin.api_version))?;
    Some(ObjectRef {
        cluster: text("cluster").unwrap_or_else(|| cluster.into()),
        api_version,
        kind,
        namespace: text("namespace"),
        name: text("name")?,
        uid: text("uid"),
    })
}

/// The text argument `name`.
pub(crate) fn text<'a>(args: &'a Args, name: &str) -> Result<&'a str, Proposal> {
    args.get(name).and_then(Value::as_str).ok_or_else(|| missing(name, "a text"))
}

/// The whole-number argument `name`.
pub(crate) fn whole(args: &Args, name: &str) -> Result<u64, Proposal> {
    let number = args.get(name).and_then(|value| {
        value
            .as_u64()
            .or_else(|| value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64))
    });
    number.ok_or_else(|| missing(name, "a whole number"))
}

fn missing(name: &str, what: &str) -> Proposal {
    Proposal::Refuse { code: "bad-arguments", why: format!("the argument `{name}` must be {what}") }
}
