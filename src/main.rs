//! Chiron.
fn main() {}
