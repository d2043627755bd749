//! The record: one append-only, hash-chained log, and the projections folded from it.
//!
//! [`Store`] is the port and [`Queries`] the questions asked of its projections. [`Memory`] serves evaluations and
//! tests, [`Sqlite`] everything else; [`contract`] holds the promises of both, and [`verify`] checks a data directory:
//! the chain, and that everything folded from it is what a replay gives.

pub mod contract;
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

pub use memory::Memory;
pub use port::{AppendRefused, Listing, Page, Store, StoreError};
pub use projection::{
    AlertRow, Doc, ExperimentRow, Exposure, IncidentRow, PlanRow, PlanStatus, Row, StopRow, Table,
};
pub use query::Queries;
pub use record::{Record, Unreadable};
pub use salts::Salts;
pub use sqlite::Sqlite;
pub use verify::{Flaw, Fold, Report, verify};
