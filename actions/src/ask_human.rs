use cluster::Reply;
use serde_json::{Value, json};
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::declaration::{on_nothing, priors};

pub(crate) const NAME: &str = "ask-human";

pub(crate) fn spec() -> ActionSpec {
    let arguments = json!({"question": {"type": "string", "minLength": 1, "maxLength": 2000, "description": "What the person is asked; yes lets the run go on."}});
    on_nothing(
        NAME,
        "Asks a person, and goes on once they said yes.",
        arguments,
        &["question"],
        priors(900, 6.0, 4.0, 600.0),
    )
}

pub(crate) fn next(_spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    match args.get("question").and_then(Value::as_str) {
        Some(question) if replies.is_empty() => Next::Ask(question.into()),
        Some(question) => Next::Done {
            output: json!({"changed": false, "question": question, "answer": "yes"}),
            prior: Value::Null,
        },
        None => Next::refused("bad-arguments", "`ask-human` needs a `question`"),
    }
}
