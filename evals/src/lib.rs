//! Offline evaluation: scenario suites, reference policies and reports.
//!
//! Every world starts from the same state and is independent of all others. The oracle judges the resulting world and
//! ignores what the evaluated system reports about itself.

mod baseline;
mod chiron;
mod history;
mod report;
mod runbook;
mod suite;
mod system_under_test;
mod uniform;

pub use baseline::{DeleteTheObject, DoNothing, RestartEverything};
pub use chiron::Chiron;
pub use history::generate_history;
pub use report::{EvaluationReport, FamilyResult, FamilyVerdict, PolicyResult, Proportion};
pub use runbook::runbook_templates;
pub use suite::{Suite, evaluate};
pub use system_under_test::{SystemUnderTest, Trial};
