use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use simulator::World;

/// A system that is evaluated in simulated worlds with an injected fault.
#[async_trait(?Send)]
pub trait SystemUnderTest: Send + Sync {
    /// Returns the name for reports.
    fn name(&self) -> &str;

    /// Runs in `world` until the simulated time `until`.
    ///
    /// # Errors
    /// If the system cannot run at all; the evaluation is aborted.
    async fn run(&self, world: World, until: Timestamp) -> Result<Trial>;
}

/// The result of a run in one world.
pub struct Trial {
    /// World after the run.
    pub world: World,
    /// Seconds from the first alert to the end of the last one; `None` if an alert still fires, or none fired.
    pub seconds: Option<f64>,
}
