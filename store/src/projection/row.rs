use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use workflow::{
    Candidate, Decision, EmergencyStop, Evidence, Feedback, Guardrails, Outcome, PastExecution,
    RunView, canonical_json,
};

use super::{AlertRow, ExperimentRow, Exposure, IncidentRow, PlanRow};

/// A table of projected rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Alerts,
    Incidents,
    Evidence,
    Candidates,
    Decisions,
    /// Plans with their status.
    Plans,
    Runs,
    Outcomes,
    Feedback,
    Experiments,
    /// Assignments of incidents to experiment variants.
    Exposures,
    /// Past executions, live and imported.
    Executions,
    /// Guardrails, one row per loaded version.
    Guardrails,
    /// Emergency stops by scope.
    Stops,
}

impl Table {
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

    /// Returns the name of the SQL table.
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

    /// Returns whether rows change after the record that created them. Only such rows are worth caching.
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
    pub table: Table,
    /// Primary key.
    pub id: String,
    /// Status as one word. Empty for tables whose rows never change.
    pub status: String,
    /// Id of the related incident, empty if none.
    pub incident: String,
    /// Id of the related plan, empty if none.
    pub plan: String,
    /// Id of the related run, empty if none.
    pub run: String,
    /// Id of the related experiment, empty if none.
    pub experiment: String,
    /// When the row was created.
    pub at: Timestamp,
    /// `seq` of the record that created the row.
    pub first_seq: u64,
    /// `seq` of the record that last changed the row.
    pub last_seq: u64,
    pub body: RowBody,
}

/// Ids of the entities that a row refers to. Each is its own column, so that lists can be filtered by it.
#[derive(Clone, Copy, Default)]
pub(super) struct RowLinks<'a> {
    pub(super) incident: &'a str,
    pub(super) plan: &'a str,
    pub(super) run: &'a str,
    pub(super) experiment: &'a str,
}

macro_rules! row_bodies {
    ($($table:ident($body:ty);)*) => {
        /// The content of a row: one variant per table.
        #[derive(Clone, Debug, PartialEq)]
        pub enum RowBody {
            $($table($body),)*
        }

        impl RowBody {
            /// Returns the table that the row belongs to.
            pub fn table(&self) -> Table {
                match self { $(Self::$table(_) => Table::$table,)* }
            }

            /// Encodes the content as canonical JSON.
            pub fn encode(&self) -> String {
                match self { $(Self::$table(body) => encode(body),)* }
            }

            /// Decodes the output of [`encode`](Self::encode).
            ///
            /// # Errors
            /// If `text` is not a row of `table`.
            pub fn decode(table: Table, text: &str) -> Result<Self, serde_json::Error> {
                match table { $(Table::$table => decode(text).map(Self::$table),)* }
            }
        }

        $(impl TableRow for $body {
            const TABLE: Table = Table::$table;
            fn from_body(body: RowBody) -> Option<Self> {
                match body { RowBody::$table(row) => Some(row), _ => None }
            }
        })*
    };
}

/// The content type of one table.
pub(crate) trait TableRow: Sized {
    const TABLE: Table;

    /// Extracts this type from a row's content. Returns `None` for a row of another table.
    fn from_body(body: RowBody) -> Option<Self>;
}

row_bodies! {
    Alerts(AlertRow);
    Incidents(IncidentRow);
    Evidence(Evidence);
    Candidates(Candidate);
    Decisions(Decision);
    Plans(PlanRow);
    Runs(RunView);
    Outcomes(Outcome);
    Feedback(Feedback);
    Experiments(ExperimentRow);
    Exposures(Exposure);
    Executions(PastExecution);
    Guardrails(Guardrails);
    Stops(EmergencyStop);
}

fn encode<T: Serialize>(body: &T) -> String {
    canonical_json(body).expect("a row contains canonical values of the record and small counts")
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}
