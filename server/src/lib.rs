//! The HTTP API: ingestion, resources, events, access.
