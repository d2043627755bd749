use std::fmt;

use serde::{Deserialize, Serialize};

/// Who sends a mutating request, in words that a cluster's audit log keeps.
///
/// Sent as User-Agent `chiron/<version> (run=…; step=…; key=…; epoch=…)`. Plain strings, so that this crate knows
/// nothing of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Id of the run, empty for a person or a test.
    pub run: String,
    /// Id of the step within the run's plan.
    pub step: String,
    /// Effect key: unique per intended effect; the cluster counts what it applied per key.
    pub effect_key: String,
    /// Epoch of the writer, 0 where there is none.
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
