//! From an incident to a frozen plan: evidence, candidates, verification, decision, optimisation.

use std::collections::BTreeMap;

use cluster::{Cluster, Metrics};
use jiff::Timestamp;
use planner::{KnownGood, Neighbour, ReadLimits, Reversal};
use workflow::decision::{Considered, DecisionMode, Refusal};
use workflow::experiment::{ExperimentEvent, Treatment};
use workflow::guardrail::Autonomy;
use workflow::id::{CandidateId, DecisionId, IncidentId, PlanId};
use workflow::incident::{self, IncidentInput};
use workflow::{
    Answer, Candidate, Decision, Entry, Estimates, Evidence, Incident, Mask, Plan, RequestKey,
};

use crate::engine::{Engine, Failure};
use crate::explaining;

/// What one decision is about: gathered once, looked at by every step of making it.
struct Question {
    incident: Incident,
    evidence: Evidence,
    /// Past executions that were like this, nearest first; empty where retrieval is off.
    neighbours: Vec<Neighbour>,
    treatment: Treatment,
    now: Timestamp,
}

impl Engine {
    /// Gathers evidence of an incident at once, and makes the next decision on it.
    pub(crate) async fn plan(&mut self, id: &IncidentId) -> Result<(), Failure> {
        let now = self.time.now();
        let Some(incident) = self.folds.incidents.incidents.get(id).cloned() else { return Ok(()) };
        let evidence = self.evidence(&incident, now).await;
        self.plan_on(evidence, None).await?;
        Ok(())
    }

    /// Makes the next decision on an incident, on this evidence of it, and freezes the plan that it chose; where somebody
    /// asked for it under a key, that is answered in the same append. No plan is made under `autonomy: observe`, and none
    /// where the evidence shows that the incident belongs to another one: the evidence is recorded, and that is all.
    pub(crate) async fn plan_on(
        &mut self,
        evidence: Evidence,
        request: Option<RequestKey>,
    ) -> Result<Option<PlanId>, Failure> {
        let now = self.time.now();
        let id = &evidence.incident.clone();
        let Some(incident) = self.folds.incidents.incidents.get(id).cloned() else {
            return Ok(None);
        };
        if evidence.target.is_none() {
            tracing::warn!(incident = %id, gaps = evidence.gaps.join("; "), "no object was found that the incident is about");
        }
        let mut entries = vec![Entry::EvidenceGathered(evidence.clone())];
        if let Some(owner) = planner::evidence::owner(&evidence) {
            let found = incident::decide(
                &self.folds.incidents,
                &IncidentInput::OwnerFound(id.clone(), owner),
                now,
            );
            let is_merged =
                found.iter().any(|event| matches!(event, incident::IncidentEvent::Merged { .. }));
            entries.extend(found.into_iter().map(Entry::Incident));
            if is_merged {
                // The older incident's case carries on for both.
                self.record(now, entries).await?;
                return Ok(None);
            }
        }
        if self.rules.guardrails.spec.autonomy == Autonomy::Observe {
            self.record(now, entries).await?;
            return Ok(None);
        }
        let treatment = self.expose(&incident, now, &mut entries);
        self.record(now, entries).await?;

        let question = self.question(incident, evidence, treatment, now);
        let (candidates, decision, plan) = self.choose(&question).await;
        tracing::info!(incident = %id, plan = %plan.id, workflow = %plan.workflow.metadata.name, confidence = plan.confidence.estimate, "decided");
        let planned = plan.id.clone();
        let mut entries = vec![
            Entry::Proposed { incident: id.clone(), candidates },
            Entry::Decided(decision),
            Entry::PlanFrozen(plan),
        ];
        entries.extend(request.map(|request| {
            let answer = Answer::Planned { plan: planned.clone() };
            Entry::Answered { request, answer }
        }));
        self.record(now, entries).await?;
        Ok(Some(planned))
    }

    /// The plan that would be made for an incident now, from its evidence on. Nothing is recorded, and nothing follows.
    pub async fn rehearse(&self, id: &IncidentId) -> Option<Plan> {
        let now = self.time.now();
        let incident = self.folds.incidents.incidents.get(id)?.clone();
        let evidence = self.evidence(&incident, now).await;
        let question = self.question(incident, evidence, Treatment::Baseline, now);
        Some(self.choose(&question).await.2)
    }

    pub(crate) async fn evidence(&self, incident: &Incident, now: Timestamp) -> Evidence {
        evidence(&*self.cluster, &*self.metrics, incident, &self.folds.known_good, now).await
    }

