//! The API server behind a call: authorization, admission, storage.

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
mod resource;
mod selection;
mod send;
mod status_error;
mod template;
mod update;

pub use call::{ApiCall, CallOptions, CallResult, FieldValidation, Operation, Propagation};
pub(crate) use delete::{FOREGROUND, ORPHAN};
pub use managed::with_managed_fields;
pub use read::ListResult;
pub use resource::ServedResource;
#[cfg(feature = "http")]
pub(crate) use resource::version_of;
pub(crate) use resource::{builtin, group, storage_kind};
pub use selection::{FieldSelector, ParseFieldSelectorError, Selection};
pub(crate) use status_error::ResourceName;
pub use status_error::{StatusCause, StatusError};
#[cfg(feature = "http")]
pub(crate) use update::scale_of;
