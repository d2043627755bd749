use cluster::Reply;
use serde_json::{Value, json};
use workflow::duration::Span;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::declaration::{on_nothing, priors};

pub(crate) const NAME: &str = "wait";

pub(crate) fn spec() -> ActionSpec {
    let arguments = json!({"duration": {"type": "string", "minLength": 1, "maxLength": 40, "description": "How long: `90s`, `5m`, `1h30m`."}});
    on_nothing(NAME, "Lets time pass.", arguments, &["duration"], priors(60, 99.0, 1.0, 0.0))
}

pub(crate) fn next(_spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    match args.get("duration").and_then(Value::as_str).map(Span::parse) {
        Some(Ok(span)) if replies.is_empty() && span > Span::ZERO => Next::Wait(span),
        Some(Ok(span)) => {
            Next::Done { output: json!({"changed": false, "waited": span}), prior: Value::Null }
        }
        Some(Err(bad)) => Next::refused(
            "bad-arguments",
            format!("`wait` cannot take its argument `duration`: {bad}"),
        ),
        None => Next::refused("bad-arguments", "`wait` needs a `duration` such as `90s`"),
    }
}
