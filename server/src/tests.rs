mod access;
mod harness;
mod ingestion;
mod resources;
mod socket;
