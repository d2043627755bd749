//! The record: one append-only, hash-chained log, and the projections folded from it.
