//! Makes a frozen plan for an incident: evidence, candidates, verification, decision, optimization.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use cluster::{Cluster, Metrics};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, future, stream};
use jiff::{SignedDuration, Timestamp};
use planner::{DryRunResult, KnownGood, Neighbour, ReadLimits, ReversalMode};
use runtime::Task;
use workflow::decision::{DecisionMode, Rejection, ScoredCandidate};
use workflow::experiment::{ExperimentEvent, Treatment};
use workflow::guardrail::Autonomy;
use workflow::id::{CandidateId, DecisionId, IncidentId, PlanId};
use workflow::incident::{self, IncidentEvent, IncidentInput};
use workflow::plan::OptimizationReport;
use workflow::{
    Candidate, Catalogue, Decision, EngineResponse, Entry, ErrorCode, Estimates, Evidence,
    Incident, Mask, Plan, Refusal,
};

use crate::case::IncidentStage;
use crate::command::replan::{self, PlanRequest};
use crate::engine::{Engine, EngineError, TaskResult};
use crate::explain;

/// Input of one decision, shared by all steps of making it.
pub(crate) struct DecisionInput {
    incident: Incident,
    evidence: Evidence,
    /// Similar past executions, most similar first; empty if retrieval is off.
    neighbours: Vec<Neighbour>,
    treatment: Treatment,
    /// Version of the guardrails that were active when the evidence was recorded.
    guardrails_version: String,
    now: Timestamp,
}

/// The candidates of one decision and the results of their dry runs.
pub(crate) struct CandidateDryRuns {
    input: DecisionInput,
    candidates: Vec<Candidate>,
    /// By candidate, those that need a dry run; absent if the cluster did not reply in time.
    results: BTreeMap<CandidateId, DryRunResult>,
}

/// A decision whose chosen candidate was optimized and not yet verified again.
pub(crate) struct PlanDraft {
    input: DecisionInput,
    candidates: Vec<Candidate>,
    decision: Decision,
    chosen: Candidate,
    optimized: Candidate,
    optimization: OptimizationReport,
}

/// How long the dry runs of one decision, and the evidence that a client waits for, may take.
pub(crate) const CLUSTER_TIMEOUT: SignedDuration = SignedDuration::from_secs(20);

/// Dry runs of one decision that are sent concurrently.
const CONCURRENT_DRY_RUNS: usize = 4;

impl Engine {
    /// Starts to make the next plan for an incident: its evidence is collected in a task, and the decision follows.
    pub(crate) fn start_planning(&mut self, id: &IncidentId, request: Option<PlanRequest>) {
        let now = self.runtime.now();
        let Some(incident) = self.folds.incidents.incidents.get(id).cloned() else { return };
        // Only a client has a limit on how long it waits.
        let deadline = request.as_ref().map(|_| self.runtime.timer(now + CLUSTER_TIMEOUT));
        self.planning.insert(id.clone(), request);
        let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
        let known_good = self.folds.known_good.clone();
        let mut empty = Evidence::empty(&incident, now);
        empty.missing.push("collecting evidence failed".into());
        // If the task panics, the incident continues with empty evidence, which leads to an escalation.
        let fallback =
            TaskResult::Collected { incident: id.clone(), evidence: Some(Box::new(empty)) };
        let collect = async move {
            let id = incident.id.clone();
            let evidence = evidence(&*cluster, &*metrics, &incident, &known_good, now);
            let evidence = within(evidence, deadline).await;
            TaskResult::Collected { incident: id, evidence: evidence.map(Box::new) }
        };
        self.spawn(collect, Some(fallback));
    }

    /// Whether a plan that is being made for an incident is still needed, and the refusal for its client if not.
    fn check_still_needed(&self, id: &IncidentId) -> Result<(), Option<Refusal>> {
        match self.planning.get(id) {
            Some(Some(request)) => {
                let (cases, incidents) = (&self.folds.cases, &self.folds.incidents);
                replan::check_still_possible(cases, incidents, request, id).map_err(Some)
            }
            // The incident may have been closed or merged into another one meanwhile.
            Some(None) => {
                let stage = self.folds.cases.cases.get(id).map(|case| &case.stage);
                let is_needed = matches!(stage, Some(IncidentStage::NeedsDecision { .. }));
                if is_needed { Ok(()) } else { Err(None) }
            }
            None => Err(None),
        }
    }

