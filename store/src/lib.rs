//! The record: an append-only, hash-chained log, and the projections folded from it.
//!
//! [`Store`] is the port and [`Queries`] the typed reads of its projections. [`Memory`] is used by evaluations and
//! tests, [`Sqlite`] everywhere else. `contract` (in tests only) contains the tests that both must pass. [`verify`] checks a data
//! directory: the chain, and that the projections and snapshots equal the result of a replay.

#[cfg(test)]
mod contract;
mod error;
mod finite;
mod memory;
mod port;
pub mod projection;
mod query;
mod record;
mod salts;
mod seal;
mod sqlite;
mod verify;

pub use error::StoreError;
pub use memory::Memory;
pub use port::{AppendError, ListPage, PageRequest, Store};
pub use projection::{
    AlertRow, ExperimentRow, Exposure, IncidentRow, PlanRow, Row, RowBody, Table,
};
pub use query::Queries;
pub use record::{EntryError, Record};
pub use salts::Salts;
pub use sqlite::Sqlite;
pub use verify::{IntegrityError, IntegrityReport, VerifiedFold, verify};
