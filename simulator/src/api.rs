//! What the API server does with a call: checks it, decides, stores.

mod admission;
mod apply;
mod call;
mod change;
mod create;
mod defaults;
mod delete;
mod evict;
mod fields;
mod managed;
mod read;
mod refusal;
mod resource;
mod selection;
mod send;
mod template;
mod update;

pub use call::{Answer, Call, Deed, FieldValidation, Options, Propagation};
pub(crate) use delete::{FOREGROUND, ORPHAN};
pub use managed::shown;
pub use read::Listed;
pub(crate) use refusal::Named;
pub use refusal::{Cause, Refusal};
pub use resource::Resource;
#[cfg(feature = "http")]
pub(crate) use resource::version_of;
pub(crate) use resource::{builtin, group, shelf};
pub use selection::{BadFieldSelector, FieldSelector, Selection};
#[cfg(feature = "http")]
pub(crate) use update::scale_of;
