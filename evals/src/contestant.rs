use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use simulator::World;

/// Someone who is given a world in which something will break.
#[async_trait(?Send)]
pub trait Contestant: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Plays in `world` until `until`.
    ///
    /// # Errors
    /// Where it could not play at all; the evaluation ends.
    async fn play(&self, world: World, until: Timestamp) -> Result<Played>;
}

/// What became of a world.
pub struct Played {
    /// The world at the end.
    pub world: World,
    /// Seconds from the first alert until the last one ended; absent if one still fires, or none fired.
    pub seconds: Option<f64>,
}
