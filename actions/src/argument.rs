use cluster::{Kind, ObjectRef};
use serde_json::Value;
use workflow::fact::{Binding, PatternBindings};
use workflow::{ActionSpec, Args, ErrorCode};

use crate::refused::Refused;

/// Returns the object that the action acts on, from the argument `{kind, name, [namespace, apiVersion, uid, cluster]}`.
///
/// `cluster` is the default cluster; `apiVersion` defaults to the version of the built-in kind. Returns `None` for actions
/// without a target, and if the argument is not an object reference.
pub fn target(spec: &ActionSpec, args: &Args, cluster: &str) -> Option<ObjectRef> {
    object(args.get(spec.target.as_deref()?)?, cluster)
}

/// Checks `args` against the action's schema and returns path and message of every mismatch, sorted by path.
pub fn check_arguments(spec: &ActionSpec, args: &Args) -> Vec<(String, String)> {
    let mismatches = workflow::catalogue::arguments::check(spec, args);
    mismatches.into_iter().map(|mismatch| (mismatch.path, mismatch.message)).collect()
}

/// Returns the bindings of the placeholders in the action's fact patterns: `$target`, `$container`, `$image`, one per
/// argument.
pub fn bindings(spec: &ActionSpec, args: &Args, cluster: &str) -> PatternBindings {
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

/// Creates arguments from names and values.
pub(crate) fn arguments<const N: usize>(members: [(&str, Value); N]) -> Args {
    members.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// Returns the string argument `name`.
pub(crate) fn text<'a>(args: &'a Args, name: &str) -> Result<&'a str, Refused> {
    args.get(name).and_then(Value::as_str).ok_or_else(|| invalid(name, "a string"))
}

/// Returns the integer argument `name`.
pub(crate) fn integer(args: &Args, name: &str) -> Result<u64, Refused> {
    let number = args.get(name).and_then(|value| {
        value
            .as_u64()
            .or_else(|| value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64))
    });
    number.ok_or_else(|| invalid(name, "an integer"))
}

fn invalid(name: &str, what: &str) -> Refused {
    Refused {
        code: ErrorCode::InvalidArguments,
        message: format!("the argument `{name}` must be {what}"),
    }
}
