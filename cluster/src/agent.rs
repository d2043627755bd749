use std::fmt;

use serde::{Deserialize, Serialize};

/// Identifies the sender of a mutating request in the cluster's audit log.
///
/// Sent as the User-Agent header `chiron/<version> (run=…; step=…; key=…; epoch=…)`. The fields are plain strings, so
/// that this crate does not depend on the run types.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Id of the run; empty for requests of an operator or a test.
    pub run: String,
    /// Id of the step within the run's plan.
    pub step: String,
    /// Effect key, unique per intended effect; the simulated cluster counts applied changes per key.
    pub effect_key: String,
    /// Epoch of the writer (fencing token); 0 without a writer lease.
    pub epoch: u64,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        write!(
            f,
            "chiron/{version} (run={}; step={}; key={}; epoch={})",
            self.run, self.step, self.effect_key, self.epoch
        )
    }
}
