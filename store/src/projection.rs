//! Projections: read models folded from the record, one table each.
//!
//! One implementation serves every store: `project` updates typed rows through `Rows`, and each store persists them in
//! its own way. Every table can be dropped and rebuilt from the record.

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

use crate::error::StoreError;
use crate::record::{EntryError, Record};

pub use alerts::AlertRow;
pub use experiments::{ExperimentRow, Exposure};
pub use incidents::IncidentRow;
pub use plans::PlanRow;
pub(crate) use row::TableRow;
pub use row::{Row, RowBody, Table};

use row::RowLinks;

/// Storage for the rows of all projections.
pub(crate) trait Rows {
    /// Returns a row for reading or updating. Updates made through the reference are persisted.
    fn get(&mut self, table: Table, id: &str) -> Result<Option<&mut Row>, StoreError>;

    /// Inserts a row whose key does not exist yet.
    fn put(&mut self, row: Row) -> Result<(), StoreError>;
}

/// Folds one record into the rows. `entry` is the decoded payload of `record`.
pub(crate) fn project(
    entry: &Entry,
    record: &Record,
    rows: &mut dyn Rows,
) -> Result<(), StoreError> {
    let mut tx = ProjectionTx { rows, record };
    let tx = &mut tx;
    match entry {
        Entry::EpochClaimed { .. }
        | Entry::ClockJumped { .. }
        | Entry::ObjectHealthy { .. }
        | Entry::RequestAnswered { .. } => Ok(()),
        Entry::GuardrailsLoaded(guardrails) => guardrails::apply_guardrails(tx, guardrails),
        Entry::Incident(event) => {
            incidents::apply_incident(tx, event)?;
            alerts::apply_incident(tx, event)
        }
        Entry::EvidenceGathered(evidence) => evidence::apply_evidence(tx, evidence),
        Entry::Proposed { candidates, .. } => candidates::apply_candidates(tx, candidates),
        Entry::Decided(decision) => decisions::apply_decision(tx, decision),
        Entry::PlanFrozen(plan) => {
            decisions::apply_plan(tx, plan)?;
            incidents::apply_plan(tx, plan)?;
            plans::apply_plan(tx, plan)
        }
        Entry::PlanReviewed(review) => plans::fold(tx, &review.plan, entry),
        Entry::PlanWithdrawn { plan, .. } => plans::fold(tx, plan, entry),
        Entry::Run { run, event } => {
            incidents::apply_run(tx, run, event)?;
            plans::apply_run(tx, run, event, entry)?;
            runs::apply_run(tx, run, event)
        }
        Entry::Fleet(event) => stops::apply_fleet(tx, event),
        Entry::Observed(outcome) => {
            incidents::apply_outcome(tx, outcome)?;
            outcomes::apply_outcome(tx, outcome)
        }
        Entry::FeedbackGiven(feedback) => feedback::apply_feedback(tx, feedback),
        Entry::Executed(execution) | Entry::HistoryImported { execution, .. } => {
            executions::apply_execution(tx, execution)
        }
        Entry::Experiment(event) => experiments::apply_experiment(tx, event),
    }
}

/// The update of all projections by one record.
struct ProjectionTx<'a> {
    rows: &'a mut dyn Rows,
    record: &'a Record,
}

impl ProjectionTx<'_> {
    /// Inserts the row `id`, or replaces it. A replaced row keeps its creation time and list position.
    fn upsert(
        &mut self,
        id: &str,
        status: &str,
        links: RowLinks<'_>,
        body: RowBody,
    ) -> Result<(), StoreError> {
        let (table, seq) = (body.table(), self.record.seq);
        let created = Row {
            table,
            id: id.into(),
            status: status.into(),
            incident: links.incident.into(),
            plan: links.plan.into(),
            run: links.run.into(),
            experiment: links.experiment.into(),
            at: self.record.at,
            first_seq: seq,
            last_seq: seq,
            body,
        };
        match self.rows.get(table, id)? {
            Some(row) => {
                *row = Row { at: row.at, first_seq: row.first_seq, ..created };
                Ok(())
            }
            None => self.rows.put(created),
        }
    }

    /// Updates the row `id`. Returns whether it exists.
    fn update(
        &mut self,
        table: Table,
        id: &str,
        update: impl FnOnce(&mut Row),
    ) -> Result<bool, StoreError> {
        let seq = self.record.seq;
        let row = self.rows.get(table, id)?;
        let found = row.is_some();
        if let Some(row) = row {
            row.last_seq = seq;
            update(row);
        }
        Ok(found)
    }

    /// Returns the row `id`, if it exists.
    fn get(&mut self, table: Table, id: &str) -> Result<Option<&Row>, StoreError> {
        Ok(self.rows.get(table, id)?.map(|row| &*row))
    }
}

/// Rows kept in memory.
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

/// Folds records into the rows of all projections.
///
/// # Errors
/// [`EntryError`] at the first record whose entry cannot be decoded.
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Vec<Row>, EntryError> {
    let mut rows = RowsInMemory::default();
    for record in records {
        project(&record.entry()?, record, &mut rows).expect("rows in memory never fail to load");
    }
    Ok(Table::ALL
        .into_iter()
        .flat_map(|table| rows.table(table).cloned().collect::<Vec<_>>())
        .collect())
}
