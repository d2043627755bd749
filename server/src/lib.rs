//! The HTTP API: ingestion, resources, events, access.
//!
//! [`router`] makes the whole API out of a [`Server`]: a sender of inputs to the engine, the record to read from, and
//! what guards the door. [`serve`] puts it on a socket. Nothing is decided here: what changes anything is handed to the
//! engine, and answered once it is durable.

mod access;
mod api;
mod body;
mod bounds;
mod document;
mod events;
mod experiments;
mod guardrails;
mod health;
mod incidents;
mod ingest;
mod item;
mod learner;
mod once;
mod openapi;
mod places;
mod plans;
mod problem;
mod request;
mod router;
mod runs;
mod serve;
mod stops;
mod validations;

#[cfg(test)]
mod tests;

pub use api::{Message, Server};
pub use bounds::Bounds;
pub use experiments::ExperimentBody;
pub use openapi::openapi;
pub use problem::Problem;
pub use router::{router, router_within};
pub use serve::{serve, serve_within};
