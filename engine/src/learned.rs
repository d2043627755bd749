use learner::{BadConfig, Config, Learner, Model};
use store::{Fold, Record};
use workflow::Catalogue;

/// Name of the learner's snapshot in the store.
pub(crate) const SNAPSHOT: &str = "learner";

/// The learner before the first record, for actions of this catalogue.
pub(crate) fn begin(catalogue: &Catalogue) -> Result<Learner, BadConfig> {
    Ok(Learner::new(Model::new(planner::schema(), Config::of(catalogue))?))
}

/// The learner as a fold that `store::verify` replays and compares with its snapshot, bit for bit.
pub struct LearnerFold(Learner);

impl LearnerFold {
    /// Before the first record.
    ///
    /// # Errors
    /// [`BadConfig`] where the catalogue's priors make no sense.
    pub fn new(catalogue: &Catalogue) -> Result<Self, BadConfig> {
        begin(catalogue).map(Self)
    }
}

impl Fold for LearnerFold {
    fn name(&self) -> &str {
        SNAPSHOT
    }

    fn apply(&mut self, record: &Record) -> Result<(), String> {
        let entry = record.entry().map_err(|error| error.to_string())?;
        // A refused lesson is counted by the learner itself, live as here.
        let _ = self.0.apply(&entry);
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.snapshot()
    }
}
