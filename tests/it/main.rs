//! End-to-end stories, and the tests that hold the house together. One binary, so that it links once.

mod architecture;
mod demo;
mod evaluation;
mod requirements;
mod serve;
