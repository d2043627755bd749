//! The one validator of workflows and templates that every surface calls.
