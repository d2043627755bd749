//! Orders, prunes and schedules the steps of a candidate, and accounts for what it changed.
