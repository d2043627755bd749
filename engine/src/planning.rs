//! Makes a frozen plan for an incident: evidence, candidates, verification, decision, optimization.

use std::collections::BTreeMap;

use cluster::{Cluster, Metrics};
use jiff::Timestamp;
use planner::{KnownGood, Neighbour, ReadLimits, ReversalMode};
use workflow::decision::{DecisionMode, Rejection, ScoredCandidate};
use workflow::experiment::{ExperimentEvent, Treatment};
use workflow::guardrail::Autonomy;
use workflow::id::{CandidateId, DecisionId, IncidentId, PlanId};
use workflow::incident::{self, IncidentInput};
use workflow::{
    Candidate, Decision, EngineResponse, Entry, Estimates, Evidence, Incident, Mask, Plan,
    RequestKey,
};

use crate::engine::{Engine, EngineError};
use crate::explain;

/// Input of one decision, shared by all steps of making it.
struct DecisionInput {
    incident: Incident,
    evidence: Evidence,
    /// Similar past executions, most similar first; empty if retrieval is off.
    neighbours: Vec<Neighbour>,
    treatment: Treatment,
    now: Timestamp,
}

impl Engine {
    /// Collects evidence of an incident inline and makes the next decision on it.
    pub(crate) async fn plan(&mut self, id: &IncidentId) -> Result<(), EngineError> {
        let now = self.time.now();
        let Some(incident) = self.folds.incidents.incidents.get(id).cloned() else { return Ok(()) };
        let evidence = self.evidence(&incident, now).await;
        self.plan_on(evidence, None).await?;
        Ok(())
    }

    /// Makes the next decision on an incident with this evidence and freezes the chosen plan. If a client requested the plan
    /// with an idempotency key, the response is recorded in the same append.
    ///
    /// Only the evidence is recorded, and no plan is made, if `autonomy` is `observe` or if the evidence shows that the
    /// incident belongs to another one.
    pub(crate) async fn plan_on(
        &mut self,
        evidence: Evidence,
        request: Option<RequestKey>,
    ) -> Result<Option<PlanId>, EngineError> {
        let now = self.time.now();
        let id = &evidence.incident.clone();
        let Some(incident) = self.folds.incidents.incidents.get(id).cloned() else {
            return Ok(None);
        };
        if evidence.target.is_none() {
            tracing::warn!(incident = %id, missing = evidence.missing.join("; "), "no target object found for the incident");
        }
        let mut entries = vec![Entry::EvidenceGathered(evidence.clone())];
        if let Some(owner) = planner::evidence::owning_workload(&evidence) {
            let events = incident::decide(
                &self.folds.incidents,
                &IncidentInput::OwnerFound(id.clone(), owner),
                now,
            );
            let is_merged =
                events.iter().any(|event| matches!(event, incident::IncidentEvent::Merged { .. }));
            entries.extend(events.into_iter().map(Entry::Incident));
            if is_merged {
                // The older incident's case continues for both.
                self.record(now, entries).await?;
                return Ok(None);
            }
        }
        if self.rules.guardrails.spec.autonomy == Autonomy::Observe {
            self.record(now, entries).await?;
            return Ok(None);
        }
        let treatment = self.assign_variant(&incident, now, &mut entries);
        self.record(now, entries).await?;

        let input = self.decision_input(incident, evidence, treatment, now);
        let (candidates, decision, plan) = self.choose(&input).await;
        tracing::info!(incident = %id, plan = %plan.id, workflow = %plan.workflow.metadata.name, confidence = plan.confidence.estimate, "decision made");
        let plan_id = plan.id.clone();
        let mut entries = vec![
            Entry::Proposed { incident: id.clone(), candidates },
            Entry::Decided(decision),
            Entry::PlanFrozen(plan),
        ];
        entries.extend(request.map(|request| {
            let answer = EngineResponse::Planned { plan: plan_id.clone() };
            Entry::RequestAnswered { request, response: answer }
        }));
        self.record(now, entries).await?;
        Ok(Some(plan_id))
    }

    /// Returns the plan that would be made for an incident now, starting with its evidence. Nothing is recorded.
    pub async fn preview_plan(&self, id: &IncidentId) -> Option<Plan> {
        let now = self.time.now();
        let incident = self.folds.incidents.incidents.get(id)?.clone();
        let evidence = self.evidence(&incident, now).await;
        let input = self.decision_input(incident, evidence, Treatment::Baseline, now);
        Some(self.choose(&input).await.2)
    }

    pub(crate) async fn evidence(&self, incident: &Incident, now: Timestamp) -> Evidence {
        evidence(&*self.cluster, &*self.metrics, incident, &self.folds.known_good, now).await
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
        DecisionInput { incident, evidence, neighbours, treatment, now }
    }