    /// Starts to make a plan again if the guardrails have changed since its evidence was recorded: a candidate must be
    /// verified, chosen and frozen under one version.
    fn restarts_planning(&mut self, input: &DecisionInput) -> bool {
        if input.guardrails_version == self.folds.guardrails_version {
            return false;
        }
        let id = &input.incident.id;
        tracing::info!(incident = %id, "the guardrails changed, so planning starts again");
        let request = self.planning.remove(id).flatten();
        self.start_planning(id, request);
        true
    }

    /// Ends the making of a plan, and answers the client that requested it. Without a refusal, no plan was needed.
    fn abandon_planning(&mut self, id: &IncidentId, refusal: Option<Refusal>) {
        let refusal = refusal.unwrap_or_else(|| {
            Refusal::conflict(
                ErrorCode::NoPlan,
                "no plan was made: the evidence shows that the incident belongs to another incident, or `autonomy` is `observe`",
                "show the incident and the active guardrails",
            )
        });
        self.answer_plan_request(id, refusal.into());
    }

    fn answer_plan_request(&mut self, id: &IncidentId, response: EngineResponse) {
        let Some(Some(request)) = self.planning.remove(id) else { return };
        for reply_to in request.reply_to {
            // The client may have disconnected; its plan is made anyway.
            let _ = reply_to.send(response.clone());
        }
    }

    /// Records the entries with which the making of a plan ends. If a client requested the plan, the one that awaits approval
    /// is withdrawn in the same append: an incident without a plan would otherwise be left after an interruption.
    async fn record_last(
        &mut self,
        id: &IncidentId,
        mut entries: Vec<Entry>,
    ) -> Result<(), EngineError> {
        if let Some(Some(request)) = self.planning.get(id) {
            entries.splice(0..0, replan::superseded_plan(&self.folds.cases, request, id));
        }
        self.record(self.runtime.now(), entries).await
    }

    /// Records the evidence of an incident, proposes candidates and starts their dry runs.
    ///
    /// Only the evidence is recorded, and no plan is made, if `autonomy` is `observe` or if the evidence shows that the
    /// incident belongs to another one.
    pub(crate) async fn handle_evidence(
        &mut self,
        id: IncidentId,
        evidence: Option<Evidence>,
    ) -> Result<(), EngineError> {
        if let Err(refusal) = self.check_still_needed(&id) {
            self.abandon_planning(&id, refusal);
            return Ok(());
        }
        let Some(evidence) = evidence else {
            let refusal = Refusal::conflict(
                ErrorCode::NoEvidence,
                "evidence could not be collected from the cluster in time",
                "retry when the cluster is reachable",
            );
            self.abandon_planning(&id, Some(refusal));
            return Ok(());
        };
        let now = self.runtime.now();
        let Some(incident) = self.folds.incidents.incidents.get(&id).cloned() else {
            self.abandon_planning(&id, None);
            return Ok(());
        };
        if evidence.target.is_none() {
            tracing::warn!(incident = %id, missing = evidence.missing.join("; "), "no target object found for the incident");
        }
        let mut entries = vec![Entry::EvidenceGathered(evidence.clone())];
        let mut is_merged = false;
        if let Some(owner) = planner::evidence::owning_workload(&evidence) {
            let found = IncidentInput::OwnerFound(id.clone(), owner);
            let events = incident::decide(&self.folds.incidents, &found, now);
            is_merged = events.iter().any(|event| matches!(event, IncidentEvent::Merged { .. }));
            entries.extend(events.into_iter().map(Entry::Incident));
        }
        // If it was merged, the older incident's case continues for both.
        if is_merged || self.rules.guardrails.spec.autonomy == Autonomy::Observe {
            self.record_last(&id, entries).await?;
            self.abandon_planning(&id, None);
            return Ok(());
        }
        let treatment = self.assign_variant(&incident, now, &mut entries);
        self.record(now, entries).await?;

        let input = self.decision_input(incident, evidence, treatment, now);
        let candidates = self.propose(&input);
        let to_run = self.to_dry_run(&input, &candidates);
        let deadline = self.runtime.timer(now + CLUSTER_TIMEOUT);
        let (cluster, catalogue) = (self.cluster.clone(), self.catalogue.clone());
        let dry_run = async move {
            let results = dry_run_all(&*cluster, &catalogue, &to_run, deadline);
            // After a panic no candidate with effects is accepted, which leads to an escalation.
            let results = unless_panicked(results).await.unwrap_or_default();
            TaskResult::CandidatesDryRun(Box::new(CandidateDryRuns { input, candidates, results }))
        };
        self.spawn(dry_run, None);
        Ok(())
    }

