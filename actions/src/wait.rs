use serde_json::{Value, json};
use workflow::duration::Duration;
use workflow::{ActionSpec, Args, ErrorCode};

use crate::declaration::{priors, without_target};
use crate::{Action, Next, Reply};

pub(crate) struct Wait;

impl Action for Wait {
    fn name(&self) -> &'static str {
        "wait"
    }

    fn spec(&self) -> ActionSpec {
        let arguments = json!({"duration": {"type": "string", "minLength": 1, "maxLength": 40, "description": "How long to wait: `90s`, `5m`, `1h30m`."}});
        without_target(
            self.name(),
            "Waits for a duration.",
            arguments,
            &["duration"],
            priors(60, 99.0, 1.0, 0.0),
        )
    }

    fn next(&self, _spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
        match args.get("duration").and_then(Value::as_str).map(Duration::parse) {
            Some(Ok(duration)) if replies.is_empty() && duration > Duration::ZERO => {
                Next::Wait(duration)
            }
            Some(Ok(duration)) => Next::Done {
                output: json!({"changed": false, "waited": duration}),
                prior: Value::Null,
            },
            Some(Err(error)) => Next::refused(
                ErrorCode::InvalidArguments,
                format!("`wait` has an invalid argument `duration`: {error}"),
            ),
            None => Next::refused(
                ErrorCode::InvalidArguments,
                "`wait` requires the argument `duration`, such as `90s`",
            ),
        }
    }
}
