//! The HTTP API: ingestion, resources, events, access.
//!
//! [`router`] builds the API from a [`ServerConfig`]: a sender of inputs to the engine, the store to read from, and the
//! credentials that requests are checked against. [`serve`] serves it on a socket. This crate decides nothing: every
//! change is sent to the engine, and the response is sent once the change is durable.

mod access;
mod body;
mod connection_limiter;
mod emergency_stops;
mod events;
mod experiments;
mod guardrails;
mod health;
mod idempotency;
mod incidents;
mod ingest;
mod learner;
mod openapi;
mod plans;
mod problem;
mod request;
mod resource;
mod router;
mod runs;
mod serve;
mod server_state;
mod timeouts;
mod validations;

#[cfg(test)]
mod tests;

pub use problem::Problem;
pub use router::{router, router_with};
pub use serve::{serve, serve_with};
pub use server_state::{EngineRequest, ServerConfig};
pub use timeouts::Timeouts;
