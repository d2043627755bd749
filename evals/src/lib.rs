//! The offline harness: suites of scenarios, reference policies, reports.
//!
//! Every world starts from the same state, nothing passes between worlds, and the oracle judges the world, never the
//! contestant's own word.

mod baseline;
mod chiron;
mod contestant;
mod history;
mod report;
mod statics;
mod suite;
mod uniform;

pub use baseline::{DeleteTheObject, DoNothing, RestartEverything};
pub use chiron::Chiron;
pub use contestant::{Contestant, Played};
pub use history::history;
pub use report::{Family, Policy, Report, Share};
pub use statics::by_alert_name;
pub use suite::{Suite, evaluate};
