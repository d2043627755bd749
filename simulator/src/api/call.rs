//! One call of the Kubernetes API, and what is answered.

use cluster::{Agent, Kind, Mode, Object, Patch, Preconditions};
use serde::{Deserialize, Serialize};

use super::refusal::{Named, Refusal};
use super::selection::Selection;
use crate::interference::Interference;
use crate::objects::Key;
use crate::queue::Wake;
use crate::world::{CONTROLLER, World};

/// One call of the Kubernetes API that may change something, as it is on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The kind of the object that the path names.
    pub kind: Kind,
    /// The namespace of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name of the path; empty where it names none (a create, a deletion of many).
    pub name: String,
    /// `status` or `scale`; absent for the object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// What is to be done.
    pub deed: Deed,
    /// How.
    #[serde(default)]
    pub options: Options,
    /// Who asks, as far as its User-Agent says.
    #[serde(default)]
    pub agent: Agent,
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// POST: makes the object.
    Create(Object),
    /// PUT: the object as it shall be.
    Update(Object),
    /// PATCH with a JSON patch, a merge patch or a strategic merge patch.
    Patch(Patch),
    /// PATCH with server-side apply: the fields that the manager wants.
    Apply(Object),
    /// DELETE of one object.
    Delete,
    /// DELETE of all that are selected.
    DeleteAll(Selection),
    /// POST of an Eviction.
    Evict,
}

/// The parameters of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// For real, or `dryRun=All`.
    pub mode: Mode,
    /// `fieldManager`; where the call has none, the first word of its User-Agent.
    pub manager: String,
    /// `force` of server-side apply: fields of others are taken over.
    pub force: bool,
    /// What must hold of the stored object.
    pub preconditions: Preconditions,
    /// What becomes of owned objects; absent for the server's default, which is the background.
    pub propagation: Option<Propagation>,
    /// Seconds that a pod may take to end; absent for the object's own figure.
    pub grace_seconds: Option<u32>,
    /// What is done about fields that the kind does not have.
    pub validation: FieldValidation,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Apply,
            manager: String::new(),
            force: false,
            preconditions: Preconditions::default(),
            propagation: None,
            grace_seconds: None,
            validation: FieldValidation::default(),
        }
    }
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay, without their owner.
    Orphan,
}

/// What is done about fields that the kind does not have (`fieldValidation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldValidation {
    /// They are left out.
    Ignore,
    /// They are left out, and the answer warns.
    #[default]
    Warn,
    /// The call is refused.
    Strict,
}

/// What the API server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// 201: the new object as stored.
    Created(Object),
    /// 200: the object as stored now.
    Stored(Object),
    /// 200: it is marked, and still there.
    Marked(Object),
    /// 200: it is gone; as it was last.
    Deleted(Object),
    /// 200: all that were meant are gone or marked; as they were before.
    DeletedAll(Vec<Object>),
    /// It is not done, and why.
    Refused(Refusal),
    /// No answer arrives: the connection was reset, whether before the call was applied or after.
    Lost {
        /// What the sender sees.
        message: String,
    },
}

impl World {
    /// Takes one call at the present moment and answers it.
    pub fn call(&mut self, call: &Call) -> Answer {
        self.take(call).1
    }

    /// Does again what a stored call did at `at`: time passes until then, and the call is made.
    pub fn replay_call(&mut self, at: jiff::Timestamp, call: &Call) -> Answer {
        self.advance_fully(at);
        self.call(call)
    }

    /// Takes one call: what the cluster decided, if it arrived there, and what the caller sees of it.
    pub(crate) fn take(&mut self, call: &Call) -> (Option<Answer>, Answer) {
        let interference = match call.options.mode {
            Mode::Apply => self.interference.pop_front().unwrap_or(Interference::Pass),
            Mode::DryRun => Interference::Pass,
        };
        let lost =
            |when: &str| Answer::Lost { message: format!("the connection was reset {when}") };
        match interference {
            Interference::UnknownBeforeApply => {
                return (None, lost("before the request arrived"));
            }
            Interference::Conflict => {
                return (None, Answer::Refused(Refusal::modified(&self.meant_by(call))));
            }
            Interference::Throttled { retry_after_seconds } => {
                return (None, Answer::Refused(Refusal::throttled(retry_after_seconds)));
            }
            Interference::Forbidden => {
                let why = format!("forbidden: {} {}", call.kind.kind, call.name);
                return (None, Answer::Refused(Refusal::new(403, "Forbidden", why)));
            }
            Interference::Pass | Interference::UnknownAfterApply => {}
        }
        let before = self.objects.version();
        let answer = self.answer(call);
        if call.options.mode == Mode::Apply {
            if self.objects.version() != before && !call.agent.effect_key.is_empty() {
                *self.effects.entry(call.agent.effect_key.clone()).or_default() += 1;
            }
            self.look_for_forbidden();
            if let Answer::Created(made) = &answer
                && let Some(key) = Key::of(made).filter(|key| key.kind == "Namespace")
            {
                self.wake(CONTROLLER, Wake::Namespace(key));
            }
        }
        if interference == Interference::UnknownAfterApply {
            (Some(answer), lost("before the answer arrived"))
        } else {
            (Some(answer.clone()), answer)
        }
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let is_dry = call.options.mode == Mode::DryRun;
        match self.decide(call) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(change) if is_dry => self.pretend(change),
            Ok(change) => self.commit(change),
        }
    }

    /// What the call names, for messages.
    fn meant_by(&self, call: &Call) -> Named {
        Named::new(self.resource(&call.kind).as_deref(), &call.kind, &call.name)
    }
}