    /// Decides among candidates that were dry-run, and starts the dry run of the optimized plan.
    pub(crate) async fn handle_candidate_dry_runs(
        &mut self,
        dry_runs: CandidateDryRuns,
    ) -> Result<(), EngineError> {
        let id = dry_runs.input.incident.id.clone();
        if let Err(refusal) = self.check_still_needed(&id) {
            self.abandon_planning(&id, refusal);
            return Ok(());
        }
        if self.restarts_planning(&dry_runs.input) {
            return Ok(());
        }
        let draft = self.choose(dry_runs);
        if !draft.needs_dry_run() {
            return self.handle_plan_dry_run(draft, Some(Ok(()))).await;
        }
        let deadline = self.runtime.timer(self.runtime.now() + CLUSTER_TIMEOUT);
        let (cluster, catalogue) = (self.cluster.clone(), self.catalogue.clone());
        let dry_run = async move {
            let result = planner::dry_run(&*cluster, &draft.optimized, &catalogue);
            let result = unless_panicked(within(result, Some(deadline))).await.flatten();
            TaskResult::PlanDryRun { draft: Box::new(draft), result }
        };
        self.spawn(dry_run, None);
        Ok(())
    }

    /// Freezes the plan of a decision and records both. If a client requested the plan with an idempotency key, the response
    /// is recorded in the same append.
    pub(crate) async fn handle_plan_dry_run(
        &mut self,
        draft: PlanDraft,
        result: Option<DryRunResult>,
    ) -> Result<(), EngineError> {
        let id = draft.input.incident.id.clone();
        if let Err(refusal) = self.check_still_needed(&id) {
            self.abandon_planning(&id, refusal);
            return Ok(());
        }
        if self.restarts_planning(&draft.input) {
            return Ok(());
        }
        let (candidates, decision, plan) = self.freeze(draft, result.as_ref());
        tracing::info!(incident = %id, plan = %plan.id, workflow = %plan.workflow.metadata.name, confidence = plan.estimates.plan.estimate, "decision made");
        let response = EngineResponse::Planned { plan: plan.id.clone() };
        let mut entries = vec![
            Entry::Proposed { incident: id.clone(), candidates },
            Entry::Decided(decision),
            Entry::PlanFrozen(plan),
        ];
        let key = self.planning.get(&id).and_then(|request| request.as_ref()?.key.clone());
        entries.extend(
            key.map(|request| Entry::RequestAnswered { request, response: response.clone() }),
        );
        self.record_last(&id, entries).await?;
        self.answer_plan_request(&id, response);
        Ok(())
    }

    /// Returns the plan that would be made for an incident now, starting with its evidence. Nothing is recorded.
    pub async fn preview_plan(&self, id: &IncidentId) -> Option<Plan> {
        let now = self.runtime.now();
        let incident = self.folds.incidents.incidents.get(id)?.clone();
        let known_good = &self.folds.known_good;
        let evidence = evidence(&*self.cluster, &*self.metrics, &incident, known_good, now).await;
        let input = self.decision_input(incident, evidence, Treatment::Baseline, now);
        let candidates = self.propose(&input);
        let deadline = Box::pin(future::pending());
        let to_run = self.to_dry_run(&input, &candidates);
        let results = dry_run_all(&*self.cluster, &self.catalogue, &to_run, deadline).await;
        let draft = self.choose(CandidateDryRuns { input, candidates, results });
        let result = match draft.needs_dry_run() {
            true => planner::dry_run(&*self.cluster, &draft.optimized, &self.catalogue).await,
            false => Ok(()),
        };
        Some(self.freeze(draft, Some(&result)).2)
    }

    fn decision_input(
        &self,
        incident: Incident,
        evidence: Evidence,
        treatment: Treatment,
        now: Timestamp,
    ) -> DecisionInput {
        let neighbours = if self.sources.retrieval {
            planner::neighbours(&evidence, &self.folds.retrieval)
        } else {
            Vec::new()
        };
        let guardrails_version = self.folds.guardrails_version.clone();
        DecisionInput { incident, evidence, neighbours, treatment, guardrails_version, now }
    }

