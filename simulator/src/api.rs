//! What the API server does with a call: checks it, decides, stores.

mod admission;
mod call;
mod change;
mod create;
mod defaults;
mod delete;
mod evict;
mod read;
mod refusal;
mod resource;
mod selection;
mod send;
mod update;

pub use call::{Answer, Call, Deed, FieldValidation, Options, Propagation};
pub use read::Listed;
pub use refusal::{Cause, Refusal};
pub use resource::Resource;
pub(crate) use resource::{builtin, shelf};
pub use selection::{BadFieldSelector, FieldSelector, Selection};
