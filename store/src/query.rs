use async_trait::async_trait;
use workflow::id::{
    AlertId, CandidateId, DecisionId, EvidenceId, ExperimentId, FeedbackId, IncidentId, OutcomeId,
    PlanId, RunId,
};
use workflow::{
    Candidate, Decision, EmergencyStop, Evidence, Feedback, Guardrails, Outcome, PastExecution,
    RunView,
};

use crate::error::StoreError;
use crate::port::{ListPage, PageRequest, Store};
use crate::projection::{AlertRow, ExperimentRow, Exposure, IncidentRow, PlanRow, Table, TableRow};

/// Typed reads of the projections. Lists are newest first; lists of one entity have at most [`PageRequest::MAX`] items.
#[async_trait]
pub trait Queries: Store {
    /// Lists alert episodes. Filters: status (`firing`, `resolved`, `never-fired`), incident.
    async fn alerts(&self, page: &PageRequest) -> Result<ListPage<AlertRow>, StoreError> {
        list(self, page).await
    }
    async fn alert(&self, id: &AlertId) -> Result<Option<AlertRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists incidents. Filters: status (`open`, `closed`, `merged`).
    async fn incidents(&self, page: &PageRequest) -> Result<ListPage<IncidentRow>, StoreError> {
        list(self, page).await
    }
    async fn incident(&self, id: &IncidentId) -> Result<Option<IncidentRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists the evidence of an incident.
    async fn evidence_of(&self, incident: &IncidentId) -> Result<Vec<Evidence>, StoreError> {
        all(self, PageRequest::of_incident(incident.as_str())).await
    }
    async fn evidence(&self, id: &EvidenceId) -> Result<Option<Evidence>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists the candidates proposed for an incident.
    async fn candidates_of(&self, incident: &IncidentId) -> Result<Vec<Candidate>, StoreError> {
        all(self, PageRequest::of_incident(incident.as_str())).await
    }
    async fn candidate(&self, id: &CandidateId) -> Result<Option<Candidate>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists decisions. Filters: status (`decided`, `planned`), incident, plan.
    async fn decisions(&self, page: &PageRequest) -> Result<ListPage<Decision>, StoreError> {
        list(self, page).await
    }
    async fn decision(&self, id: &DecisionId) -> Result<Option<Decision>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists plans. Filters: status ([`PlanStatus`](workflow::PlanStatus)), incident, run.
    async fn plans(&self, page: &PageRequest) -> Result<ListPage<PlanRow>, StoreError> {
        list(self, page).await
    }
    async fn plan(&self, id: &PlanId) -> Result<Option<PlanRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists runs. Filters: status ([`RunStatus`](workflow::RunStatus)), incident, plan.
    async fn runs(&self, page: &PageRequest) -> Result<ListPage<RunView>, StoreError> {
        list(self, page).await
    }
    async fn run(&self, id: &RunId) -> Result<Option<RunView>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists outcomes. Filters: status, incident, plan, run.
    async fn outcomes(&self, page: &PageRequest) -> Result<ListPage<Outcome>, StoreError> {
        list(self, page).await
    }
    async fn outcome(&self, id: &OutcomeId) -> Result<Option<Outcome>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists the feedback on a plan.
    async fn feedback_of(&self, plan: &PlanId) -> Result<Vec<Feedback>, StoreError> {
        all(self, PageRequest::of_plan(plan.as_str())).await
    }
    async fn feedback(&self, id: &FeedbackId) -> Result<Option<Feedback>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists experiments. Filters: status (`draft`, `running`, `stopped`).
    async fn experiments(&self, page: &PageRequest) -> Result<ListPage<ExperimentRow>, StoreError> {
        list(self, page).await
    }
    async fn experiment(&self, id: &ExperimentId) -> Result<Option<ExperimentRow>, StoreError> {
        one(self, id.as_str()).await
    }
    /// Lists the exposures of an experiment. Filters: status (name of the variant), incident.
    async fn exposures_of(
        &self,
        experiment: &ExperimentId,
        page: &PageRequest,
    ) -> Result<ListPage<Exposure>, StoreError> {
        let page = PageRequest { experiment: Some(experiment.to_string()), ..page.clone() };
        list(self, &page).await
    }
    /// Lists the exposures of an incident.
    async fn exposures(&self, incident: &IncidentId) -> Result<Vec<Exposure>, StoreError> {
        all(self, PageRequest::of_incident(incident.as_str())).await
    }
    /// Lists past executions, live and imported. Filters: status.
    async fn executions(&self, page: &PageRequest) -> Result<ListPage<PastExecution>, StoreError> {
        list(self, page).await
    }
    /// Returns one past execution. `id` is the id of its run, or an imported id.
    async fn execution(&self, id: &str) -> Result<Option<PastExecution>, StoreError> {
        one(self, id).await
    }
    /// Returns the active guardrails.
    async fn guardrails(&self) -> Result<Option<Guardrails>, StoreError> {
        Ok(list(self, &PageRequest { limit: 1, ..PageRequest::default() }).await?.items.pop())
    }
    /// Lists every loaded version of the guardrails.
    async fn guardrails_history(
        &self,
        page: &PageRequest,
    ) -> Result<ListPage<Guardrails>, StoreError> {
        list(self, page).await
    }
    /// Lists the active emergency stops.
    async fn stops(&self) -> Result<Vec<EmergencyStop>, StoreError> {
        all(
            self,
            PageRequest {
                limit: PageRequest::MAX,
                status: Some("stopped".into()),
                ..PageRequest::default()
            },
        )
        .await
    }
}

impl<S: Store + ?Sized> Queries for S {}

async fn one<R: TableRow, S: Store + ?Sized>(store: &S, id: &str) -> Result<Option<R>, StoreError> {
    Ok(store.row(R::TABLE, id).await?.map(|row| decode(row.table, row.body)))
}

async fn list<R: TableRow, S: Store + ?Sized>(
    store: &S,
    page: &PageRequest,
) -> Result<ListPage<R>, StoreError> {
    Ok(store.rows(R::TABLE, page).await?.map(|row| decode(row.table, row.body)))
}

async fn all<R: TableRow, S: Store + ?Sized>(
    store: &S,
    page: PageRequest,
) -> Result<Vec<R>, StoreError> {
    Ok(list(store, &page).await?.items)
}

fn decode<R: TableRow>(table: Table, body: crate::RowBody) -> R {
    R::from_body(body).unwrap_or_else(|| unreachable!("a row of {table} has the type of its table"))
}
