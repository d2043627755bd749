use learner::{Config, InvalidLearnerConfig, Learner, Model};
use store::{Record, VerifiedFold};
use workflow::Catalogue;

/// Name of the learner's snapshot in the store.
pub(crate) const SNAPSHOT: &str = "learner";

/// Creates the learner for the actions of this catalogue, before the first record.
pub(crate) fn new_learner(catalogue: &Catalogue) -> Result<Learner, InvalidLearnerConfig> {
    Ok(Learner::new(Model::new(planner::schema(), Config::of(catalogue))?))
}

/// The learner as a fold that `store::verify` replays and compares with its snapshot byte by byte.
pub struct LearnerFold(Learner);

impl LearnerFold {
    /// Creates the fold before the first record.
    ///
    /// # Errors
    /// [`InvalidLearnerConfig`] if the catalogue's priors are invalid.
    pub fn new(catalogue: &Catalogue) -> Result<Self, InvalidLearnerConfig> {
        new_learner(catalogue).map(Self)
    }
}

impl VerifiedFold for LearnerFold {
    fn name(&self) -> &str {
        SNAPSHOT
    }

    fn apply(&mut self, record: &Record) -> Result<(), String> {
        let entry = record.entry().map_err(|error| error.to_string())?;
        // The learner itself counts rejected observations, in the live engine too.
        let _ = self.0.apply(&entry);
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.snapshot()
    }
}
