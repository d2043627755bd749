use async_trait::async_trait;
use workflow::id::{
    AlertId, CandidateId, DecisionId, EvidenceId, ExperimentId, FeedbackId, IncidentId, OutcomeId,
    PlanId, RunId,
};
use workflow::{
    Candidate, Decision, Evidence, Feedback, Guardrails, Outcome, PastExecution, RunView,
};

use crate::port::{Listing, Page, Store, StoreError};
use crate::projection::{
    AlertRow, ExperimentRow, Exposure, IncidentRow, PlanRow, StopRow, Table, Word,
};

/// Typed questions to the projections. Lists are newest first; those about one thing hold at most [`Page::MAX`] items.
#[async_trait]
pub trait Queries: Store {
    /// Alert episodes; by status `firing`, `resolved`, `unseen`, by incident.
    async fn alerts(&self, page: &Page) -> Result<Listing<AlertRow>, StoreError> {
        list(self, page).await
    }
    /// One alert episode.
    async fn alert(&self, id: &AlertId) -> Result<Option<AlertRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Incidents; by status `open`, `closed`, `merged`.
    async fn incidents(&self, page: &Page) -> Result<Listing<IncidentRow>, StoreError> {
        list(self, page).await
    }
    /// One incident.
    async fn incident(&self, id: &IncidentId) -> Result<Option<IncidentRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Evidence of an incident.
    async fn evidence_of(&self, incident: &IncidentId) -> Result<Vec<Evidence>, StoreError> {
        all(self, Page::of_incident(incident.as_str())).await
    }
    /// One collection of evidence.
    async fn evidence(&self, id: &EvidenceId) -> Result<Option<Evidence>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Candidates proposed for an incident.
    async fn candidates_of(&self, incident: &IncidentId) -> Result<Vec<Candidate>, StoreError> {
        all(self, Page::of_incident(incident.as_str())).await
    }
    /// One candidate.
    async fn candidate(&self, id: &CandidateId) -> Result<Option<Candidate>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Decisions; by status `decided`, `planned`, by incident, by plan.
    async fn decisions(&self, page: &Page) -> Result<Listing<Decision>, StoreError> {
        list(self, page).await
    }
    /// One decision.
    async fn decision(&self, id: &DecisionId) -> Result<Option<Decision>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Plans; by [`PlanStatus`](crate::PlanStatus), by incident, by run.
    async fn plans(&self, page: &Page) -> Result<Listing<PlanRow>, StoreError> {
        list(self, page).await
    }
    /// One plan.
    async fn plan(&self, id: &PlanId) -> Result<Option<PlanRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Runs; by [`RunStatus`](workflow::RunStatus), by incident, by plan.
    async fn runs(&self, page: &Page) -> Result<Listing<RunView>, StoreError> {
        list(self, page).await
    }
    /// One run.
    async fn run(&self, id: &RunId) -> Result<Option<RunView>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Outcomes; by verdict, by incident, by plan, by run.
    async fn outcomes(&self, page: &Page) -> Result<Listing<Outcome>, StoreError> {
        list(self, page).await
    }
    /// One outcome.
    async fn outcome(&self, id: &OutcomeId) -> Result<Option<Outcome>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Feedback on a plan.
    async fn feedback_of(&self, plan: &PlanId) -> Result<Vec<Feedback>, StoreError> {
        all(self, Page::of_plan(plan.as_str())).await
    }
    /// One piece of feedback.
    async fn feedback(&self, id: &FeedbackId) -> Result<Option<Feedback>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Experiments; by status `draft`, `running`, `stopped`.
    async fn experiments(&self, page: &Page) -> Result<Listing<ExperimentRow>, StoreError> {
        list(self, page).await
    }
    /// One experiment.
    async fn experiment(&self, id: &ExperimentId) -> Result<Option<ExperimentRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Incidents exposed to an experiment. Status is the variant.
    async fn exposures_of(
        &self,
        experiment: &ExperimentId,
        page: &Page,
    ) -> Result<Listing<Exposure>, StoreError> {
        let page = Page { plan: Some(experiment.to_string()), ..page.clone() };
        list(self, &page).await
    }
    /// The exposures of an incident.
    async fn exposures(&self, incident: &IncidentId) -> Result<Vec<Exposure>, StoreError> {
        all(self, Page::of_incident(incident.as_str())).await
    }
    /// Past executions, live and imported; by verdict.
    async fn executions(&self, page: &Page) -> Result<Listing<PastExecution>, StoreError> {
        list(self, page).await
    }
    /// One past execution: the id of its run, or an imported one.
    async fn execution(&self, id: &str) -> Result<Option<PastExecution>, StoreError> {
        one(self, id).await
    }
    /// The guardrails in force.
    async fn guardrails(&self) -> Result<Option<Guardrails>, StoreError> {
        Ok(list(self, &Page { limit: 1, ..Page::default() }).await?.items.pop())
    }
    /// Every guardrails that came into force.
    async fn guardrails_history(&self, page: &Page) -> Result<Listing<Guardrails>, StoreError> {
        list(self, page).await
    }
    /// Emergency stops that hold now.
    async fn stops(&self) -> Result<Vec<StopRow>, StoreError> {
        all(self, Page { limit: Page::MAX, status: Some("stopped".into()), ..Page::default() })
            .await
    }
}

impl<S: Store + ?Sized> Queries for S {}

async fn one<W: Word, S: Store + ?Sized>(store: &S, id: &str) -> Result<Option<W>, StoreError> {
    Ok(store.row(W::TABLE, id).await?.map(|row| word(row.table, row.doc)))
}

async fn list<W: Word, S: Store + ?Sized>(
    store: &S,
    page: &Page,
) -> Result<Listing<W>, StoreError> {
    Ok(store.rows(W::TABLE, page).await?.map(|row| word(row.table, row.doc)))
}

async fn all<W: Word, S: Store + ?Sized>(store: &S, page: Page) -> Result<Vec<W>, StoreError> {
    Ok(list(store, &page).await?.items)
}

fn word<W: Word>(table: Table, doc: crate::Doc) -> W {
    W::take(doc).unwrap_or_else(|| unreachable!("a row of {table} holds what its table says"))
}
