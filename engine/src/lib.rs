//! The loop that carries values along the line, from alert to learned outcome.