    /// Returns the candidates, the decision among them, and the frozen plan of the chosen candidate.
    async fn choose(&self, input: &DecisionInput) -> (Vec<Candidate>, Decision, Plan) {
        let candidates = self.propose(input);
        let model = self.folds.learner.model();
        let estimates: Vec<(CandidateId, Estimates)> = candidates
            .iter()
            .map(|candidate| (candidate.id.clone(), learner::estimate(model, &candidate.features)))
            .collect();
        let mask = self.mask(input, &candidates).await;
        let decision = self.decide(input, &candidates, &estimates, &mask);
        let chosen = candidates
            .iter()
            .find(|candidate| candidate.id == decision.chosen)
            .expect("a policy chooses among the candidates")
            .clone();
        let plan = self.freeze(input, chosen, &decision).await;
        (candidates, decision, plan)
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
            None if case.is_some_and(|case| case.attempt > 0) => return Treatment::Baseline,
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

    /// Returns the candidates that must not be chosen: rejected by the verifier, or tried before on this incident.
    async fn mask(&self, input: &DecisionInput, candidates: &[Candidate]) -> Mask {
        let mut mask = BTreeMap::new();
        let case = self.folds.cases.cases.get(&input.incident.id);
        let runs = case.map_or(0, |case| case.runs);
        for candidate in candidates {
            if !candidate.source.has_effects() {
                // Doing nothing is tried once at most; escalation is always possible.
                let is_tried =
                    case.is_some_and(|case| case.tried_plans.contains(&candidate.content_digest()));
                if candidate.source == workflow::Source::DoNothing && is_tried {
                    mask.insert(
                        candidate.id.clone(),
                        rejection(
                            "already_tried",
                            "doing nothing was tried before and the incident did not resolve",
                        ),
                    );
                }
                continue;
            }
            let rejected = if case
                .is_some_and(|case| case.tried_plans.contains(&candidate.content_digest()))
            {
                Some(rejection("already_tried", "the same plan was tried for this incident before"))
            } else if runs >= self.rules.guardrails.spec.max_runs_per_incident {
                Some(rejection(
                    "too_many_runs",
                    "the incident has reached `maxRunsPerIncident` of the guardrails",
                ))
            } else if mask.values().any(|rejection: &Rejection| rejection.code == DRY_RUN_TIMEOUT) {
                // A cluster that did not answer the dry run of one candidate is not asked for the next.
                Some(dry_run_timeout())
            } else {
                self.verify(input, candidate).await.err()
            };
            if let Some(rejection) = rejected {
                mask.insert(candidate.id.clone(), rejection);
            }
        }
        mask
    }

    async fn verify(&self, input: &DecisionInput, candidate: &Candidate) -> Result<(), Rejection> {
        let dry_run = planner::dry_run(&*self.cluster, candidate, &self.rules.catalogue);
        let Some(replies) = self.with_timeout(dry_run).await else {
            return Err(dry_run_timeout());
        };
        planner::verify(
            candidate,
            &input.evidence,
            &self.rules.guardrails,
            self.fleet.change_log(),
            &self.rules.catalogue,
            &replies,
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
        let attempt = case.map_or(1, |case| case.attempt + 1);
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

    /// Optimizes the chosen candidate, verifies it again and freezes it. The confidence is estimated for the frozen plan.
    async fn freeze(&self, input: &DecisionInput, chosen: Candidate, decision: &Decision) -> Plan {
        let DecisionInput { incident, evidence, neighbours, now, .. } = input;
        let catalogue = &self.rules.catalogue;
        let before = learner::estimate(self.folds.learner.model(), &chosen.features);
        let (workflow, optimization) =
            optimizer::optimize(chosen.workflow.clone(), &before, catalogue);
        let optimized = Candidate { workflow, ..chosen.clone() };
        // The optimized workflow must pass the same verifier; otherwise the original candidate is used.
        let is_valid = !chosen.source.has_effects() || self.verify(input, &optimized).await.is_ok();
        let (candidate, optimization) =
            if is_valid { (optimized, optimization) } else { (chosen, Default::default()) };
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
        let explanation = explain::explanation(&candidate, evidence, decision, model);
        Plan {
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
            confidence: estimates.plan,
            steps: estimates.steps.clone(),
            estimates,
            features,
            explanation,
            optimization,
            attempt: decision.attempt,
            needs_approval: self.needs_approval(input, &candidate),
            created_at: *now,
            candidate: candidate.id,
            source: candidate.source,
            targets: candidate.targets,
            workflow: candidate.workflow,
        }
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

/// Collects evidence of an incident within the default read limits.
pub(crate) async fn evidence(
    cluster: &dyn Cluster,
    metrics: &dyn Metrics,
    incident: &Incident,
    known_good: &KnownGood,
    now: Timestamp,
) -> Evidence {
    let limits = ReadLimits::default();
    planner::evidence::collect(cluster, metrics, incident, known_good, &limits, now).await
}

const DRY_RUN_TIMEOUT: &str = "dry_run_timeout";

fn dry_run_timeout() -> Rejection {
    rejection(DRY_RUN_TIMEOUT, "the dry run timed out")
}

fn rejection(code: &str, message: &str) -> Rejection {
    Rejection { code: code.into(), message: message.into(), step: None, hint: String::new() }
}
