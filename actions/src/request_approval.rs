use serde_json::{Value, json};
use workflow::{ActionSpec, Args, ErrorCode};

use crate::declaration::{priors, without_target};
use crate::{Action, Next, Reply};

/// Waits until an operator approves.
pub struct RequestApproval;

impl Action for RequestApproval {
    fn name(&self) -> &'static str {
        "request-approval"
    }

    fn spec(&self) -> ActionSpec {
        let arguments = json!({"question": {"type": "string", "minLength": 1, "maxLength": 2000, "description": "The question to the operator; the run continues once it is approved."}});
        without_target(
            self.name(),
            "Waits until an operator approves.",
            arguments,
            &["question"],
            priors(900, 6.0, 4.0, 600.0),
        )
    }

    fn next(&self, _spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
        match args.get("question").and_then(Value::as_str) {
            Some(question) if replies.is_empty() => Next::RequestApproval(question.into()),
            Some(question) => Next::Done {
                output: json!({"changed": false, "question": question, "approved": true}),
                prior: Value::Null,
            },
            None => Next::refused(
                ErrorCode::InvalidArguments,
                "`request-approval` requires the argument `question`",
            ),
        }
    }
}
