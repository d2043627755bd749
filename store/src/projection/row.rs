use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use workflow::{
    Candidate, Decision, Evidence, Feedback, Guardrails, Outcome, PastExecution, RunView,
    canonical_json,
};

use super::{AlertRow, ExperimentRow, Exposure, IncidentRow, PlanRow, StopRow};

/// A projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Alert episodes.
    Alerts,
    /// Incidents.
    Incidents,
    /// Evidence.
    Evidence,
    /// Candidates.
    Candidates,
    /// Decisions.
    Decisions,
    /// Plans with where they stand.
    Plans,
    /// Runs.
    Runs,
    /// Outcomes.
    Outcomes,
    /// Feedback.
    Feedback,
    /// Experiments.
    Experiments,
    /// Incidents that are exposed to a variant. The column `plan` holds the experiment.
    Exposures,
    /// Past executions, live and imported.
    Executions,
    /// Guardrails, one row each time that some came into force.
    Guardrails,
    /// Emergency stops by scope.
    Stops,
}

impl Table {
    /// Every projection.
    pub const ALL: [Self; 14] = [
        Self::Alerts,
        Self::Incidents,
        Self::Evidence,
        Self::Candidates,
        Self::Decisions,
        Self::Plans,
        Self::Runs,
        Self::Outcomes,
        Self::Feedback,
        Self::Experiments,
        Self::Exposures,
        Self::Executions,
        Self::Guardrails,
        Self::Stops,
    ];

    /// Its name, in SQL too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Incidents => "incidents",
            Self::Evidence => "evidence",
            Self::Candidates => "candidates",
            Self::Decisions => "decisions",
            Self::Plans => "plans",
            Self::Runs => "runs",
            Self::Outcomes => "outcomes",
            Self::Feedback => "feedback",
            Self::Experiments => "experiments",
            Self::Exposures => "exposures",
            Self::Executions => "executions",
            Self::Guardrails => "guardrails",
            Self::Stops => "stops",
        }
    }

    /// Whether its rows change after the record that made them: those are worth keeping at hand.
    pub(crate) fn is_folded(self) -> bool {
        match self {
            Self::Alerts
            | Self::Incidents
            | Self::Plans
            | Self::Runs
            | Self::Experiments
            | Self::Stops
            | Self::Decisions => true,
            Self::Evidence
            | Self::Candidates
            | Self::Outcomes
            | Self::Feedback
            | Self::Exposures
            | Self::Executions
            | Self::Guardrails => false,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One row of a projection.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The projection.
    pub table: Table,
    /// Key of the row.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Where it stands, in one word; empty where nothing changes.
    pub status: String,
    /// The incident that it is about, empty if none.
    pub incident: String,
    /// The plan that it is about, empty if none.
    pub plan: String,
    /// The run that it is about, empty if none.
    pub run: String,
    /// When it was made.
    pub at: Timestamp,
    /// The record that made it.
    pub first_seq: u64,
    /// The record that last changed it.
    pub last_seq: u64,
    /// What it says.
    pub doc: Doc,
}

/// What a row is about.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) incident: &'a str,
    pub(super) plan: &'a str,
    pub(super) run: &'a str,
}

macro_rules! docs {
    ($($(#[$doc:meta])* $table:ident($word:ty);)*) => {
        /// What a row says: one type for each projection.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Doc {
            $($(#[$doc])* $table($word),)*
        }

        impl Doc {
            /// The projection that it belongs to.
            pub fn table(&self) -> Table {
                match self { $(Self::$table(_) => Table::$table,)* }
            }

            /// Its canonical JSON.
            pub fn encode(&self) -> String {
                match self { $(Self::$table(doc) => encode(doc),)* }
            }

            /// Reads what [`encode`](Self::encode) wrote.
            ///
            /// # Errors
            /// If `text` is not a row of `table`.
            pub fn decode(table: Table, text: &str) -> Result<Self, serde_json::Error> {
                match table { $(Table::$table => decode(text).map(Self::$table),)* }
            }
        }

        $(impl Word for $word {
            const TABLE: Table = Table::$table;
            fn take(doc: Doc) -> Option<Self> {
                match doc { Doc::$table(word) => Some(word), _ => None }
            }
        })*
    };
}

/// What a row of one projection says.
pub(crate) trait Word: Sized {
    /// The projection.
    const TABLE: Table;

    /// Takes it out of the row.
    fn take(doc: Doc) -> Option<Self>;
}

docs! {
    /// An alert.
    Alerts(AlertRow);
    /// An incident.
    Incidents(IncidentRow);
    /// Evidence.
    Evidence(Evidence);
    /// A candidate.
    Candidates(Candidate);
    /// A decision.
    Decisions(Decision);
    /// A plan.
    Plans(PlanRow);
    /// A run.
    Runs(RunView);
    /// An outcome.
    Outcomes(Outcome);
    /// Feedback.
    Feedback(Feedback);
    /// An experiment.
    Experiments(ExperimentRow);
    /// An exposure.
    Exposures(Exposure);
    /// A past execution.
    Executions(PastExecution);
    /// Guardrails.
    Guardrails(Guardrails);
    /// A stop.
    Stops(StopRow);
}

fn encode<T: Serialize>(doc: &T) -> String {
    canonical_json(doc).expect("a row holds what was canonical in the record, and small counts")
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}
