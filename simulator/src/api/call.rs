//! A call of the Kubernetes API that changes objects, and its result.

use cluster::{Agent, Kind, Mode, Object, Patch, Preconditions};
use serde::{Deserialize, Serialize};

use super::selection::Selection;
use super::status_error::{ResourceName, StatusError};
use crate::injected_reply::InjectedReply;
use crate::objects::Key;
use crate::queue::Timer;
use crate::world::{CONTROLLER_DELAY, World};

/// A call of the Kubernetes API that may change objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiCall {
    /// The kind of the object in the path.
    pub kind: Kind,
    /// The namespace in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object name in the path. Empty for a create and for a deletion of a collection.
    pub name: String,
    /// The subresource: `status` or `scale`. `None` for the object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// What to do.
    pub operation: Operation,
    /// Query parameters and `DeleteOptions`.
    #[serde(default)]
    pub options: CallOptions,
    /// The client, as its User-Agent describes it.
    #[serde(default)]
    pub agent: Agent,
}

/// The operation of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// POST: creates the object.
    Create(Object),
    /// PUT: replaces the object.
    Update(Object),
    /// PATCH with a JSON patch, a merge patch or a strategic merge patch.
    Patch(Patch),
    /// PATCH with server-side apply: the fields that the manager sets.
    Apply(Object),
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection: all selected objects.
    DeleteAll(Selection),
    /// POST of an Eviction.
    Evict,
}

/// The parameters of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallOptions {
    /// Whether the change is persisted or is a dry run (`dryRun=All`).
    pub mode: Mode,
    /// `fieldManager`. Default: the first word of the User-Agent.
    pub manager: String,
    /// `force` of server-side apply: takes over fields of other managers.
    pub force: bool,
    /// Conditions on the stored object.
    pub preconditions: Preconditions,
    /// How dependents are deleted. Default: in the background.
    pub propagation: Option<Propagation>,
    /// The grace period of a pod, in seconds. Default: the value in the pod's spec.
    pub grace_seconds: Option<u32>,
    /// How unknown fields are handled.
    pub validation: FieldValidation,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Commit,
            manager: String::new(),
            force: false,
            preconditions: Preconditions::default(),
            propagation: None,
            grace_seconds: None,
            validation: FieldValidation::default(),
        }
    }
}

/// How the dependents of a deleted object are handled (`propagationPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// They are deleted after the owner.
    Background,
    /// They are deleted before the owner.
    Foreground,
    /// They are kept, without the owner reference.
    Orphan,
}

/// How fields are handled that the kind does not have (`fieldValidation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the response contains a warning.
    #[default]
    Warn,
    /// The call fails.
    Strict,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CallResult {
    /// 201: the new object as stored.
    Created(Object),
    /// 200: the object as it is stored now.
    Stored(Object),
    /// 200: the object is marked for deletion and still exists.
    Terminating(Object),
    /// 200: the object is deleted. Contains its last state.
    Deleted(Object),
    /// 200: the selected objects are deleted or marked for deletion. Contains their previous state.
    DeletedAll(Vec<Object>),
    /// The call failed.
    Refused(StatusError),
    /// The client gets no response: the connection was reset before or after the call was applied.
    ConnectionLost {
        /// What the client sees.
        message: String,
    },
}

impl World {
    /// Executes a call at the current simulated time.
    pub fn call(&mut self, call: &ApiCall) -> CallResult {
        self.execute(call).1
    }

    /// Replays a recorded call: advances the world to `at` and executes the call.
    pub fn replay_call(&mut self, at: jiff::Timestamp, call: &ApiCall) -> CallResult {
        self.advance_fully(at);
        self.call(call)
    }

    /// Executes a call. Returns the decision of the server, if the call reached it, and the result that the client sees.
    pub(crate) fn execute(&mut self, call: &ApiCall) -> (Option<CallResult>, CallResult) {
        let interference = match call.options.mode {
            Mode::Commit => self.injected_replies.pop_front().unwrap_or(InjectedReply::Pass),
            Mode::DryRun => InjectedReply::Pass,
        };
        let lost = |when: &str| CallResult::ConnectionLost {
            message: format!("the connection was reset {when}"),
        };
        match interference {
            InjectedReply::UnknownBeforeApply => {
                return (None, lost("before the request arrived"));
            }
            InjectedReply::Conflict => {
                return (None, CallResult::Refused(StatusError::modified(&self.target_of(call))));
            }
            InjectedReply::Throttled { retry_after_seconds } => {
                return (None, CallResult::Refused(StatusError::throttled(retry_after_seconds)));
            }
            InjectedReply::Forbidden => {
                let message = format!("forbidden: {} {}", call.kind.kind, call.name);
                return (None, CallResult::Refused(StatusError::new(403, "Forbidden", message)));
            }
            InjectedReply::Pass | InjectedReply::UnknownAfterApply => {}
        }
        let before = self.objects.version();
        let result = self.decide_and_commit(call);
        if call.options.mode == Mode::Commit {
            if self.objects.version() != before && !call.agent.effect_key.is_empty() {
                *self.effects.entry(call.agent.effect_key.clone()).or_default() += 1;
            }
            self.check_forbidden_patterns();
            if let CallResult::Created(created) = &result
                && let Some(key) = Key::of(created).filter(|key| key.kind == "Namespace")
            {
                self.set_timer(CONTROLLER_DELAY, Timer::Namespace(key));
            }
        }
        if interference == InjectedReply::UnknownAfterApply {
            (Some(result), lost("before the response arrived"))
        } else {
            (Some(result.clone()), result)
        }
    }

    fn decide_and_commit(&mut self, call: &ApiCall) -> CallResult {
        let is_dry = call.options.mode == Mode::DryRun;
        match self.decide(call) {
            Err(error) => CallResult::Refused(error),
            Ok(change) if is_dry => self.dry_run(change),
            Ok(change) => self.commit(change),
        }
    }

    /// Returns the resource and name in the call, for error messages.
    fn target_of(&self, call: &ApiCall) -> ResourceName {
        ResourceName::new(self.resource(&call.kind).as_deref(), &call.kind, &call.name)
    }
}