    /// Chooses among candidates that were dry-run, and optimizes the chosen one.
    fn choose(&self, dry_runs: CandidateDryRuns) -> PlanDraft {
        let CandidateDryRuns { input, candidates, results } = dry_runs;
        let model = self.folds.learner.model();
        let estimates: Vec<(CandidateId, Estimates)> = candidates
            .iter()
            .map(|candidate| (candidate.id.clone(), learner::estimate(model, &candidate.features)))
            .collect();
        let mask = self.mask(&input, &candidates, &results);
        let decision = self.decide(&input, &candidates, &estimates, &mask);
        let chosen = candidates
            .iter()
            .find(|candidate| candidate.id == decision.chosen)
            .expect("a policy chooses among the candidates")
            .clone();
        let before = learner::estimate(model, &chosen.features);
        let (workflow, optimization) =
            optimizer::optimize(chosen.workflow.clone(), &before, &self.rules.catalogue);
        let optimized = Candidate { workflow, ..chosen.clone() };
        PlanDraft { input, candidates, decision, chosen, optimized, optimization }
    }

    /// Returns the incident's treatment, and assigns it a variant of a running experiment before its first decision.
    fn assign_variant(
        &self,
        incident: &Incident,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Treatment {
        let experiments = &self.folds.experiments;
        let case = self.folds.cases.cases.get(&incident.id);
        let (id, name) = match case.and_then(|case| case.exposure.clone()) {
            Some(exposure) => exposure,
            // An incident with earlier decisions cannot join an experiment that started later.
            None if case.is_some_and(|case| case.attempts() > 0) => return Treatment::Baseline,
            None => {
                let Some(experiment) = experiments.running(&incident.first.name) else {
                    return Treatment::Baseline;
                };
                let variant = experiment.variant(&incident.id).name.clone();
                entries.push(Entry::Experiment(ExperimentEvent::Exposed {
                    id: experiment.id.clone(),
                    incident: incident.id.clone(),
                    variant: variant.clone(),
                    at: now,
                }));
                (experiment.id.clone(), variant)
            }
        };
        let variants = experiments.experiments.get(&id).map(|experiment| &experiment.variants);
        variants
            .and_then(|variants| variants.iter().find(|variant| variant.name == name))
            .map_or(Treatment::Baseline, |variant| variant.treatment.clone())
    }

    fn propose(&self, input: &DecisionInput) -> Vec<Candidate> {
        let excluded = match &input.treatment {
            Treatment::WithoutTemplates { templates } => templates.as_slice(),
            Treatment::Baseline | Treatment::Policy { .. } | Treatment::Sources { .. } => &[],
        };
        let templates: Vec<_> = self
            .sources
            .templates
            .iter()
            .filter(|template| !excluded.contains(&template.metadata.name))
            .cloned()
            .collect();
        let sources = planner::CandidateSources {
            templates: &templates,
            neighbours: &input.neighbours,
            reversal: if self.sources.reversal { ReversalMode::On } else { ReversalMode::Off },
            corrections: &self.folds.corrections,
        };
        let mut candidates = planner::propose(&input.evidence, &sources, &self.rules.catalogue);
        if let Treatment::Sources { sources } = &input.treatment {
            candidates.retain(|candidate| {
                !candidate.source.has_effects()
                    || sources.iter().any(|source| source == candidate.source.as_str())
            });
        }
        candidates
    }

    /// Returns the candidates that must not be chosen whatever the cluster replies: tried before on this incident, or beyond
    /// its number of runs.
    fn rejections_before_dry_run(&self, input: &DecisionInput, candidates: &[Candidate]) -> Mask {
        let case = self.folds.cases.cases.get(&input.incident.id);
        let runs = case.map_or(0, |case| case.runs);
        let rejected = |candidate: &Candidate| {
            let is_tried =
                case.is_some_and(|case| case.tried_plans.contains(&candidate.content_digest()));
            match (candidate.source.has_effects(), is_tried) {
                (true, true) => Some(rejection(
                    ErrorCode::AlreadyTried,
                    "the same plan was tried for this incident before",
                )),
                (true, false) if runs >= self.rules.guardrails.spec.max_runs_per_incident => {
                    Some(rejection(
                        ErrorCode::TooManyRuns,
                        "the incident has reached `maxRunsPerIncident` of the guardrails",
                    ))
                }
                // Doing nothing is tried once at most; escalation is always possible.
                (false, true) if candidate.source == workflow::Source::DoNothing => {
                    Some(rejection(
                        ErrorCode::AlreadyTried,
                        "doing nothing was tried before and the incident did not resolve",
                    ))
                }
                (true | false, _) => None,
            }
        };
        candidates
            .iter()
            .filter_map(|candidate| Some((candidate.id.clone(), rejected(candidate)?)))
            .collect()
    }

    /// Returns the candidates that need a dry run: those with effects that are not rejected without one.
    fn to_dry_run(&self, input: &DecisionInput, candidates: &[Candidate]) -> Vec<Candidate> {
        let rejected = self.rejections_before_dry_run(input, candidates);
        let needs = |candidate: &&Candidate| {
            candidate.source.has_effects() && !rejected.contains_key(&candidate.id)
        };
        candidates.iter().filter(needs).cloned().collect()
    }

    /// Returns the candidates that must not be chosen: rejected before their dry run, or by the verifier after it.
    fn mask(
        &self,
        input: &DecisionInput,
        candidates: &[Candidate],
        results: &BTreeMap<CandidateId, DryRunResult>,
    ) -> Mask {
        let mut mask = self.rejections_before_dry_run(input, candidates);
        for candidate in candidates {
            if !candidate.source.has_effects() || mask.contains_key(&candidate.id) {
                continue;
            }
            let result = results.get(&candidate.id);
            if let Err(rejection) = self.verify(input, candidate, result) {
                mask.insert(candidate.id.clone(), rejection);
            }
        }
        mask
    }

    /// Verifies a candidate with the result of its dry run; it is absent if the cluster did not reply in time.
    fn verify(
        &self,
        input: &DecisionInput,
        candidate: &Candidate,
        result: Option<&DryRunResult>,
    ) -> Result<(), Rejection> {
        let Some(result) = result else {
            return Err(rejection(ErrorCode::DryRunTimeout, "the dry run timed out"));
        };
        planner::verify(
            candidate,
            &input.evidence,
            &self.rules.guardrails,
            self.fleet.change_log(),
            &self.rules.catalogue,
            result,
            input.now,
        )
    }

    fn decide(
        &self,
        input: &DecisionInput,
        candidates: &[Candidate],
        estimates: &[(CandidateId, Estimates)],
        mask: &Mask,
    ) -> Decision {
        let DecisionInput { incident, neighbours, treatment, now, .. } = input;
        let case = self.folds.cases.cases.get(&incident.id);
        let attempt = case.map_or(1, |case| case.attempts() + 1);
        let id = DecisionId::derive(*now, incident.id.as_str(), u64::from(attempt));
        let treatment_policy = match treatment {
            Treatment::Policy { policy } => learner::policy(policy),
            Treatment::Baseline
            | Treatment::Sources { .. }
            | Treatment::WithoutTemplates { .. } => None,
        };
        let policy = treatment_policy.as_deref().unwrap_or(&*self.policy);
        let seed = workflow::seed::seed(&format!("decision/{}", self.seed), incident.id.as_str());
        let seed = workflow::seed::seed(&workflow::seed::to_hex(&seed), &attempt.to_string());
        let choice = policy.decide(estimates, mask, seed).expect("escalation is never masked");
        let scored =
            candidates.iter().zip(estimates).map(|(candidate, (_, estimates))| ScoredCandidate {
                candidate: candidate.id.clone(),
                arm: candidate.features.arm.clone(),
                source: candidate.source.as_str().into(),
                workflow: candidate.workflow.metadata.name.clone(),
                features: candidate.features.clone(),
                estimates: estimates.clone(),
                rejection: mask.get(&candidate.id).cloned(),
                propensity: choice.propensity(&candidate.id),
            });
        Decision {
            incident: incident.id.clone(),
            fingerprint: incident.first.fingerprint.clone(),
            at: *now,
            exposure: case.and_then(|case| case.exposure.clone()),
            schema: planner::schema().digest(),
            candidates: scored.collect(),
            propensity: choice.propensity(&choice.chosen),
            chosen: choice.chosen,
            policy: policy.name().into(),
            policy_digest: policy.digest(),
            model: self.folds.learner.model().digest(),
            seed: workflow::seed::to_hex(&seed),
            random_draw: choice.draw,
            mode: DecisionMode::Live,
            retrieved: neighbours.iter().map(|neighbour| neighbour.execution.clone()).collect(),
            attempt,
            id,
        }
    }

    /// Verifies the optimized candidate and freezes it; if it is rejected, the chosen candidate as it was proposed. The
    /// confidence is estimated for the frozen plan.
    fn freeze(
        &self,
        draft: PlanDraft,
        result: Option<&DryRunResult>,
    ) -> (Vec<Candidate>, Decision, Plan) {
        let is_valid =
            !draft.needs_dry_run() || self.verify(&draft.input, &draft.optimized, result).is_ok();
        let PlanDraft { input, candidates, decision, chosen, optimized, optimization } = draft;
        let (candidate, optimization) =
            if is_valid { (optimized, optimization) } else { (chosen, Default::default()) };
        let DecisionInput { incident, evidence, neighbours, now, .. } = &input;
        let catalogue = &self.rules.catalogue;
        let features = planner::features(
            &candidate.workflow,
            &candidate.source,
            evidence,
            catalogue,
            neighbours,
        );
        let estimates = learner::estimate(self.folds.learner.model(), &features);
        let guardrails_version = self.rules.guardrails.version();
        let model = self.folds.learner.model();
        let explanation = explain::explanation(&candidate, evidence, &decision, model);
        let plan = Plan {
            id: PlanId::derive(*now, decision.id.as_str(), 0),
            digest: Plan::digest_of(
                &incident.id,
                &candidate.workflow,
                &candidate.targets,
                &guardrails_version,
            ),
            incident: incident.id.clone(),
            guardrails_version,
            decision: decision.id.clone(),
            estimates,
            features,
            explanation,
            optimization,
            attempt: decision.attempt,
            needs_approval: self.needs_approval(&input, &candidate),
            created_at: *now,
            candidate: candidate.id,
            source: candidate.source,
            targets: candidate.targets,
            workflow: candidate.workflow,
        };
        (candidates, decision, plan)
    }

    /// Returns why the plan needs approval, if it does.
    fn needs_approval(&self, input: &DecisionInput, candidate: &Candidate) -> Option<String> {
        if !candidate.source.has_effects() {
            return None;
        }
        let steps = &candidate.workflow.spec.steps;
        planner::needs_approval(
            steps,
            &input.evidence,
            &self.rules.guardrails,
            self.fleet.change_log(),
            &self.rules.catalogue,
            input.now,
        )
    }
}

impl PlanDraft {
    /// Whether the optimizer changed a candidate with effects, so that it must be verified again.
    fn needs_dry_run(&self) -> bool {
        self.chosen.source.has_effects() && self.optimized.workflow != self.chosen.workflow
    }
}

/// Collects evidence of an incident within the default read limits.
async fn evidence(
    cluster: &dyn Cluster,
    metrics: &dyn Metrics,
    incident: &Incident,
    known_good: &KnownGood,
    now: Timestamp,
) -> Evidence {
    let limits = ReadLimits::default();
    planner::evidence::collect(cluster, metrics, incident, known_good, &limits, now).await
}

/// Dry-runs candidates, and returns the results of those that ended before the deadline.
async fn dry_run_all(
    cluster: &dyn Cluster,
    catalogue: &Catalogue,
    candidates: &[Candidate],
    deadline: Task,
) -> BTreeMap<CandidateId, DryRunResult> {
    let dry_run = |candidate: &Candidate| {
        let (candidate, id) = (candidate.clone(), candidate.id.clone());
        async move { (id, planner::dry_run(cluster, &candidate, catalogue).await) }.boxed()
    };
    let dry_runs: Vec<BoxFuture<'_, _>> = candidates.iter().map(dry_run).collect();
    stream::iter(dry_runs)
        .buffer_unordered(CONCURRENT_DRY_RUNS)
        .take_until(deadline)
        .collect()
        .await
}

/// Returns the result of `call`, or `None` if it panicked.
pub(crate) async fn unless_panicked<T>(call: impl Future<Output = T>) -> Option<T> {
    let result = AssertUnwindSafe(call).catch_unwind().await;
    if result.is_err() {
        tracing::error!("a task beside the engine's loop panicked");
    }
    result.ok()
}

/// Returns the result of `call`, or `None` if the deadline comes first.
pub(crate) async fn within<T>(call: impl Future<Output = T>, deadline: Option<Task>) -> Option<T> {
    let Some(deadline) = deadline else { return Some(call.await) };
    match future::select(std::pin::pin!(call), deadline).await {
        future::Either::Left((result, _)) => Some(result),
        future::Either::Right(((), _)) => None,
    }
}

fn rejection(code: ErrorCode, message: &str) -> Rejection {
    Rejection { code, message: message.into(), step: None, hint: String::new() }
}
