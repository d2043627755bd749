//! Projections: what is folded from the record for readers, one table each.
//!
//! One implementation serves every store: `project` changes typed rows through `Rows`, and a store keeps them as it
//! likes. Every table can be dropped and rebuilt from the record.

mod alerts;
mod candidates;
mod decisions;
mod evidence;
mod executions;
mod experiments;
mod feedback;
mod guardrails;
mod incidents;
mod outcomes;
mod plans;
mod row;
mod runs;
mod stops;

use std::collections::BTreeMap;

use workflow::Entry;

use crate::port::StoreError;
use crate::record::{Record, Unreadable};

pub use alerts::AlertRow;
pub use experiments::{ExperimentRow, Exposure};
pub use incidents::IncidentRow;
pub use plans::{PlanRow, PlanStatus};
pub(crate) use row::Word;
pub use row::{Doc, Row, Table};
pub use stops::StopRow;

use row::About;

/// The rows of all projections, as a store keeps them.
pub(crate) trait Rows {
    /// The row, to be read or changed; what is changed is kept.
    fn get(&mut self, table: Table, id: &str) -> Result<Option<&mut Row>, StoreError>;

    /// Puts a row that is not there yet.
    fn put(&mut self, row: Row) -> Result<(), StoreError>;
}

/// Folds one record, which says `entry`, into the rows.
pub(crate) fn project(
    entry: &Entry,
    record: &Record,
    rows: &mut dyn Rows,
) -> Result<(), StoreError> {
    let mut change = Change { rows, record };
    let change = &mut change;
    match entry {
        Entry::EpochClaimed { .. }
        | Entry::ClockJumped { .. }
        | Entry::ObjectHealthy { .. }
        | Entry::Answered { .. } => Ok(()),
        Entry::GuardrailsLoaded(guardrails) => guardrails::loaded(change, guardrails),
        Entry::Incident(event) => {
            incidents::happened(change, event)?;
            alerts::happened(change, event)
        }
        Entry::EvidenceGathered(evidence) => evidence::gathered(change, evidence),
        Entry::Proposed { candidates, .. } => candidates::proposed(change, candidates),
        Entry::Decided(decision) => decisions::decided(change, decision),
        Entry::PlanFrozen(plan) => {
            decisions::frozen(change, plan)?;
            incidents::planned(change, plan)?;
            plans::frozen(change, plan)
        }
        Entry::PlanReviewed(review) => plans::reviewed(change, review),
        Entry::PlanWithdrawn { plan, why } => plans::withdrawn(change, plan, why),
        Entry::Run { run, event } => {
            incidents::ran(change, run, event)?;
            plans::ran(change, run, event)?;
            runs::happened(change, run, event)
        }
        Entry::Fleet(event) => stops::happened(change, event),
        Entry::Observed(outcome) => {
            incidents::observed(change, outcome)?;
            outcomes::observed(change, outcome)
        }
        Entry::FeedbackGiven(feedback) => feedback::given(change, feedback),
        Entry::Executed(execution) | Entry::HistoryImported { execution, .. } => {
            executions::ended(change, execution)
        }
        Entry::Experiment(event) => experiments::happened(change, event),
    }
}

/// What one record changes.
struct Change<'a> {
    rows: &'a mut dyn Rows,
    record: &'a Record,
}

impl Change<'_> {
    /// Makes the row `id`, or makes it anew in the place that it had.
    fn make(
        &mut self,
        id: &str,
        status: &str,
        about: About<'_>,
        doc: Doc,
    ) -> Result<(), StoreError> {
        let (table, seq) = (doc.table(), self.record.seq);
        let made = Row {
            table,
            id: id.into(),
            tenant: self.record.tenant.clone(),
            status: status.into(),
            incident: about.incident.into(),
            plan: about.plan.into(),
            run: about.run.into(),
            at: self.record.at,
            first_seq: seq,
            last_seq: seq,
            doc,
        };
        match self.rows.get(table, id)? {
            Some(row) => {
                *row = Row { at: row.at, first_seq: row.first_seq, ..made };
                Ok(())
            }
            None => self.rows.put(made),
        }
    }

    /// Changes the row `id`; says whether there is one.
    fn alter(
        &mut self,
        table: Table,
        id: &str,
        alter: impl FnOnce(&mut Row),
    ) -> Result<bool, StoreError> {
        let seq = self.record.seq;
        let row = self.rows.get(table, id)?;
        let found = row.is_some();
        if let Some(row) = row {
            row.last_seq = seq;
            alter(row);
        }
        Ok(found)
    }

    /// Reads the row `id`.
    fn look(&mut self, table: Table, id: &str) -> Result<Option<&Row>, StoreError> {
        Ok(self.rows.get(table, id)?.map(|row| &*row))
    }
}

/// Rows in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowsInMemory {
    tables: BTreeMap<Table, BTreeMap<String, Row>>,
}

impl RowsInMemory {
    pub(crate) fn table(&self, table: Table) -> impl Iterator<Item = &Row> {
        self.tables.get(&table).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn row(&self, table: Table, id: &str) -> Option<&Row> {
        self.tables.get(&table)?.get(id)
    }
}

impl Rows for RowsInMemory {
    fn get(&mut self, table: Table, id: &str) -> Result<Option<&mut Row>, StoreError> {
        Ok(self.tables.get_mut(&table).and_then(|rows| rows.get_mut(id)))
    }

    fn put(&mut self, row: Row) -> Result<(), StoreError> {
        self.tables.entry(row.table).or_default().insert(row.id.clone(), row);
        Ok(())
    }
}

/// Folds records into the rows of all projections: what a replay gives.
///
/// # Errors
/// [`Unreadable`] at the first record whose entry cannot be had.
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Vec<Row>, Unreadable> {
    let mut rows = RowsInMemory::default();
    for record in records {
        project(&record.entry()?, record, &mut rows).expect("rows in memory are always readable");
    }
    Ok(Table::ALL
        .into_iter()
        .flat_map(|table| rows.table(table).cloned().collect::<Vec<_>>())
        .collect())
}