    fn question(
        &self,
        incident: Incident,
        evidence: Evidence,
        treatment: Treatment,
        now: Timestamp,
    ) -> Question {
        let neighbours = if self.sources.retrieval {
            planner::neighbours(&evidence, &self.folds.retrieval)
        } else {
            Vec::new()
        };
        Question { incident, evidence, neighbours, treatment, now }
    }

    /// Candidates, the decision among them, and the plan that the chosen one is frozen as.
    async fn choose(&self, question: &Question) -> (Vec<Candidate>, Decision, Plan) {
        let candidates = self.propose(question);
        let model = self.folds.learner.model();
        let estimates: Vec<(CandidateId, Estimates)> = candidates
            .iter()
            .map(|candidate| (candidate.id.clone(), learner::estimate(model, &candidate.features)))
            .collect();
        let mask = self.mask(question, &candidates).await;
        let decision = self.decide(question, &candidates, &estimates, &mask);
        let chosen = candidates
            .iter()
            .find(|candidate| candidate.id == decision.chosen)
            .expect("a policy chooses among the candidates")
            .clone();
        let plan = self.freeze(question, chosen, &decision).await;
        (candidates, decision, plan)
    }

    /// Exposes the incident to a running experiment, once, before anything is decided for it.
    fn expose(&self, incident: &Incident, now: Timestamp, entries: &mut Vec<Entry>) -> Treatment {
        let experiments = &self.folds.experiments;
        let case = self.folds.cases.cases.get(&incident.id);
        let (id, name) = match case.and_then(|case| case.exposure.clone()) {
            Some(exposed) => exposed,
            // What was decided untreated is no part of an experiment that began in the middle of it.
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

    fn propose(&self, question: &Question) -> Vec<Candidate> {
        let without = match &question.treatment {
            Treatment::WithoutTemplates { templates } => templates.as_slice(),
            Treatment::Baseline | Treatment::Policy { .. } | Treatment::Sources { .. } => &[],
        };
        let templates: Vec<_> = self
            .sources
            .templates
            .iter()
            .filter(|template| !without.contains(&template.metadata.name))
            .cloned()
            .collect();
        let sources = planner::Sources {
            templates: &templates,
            neighbours: &question.neighbours,
            reversal: if self.sources.reversal { Reversal::On } else { Reversal::Off },
            demonstrations: &self.folds.demonstrations,
        };
        let mut candidates = planner::propose(&question.evidence, &sources, &self.rules.catalogue);
        if let Treatment::Sources { sources } = &question.treatment {
            candidates.retain(|candidate| {
                !candidate.source.acts()
                    || sources.iter().any(|word| word == candidate.source.word())
            });
        }
        candidates
    }

    /// Which candidates may not be chosen: refused by the verifier, or tried before on this incident.
    async fn mask(&self, question: &Question, candidates: &[Candidate]) -> Mask {
        let mut mask = BTreeMap::new();
        let case = self.folds.cases.cases.get(&question.incident.id);
        let runs = case.map_or(0, |case| case.runs);
        for candidate in candidates {
            if !candidate.source.acts() {
                // Waiting once more is no plan; asking a person always is.
                let is_waited = case.is_some_and(|case| case.tried.contains(&candidate.deed()));
                if candidate.source == workflow::Source::DoNothing && is_waited {
                    mask.insert(
                        candidate.id.clone(),
                        refusal("already_tried", "the incident was watched before and did not end"),
                    );
                }
                continue;
            }
            let refused = if case.is_some_and(|case| case.tried.contains(&candidate.deed())) {
                Some(refusal("already_tried", "it was decided on for this incident before"))
            } else if runs >= self.rules.guardrails.spec.max_runs_per_incident {
                Some(refusal(
                    "too_many_runs",
                    "the incident has had as many runs as the guardrails allow",
                ))
            } else if mask.values().any(|refusal: &Refusal| refusal.code == UNANSWERED) {
                // Who did not answer for one candidate is not waited for with the next.
                Some(unanswered())
            } else {
                self.verify(question, candidate).await.err()
            };
            if let Some(refused) = refused {
                mask.insert(candidate.id.clone(), refused);
            }
        }
        mask
    }

    async fn verify(&self, question: &Question, candidate: &Candidate) -> Result<(), Refusal> {
        let asked = planner::dry_run(&*self.cluster, candidate, &self.rules.catalogue);
        let Some(replies) = self.patiently(asked).await else {
            return Err(unanswered());
        };
        planner::verify(
            candidate,
            &question.evidence,
            &self.rules.guardrails,
            self.fleet.ledger(),
            &self.rules.catalogue,
            &replies,
            question.now,
        )
    }

    fn decide(
        &self,
        question: &Question,
        candidates: &[Candidate],
        estimates: &[(CandidateId, Estimates)],
        mask: &Mask,
    ) -> Decision {
        let Question { incident, neighbours, treatment, now, .. } = question;
        let case = self.folds.cases.cases.get(&incident.id);
        let attempt = case.map_or(1, |case| case.attempt + 1);
        let id = DecisionId::derive(*now, incident.id.as_str(), u64::from(attempt));
        let treated = match treatment {
            Treatment::Policy { policy } => learner::policy(policy),
            Treatment::Baseline
            | Treatment::Sources { .. }
            | Treatment::WithoutTemplates { .. } => None,
        };
        let policy = treated.as_deref().unwrap_or(&*self.policy);
        let seed = workflow::seed::seed(&format!("decision/{}", self.seed), incident.id.as_str());
        let seed = workflow::seed::seed(&workflow::seed::written(&seed), &attempt.to_string());
        let choice = policy.decide(estimates, mask, seed).expect("asking a person is never masked");
        let options =
            candidates.iter().zip(estimates).map(|(candidate, (_, estimates))| Considered {
                candidate: candidate.id.clone(),
                arm: candidate.features.arm.clone(),
                source: candidate.source.word().into(),
                workflow: candidate.workflow.metadata.name.clone(),
                features: candidate.features.clone(),
                estimates: estimates.clone(),
                refused: mask.get(&candidate.id).cloned(),
                propensity: choice.propensity(&candidate.id),
            });
        Decision {
            incident: incident.id.clone(),
            fingerprint: incident.first.fingerprint.clone(),
            at: *now,
            exposure: case.and_then(|case| case.exposure.clone()),
            schema: planner::schema().digest(),
            options: options.collect(),
            propensity: choice.propensity(&choice.chosen),
            chosen: choice.chosen,
            policy: policy.name().into(),
            policy_digest: policy.digest(),
            model: self.folds.learner.model().digest(),
            seed: workflow::seed::written(&seed),
            draw: choice.draw,
            mode: DecisionMode::Live,
            retrieved: neighbours.iter().map(|neighbour| neighbour.execution.clone()).collect(),
            attempt,
            id,
        }
    }

    /// Optimises the chosen candidate, verifies it again, and freezes it. Its confidence is asked anew, of what is frozen.
    async fn freeze(&self, question: &Question, chosen: Candidate, decision: &Decision) -> Plan {
        let Question { incident, evidence, neighbours, now, .. } = question;
        let catalogue = &self.rules.catalogue;
        let before = learner::estimate(self.folds.learner.model(), &chosen.features);
        let (workflow, account) = optimizer::optimize(chosen.workflow.clone(), &before, catalogue);
        let optimised = Candidate { workflow, ..chosen.clone() };
        // What the optimizer made must stand up to the same verifier; if it does not, the candidate stays as it was.
        let is_sound = !chosen.source.acts() || self.verify(question, &optimised).await.is_ok();
        let (candidate, account) =
            if is_sound { (optimised, account) } else { (chosen, Default::default()) };
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
        let explanation = explaining::explanation(&candidate, evidence, decision, model);
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
            account,
            attempt: decision.attempt,
            needs_approval: self.needs_approval(question, &candidate),
            created_at: *now,
            candidate: candidate.id,
            source: candidate.source,
            targets: candidate.targets,
            workflow: candidate.workflow,
        }
    }

    /// Why the plan does not run by itself, if it does not.
    fn needs_approval(&self, question: &Question, candidate: &Candidate) -> Option<String> {
        if !candidate.source.acts() {
            return None;
        }
        let steps = &candidate.workflow.spec.steps;
        planner::needs_approval(
            steps,
            &question.evidence,
            &self.rules.guardrails,
            self.fleet.ledger(),
            &self.rules.catalogue,
            question.now,
        )
    }
}

/// Gathers evidence of an incident, within the bounds of what is read for one.
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

const UNANSWERED: &str = "dry_run_unanswered";

fn unanswered() -> Refusal {
    refusal(UNANSWERED, "the cluster did not say in time whether it would take it")
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal { code: code.into(), message: message.into(), step: None, hint: String::new() }
}
