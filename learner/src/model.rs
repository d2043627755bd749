//! The model: everything that the learner has learned, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workflow::id::DecisionId;
use workflow::outcome::ObservationWindow;
use workflow::{Digest, FeatureSchema, Features, canonical_json};

use crate::beta::Beta;
use crate::config::{Config, InvalidLearnerConfig};
use crate::duration::DurationStats;
use crate::ridge::{MergeError, Ridge, add_all, decay, dot};

/// Format name in a snapshot.
const FORMAT: &str = "chiron-model/1";
/// Maximum size of a snapshot that is read.
const MAX_SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;
/// Maximum absolute value of a feature. Features are in [0, 1] by construction; this bound keeps their squares finite.
const MAX_FEATURE: f64 = 1e6;

/// The trained model: a pure function of the schema, the configuration and the sequence of observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    format: String,
    schema: FeatureSchema,
    schema_digest: Digest,
    config: Config,
    /// Digest chained over all observations. Models with the same lineage give the same estimates.
    lineage: Digest,
    ridge: Ridge,
    arms: BTreeMap<String, Arm>,
    actions: BTreeMap<String, Action>,
    outcomes: u64,
    pub(crate) credited: BTreeMap<DecisionId, Credited>,
    pub(crate) imported: BTreeSet<String>,
}

/// Statistics of one arm, in addition to the ridge statistics that all arms share. `w` is the weight of an outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Arm {
    /// Σ w.
    pub(crate) count: f64,
    /// Σ w y.
    pub(crate) successes: f64,
    /// Σ w times the prior of each outcome's features.
    offset: f64,
    /// Σ w x.
    x: Vec<f64>,
    /// Σ w over successes whose reward is known.
    resolved: f64,
    /// Σ w reward over the same.
    reward: f64,
    /// Number of outcomes, used as the clock of the discount.
    clock: u64,
}

/// Statistics of one action as a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    success: Beta,
    buckets: BTreeMap<String, Beta>,
    duration: DurationStats,
}

/// An outcome as it was added, with what is needed to correct it later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddedOutcome {
    /// 1 for success, 0 for failure, in between for an incident that an operator resolved.
    pub(crate) target: f64,
    reward: Option<f64>,
    weight: f64,
    arm_clock: u64,
    ridge_clock: u64,
}

/// Features that do not match the model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidFeatures {
    /// The features follow another schema.
    #[error(
        "the features follow schema {found}, but the model uses {expected}: propose the candidate again"
    )]
    SchemaMismatch { expected: Digest, found: Digest },
    /// The number of features is wrong.
    #[error("found {found} features, but the schema has {expected}")]
    Length { expected: usize, found: usize },
    /// A feature is NaN or too large.
    #[error(
        "feature `{name}` is {value}: it must be a finite number between -1,000,000 and 1,000,000"
    )]
    OutOfRange { name: String, value: f64 },
}

/// A snapshot that cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum InvalidModel {
    /// The snapshot is too large.
    #[error(
        "the model snapshot has {bytes} bytes, more than the maximum of {MAX_SNAPSHOT_BYTES}: rebuild it from the record"
    )]
    TooLarge { bytes: usize },
    /// The snapshot is not valid JSON of this format.
    #[error("the model snapshot cannot be parsed: rebuild it from the record")]
    Parse(#[source] serde_json::Error),
    /// The parts of the snapshot contradict each other.
    #[error("the model snapshot is inconsistent ({problem}): rebuild it from the record")]
    Inconsistent { problem: &'static str },
    /// The configuration in the snapshot is out of range.
    #[error("the model snapshot has an invalid configuration")]
    Config(#[from] InvalidLearnerConfig),
}

/// What the model has learned from one decision: used to ignore duplicates and to correct earlier observations exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credited {
    pub(crate) stage: Option<ObservationWindow>,
    pub(crate) outcome: Option<AddedOutcome>,
    pub(crate) ratings: BTreeMap<String, AddedOutcome>,
}

impl Model {
    /// Creates an untrained model.
    ///
    /// # Errors
    /// [`InvalidLearnerConfig`] with the first setting that is out of range.
    pub fn new(schema: FeatureSchema, config: Config) -> Result<Self, InvalidLearnerConfig> {
        config.check()?;
        let schema_digest = schema.digest();
        let written =
            canonical_json(&config).expect("a checked configuration contains only finite numbers");
        Ok(Self {
            format: FORMAT.into(),
            lineage: Digest::of_all(&[
                FORMAT.as_bytes(),
                schema_digest.bytes(),
                written.as_bytes(),
            ]),
            // One more dimension than features, for the intercept.
            ridge: Ridge::new(schema.names.len() + 1, config.penalty, config.ridge_discount),
            schema,
            schema_digest,
            config,
            arms: BTreeMap::new(),
            actions: BTreeMap::new(),
            outcomes: 0,
            credited: BTreeMap::new(),
            imported: BTreeSet::new(),
        })
    }

    /// Returns the digest of this state, chained over the schema, the configuration and every observation in order.
    pub fn digest(&self) -> Digest {
        self.lineage
    }

    /// Returns the schema of the features.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// Returns the priors and settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the number of outcomes, ratings and imported executions that the model has learned from.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Returns the number of imported executions, including those with an unknown outcome.
    pub fn imported(&self) -> usize {
        self.imported.len()
    }

    /// Returns the ridge statistics that all arms share.
    pub fn ridge(&self) -> &Ridge {
        &self.ridge
    }

    /// Returns the observed arms, each with its effective successes and failures.
    pub fn arms(&self) -> impl Iterator<Item = (&str, Beta)> {
        self.arms.iter().map(|(name, arm)| (name.as_str(), arm.counts()))
    }

    /// Returns the canonical serialization. Equal models have equal bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        canonical_json(self)
            .expect("a model contains only finite numbers and small integers")
            .into_bytes()
    }

    /// Restores a model from a snapshot.
    ///
    /// # Errors
    /// [`InvalidModel`] if the bytes are not a complete and consistent snapshot. The caller keeps its last valid model,
    /// or rebuilds it from the record.
    pub fn restore(bytes: &[u8]) -> Result<Self, InvalidModel> {
        let model: Self = read(bytes)?;
        model.check_valid()?;
        Ok(model)
    }

    pub(crate) fn check_valid(&self) -> Result<(), InvalidModel> {
        let inconsistent = |problem| Err(InvalidModel::Inconsistent { problem });
        self.config.check()?;
        let dimension = self.schema.names.len() + 1;
        let is_count = |v: f64| v.is_finite() && v >= 0.0;
        if self.format != FORMAT {
            return inconsistent("unknown format");
        }
        if self.schema_digest != self.schema.digest() {
            return inconsistent("the schema does not match its digest");
        }
        if !self.ridge.is_valid(dimension) {
            return inconsistent("the ridge statistics have the wrong size or are not finite");
        }
        let is_fine = |arm: &Arm| {
            arm.x.len() == dimension
                && arm.x.iter().all(|v| v.is_finite())
                && [arm.count, arm.successes, arm.offset, arm.resolved, arm.reward]
                    .into_iter()
                    .all(|v| v.is_finite())
        };
        if !self.arms.values().all(is_fine) {
            return inconsistent("the statistics of an arm have the wrong size or are not finite");
        }
        let is_beta = |beta: &Beta| is_count(beta.successes) && is_count(beta.failures);
        let is_action = |action: &Action| {
            let duration = &action.duration;
            is_beta(&action.success)
                && action.buckets.values().all(is_beta)
                && is_count(duration.count)
                && duration.mean.is_finite()
                && is_count(duration.m2)
        };
        if !self.actions.values().all(is_action) {
            return inconsistent("the statistics of a step are not finite");
        }
        Ok(())
    }

    /// Checks that features follow the schema and are in range.
    ///
    /// # Errors
    /// [`InvalidFeatures`] with the first problem.
    pub fn check(&self, features: &Features) -> Result<(), InvalidFeatures> {
        if features.schema != self.schema_digest {
            return Err(InvalidFeatures::SchemaMismatch {
                expected: self.schema_digest,
                found: features.schema,
            });
        }
        if features.values.len() != self.schema.names.len() {
            return Err(InvalidFeatures::Length {
                expected: self.schema.names.len(),
                found: features.values.len(),
            });
        }
        for (name, value) in self.schema.names.iter().zip(&features.values) {
            if value.is_nan() || value.abs() > MAX_FEATURE {
                return Err(InvalidFeatures::OutOfRange { name: name.clone(), value: *value });
            }
        }
        Ok(())
    }

    /// Adds the observations of `other`, as if one model had learned both. The pending decisions are joined too.
    ///
    /// # Errors
    /// [`MergeError`] if the schemas or configurations differ, or if outcomes are discounted, because the result then
    /// depends on their order.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.schema_digest != other.schema_digest {
            return Err(MergeError::Different { what: "feature schema" });
        }
        if self.config != other.config {
            return Err(MergeError::Different { what: "configuration" });
        }
        if self.config.arm_discount < 1.0 {
            return Err(MergeError::Discounted);
        }
        self.ridge.merge(&other.ridge)?;
        for (name, more) in &other.arms {
            self.arms.entry(name.clone()).or_default().merge(more);
        }
        for (name, more) in &other.actions {
            self.actions.entry(name.clone()).or_default().merge(more);
        }
        self.outcomes += other.outcomes;
        self.credited
            .extend(other.credited.iter().map(|(id, credited)| (id.clone(), credited.clone())));
        self.imported.extend(other.imported.iter().cloned());
        self.lineage = Digest::of_all(&[b"merge", self.lineage.bytes(), other.lineage.bytes()]);
        Ok(())
    }

    /// Returns the feature vector with the intercept appended.
    pub(crate) fn x(features: &Features) -> Vec<f64> {
        let mut x = Vec::with_capacity(features.values.len() + 1);
        x.extend_from_slice(&features.values);
        x.push(1.0);
        x
    }

    /// Returns the success probability according to the configured priors alone. It never changes, so the ridge
    /// regression can be fitted to the difference.
    pub(crate) fn offset(&self, features: &Features) -> f64 {
        if let Some(prior) = self.config.arms.get(&features.arm) {
            return *prior;
        }
        features.steps.iter().fold(self.config.plan_success_prior, |product, step| {
            product * self.config.action(&step.action).success.mean()
        })
    }

    /// Returns the success probability according to the priors and the observed steps.
    pub(crate) fn prior(&self, features: &Features) -> f64 {
        if let Some(prior) = self.config.arms.get(&features.arm) {
            return *prior;
        }
        features.steps.iter().fold(self.config.plan_success_prior, |product, step| {
            product * self.step(&step.action, &step.bucket).mean()
        })
    }

    /// Returns the posterior of a step: the catalogue's prior, updated with all outcomes of the action, then with those
    /// in this bucket.
    pub(crate) fn step(&self, action: &str, bucket: &str) -> Beta {
        let prior = self.config.action(action).success;
        let Some(observed) = self.actions.get(action) else { return prior };
        let pooled = prior.and(&observed.success);
        // Outcomes in other buckets are weaker evidence than outcomes in this bucket, so their strength is capped.
        let expected =
            Beta::prior(pooled.mean(), pooled.strength().min(self.config.bucket_strength));
        expected.and(&observed.buckets.get(bucket).copied().unwrap_or_default())
    }

    /// Returns the duration statistics of an action, empty if there are none, and its prior median in seconds.
    pub(crate) fn duration(&self, action: &str) -> (DurationStats, f64) {
        (
            self.actions.get(action).map(|observed| observed.duration).unwrap_or_default(),
            self.config.action(action).seconds,
        )
    }

    pub(crate) fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.get(name)
    }

    /// Returns the mean residual of an arm: its outcomes less the predictions of the shared weights, shrunk towards 0
    /// while there are few.
    pub(crate) fn residual(&self, arm: &Arm) -> f64 {
        let sum = arm.successes - arm.offset - dot(self.ridge.weights(), &arm.x);
        sum / (arm.count + self.config.residual_shrinkage)
    }

    /// Adds one outcome. The caller has checked the features.
    pub(crate) fn add(
        &mut self,
        features: &Features,
        target: f64,
        reward: Option<f64>,
        weight: f64,
        id: &str,
    ) -> AddedOutcome {
        let x = Self::x(features);
        let offset = self.offset(features);
        self.ridge.add(&x, target - offset, weight);
        if !self.arms.contains_key(&features.arm) {
            self.arms.insert(features.arm.clone(), Arm::default());
        }
        let arm = self.arms.get_mut(&features.arm).expect("the arm was inserted above");
        arm.add(&x, offset, target, reward, weight, self.config.arm_discount);
        let added = AddedOutcome {
            target,
            reward,
            weight,
            arm_clock: arm.clock,
            ridge_clock: self.ridge.updates(),
        };
        self.outcomes += 1;
        self.chain("add", id, &x, &added);
        added
    }

    /// Replaces the target and reward of an outcome that was added before. The result is exact.
    pub(crate) fn correct(
        &mut self,
        features: &Features,
        added: &mut AddedOutcome,
        target: f64,
        reward: Option<f64>,
        id: &str,
    ) {
        let x = Self::x(features);
        self.ridge.correct(&x, target - added.target, added.weight, added.ridge_clock);
        let discount = self.config.arm_discount;
        if let Some(arm) = self.arms.get_mut(&features.arm) {
            let weight = added.weight * decay(discount, arm.clock.saturating_sub(added.arm_clock));
            arm.successes += weight * (target - added.target);
            arm.reward_change(added.target, added.reward, -weight);
            arm.reward_change(target, reward, weight);
        }
        added.target = target;
        added.reward = reward;
        self.chain("correct", id, &x, added);
    }

    /// Adds the outcome of one step.
    pub(crate) fn add_step(
        &mut self,
        action: &str,
        bucket: &str,
        has_succeeded: bool,
        seconds: f64,
    ) {
        let discount = self.config.arm_discount;
        let observed = self.actions.entry(action.to_string()).or_default();
        observed.success.observe(has_succeeded, discount);
        observed.buckets.entry(bucket.to_string()).or_default().observe(has_succeeded, discount);
        // A failed step may have been stopped by its timeout, so its true duration is unknown.
        let is_duration = has_succeeded && seconds.is_finite() && seconds >= 0.0;
        if is_duration {
            observed.duration.observe(seconds, discount);
        }
        let flags = [u8::from(has_succeeded), u8::from(is_duration)];
        let seconds = if is_duration { seconds } else { 0.0 };
        let parts: [&[u8]; 8] = [
            b"step",
            self.lineage.bytes(),
            action.as_bytes(),
            &[0],
            bucket.as_bytes(),
            &[0],
            &flags,
            &seconds.to_le_bytes(),
        ];
        self.lineage = Digest::of_all(&parts);
    }

    /// Updates the lineage digest with a change.
    fn chain(&mut self, what: &str, id: &str, x: &[f64], added: &AddedOutcome) {
        let mut numbers = Vec::with_capacity(8 * (x.len() + 3));
        for value in x.iter().chain([&added.target, &added.reward.unwrap_or(-1.0), &added.weight]) {
            numbers.extend_from_slice(&value.to_le_bytes());
        }
        self.lineage =
            Digest::of_all(&[what.as_bytes(), self.lineage.bytes(), id.as_bytes(), &[0], &numbers]);
    }
}

/// Parses a snapshot of at most [`MAX_SNAPSHOT_BYTES`].
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidModel> {
    if bytes.len() > MAX_SNAPSHOT_BYTES {
        return Err(InvalidModel::TooLarge { bytes: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(InvalidModel::Parse)
}

impl Arm {
    /// Returns the effective successes and failures of the arm.
    pub(crate) fn counts(&self) -> Beta {
        Beta { successes: self.successes, failures: self.count - self.successes }
    }

    /// Returns the mean reward of the successes, which measures how quickly the arm resolves incidents. Starts at 1.
    pub(crate) fn speed_score(&self) -> f64 {
        const STRENGTH: f64 = 2.0;
        (STRENGTH + self.reward) / (STRENGTH + self.resolved)
    }

    fn add(
        &mut self,
        x: &[f64],
        offset: f64,
        target: f64,
        reward: Option<f64>,
        weight: f64,
        discount: f64,
    ) {
        if self.x.is_empty() {
            self.x = vec![0.0; x.len()];
        }
        if discount < 1.0 {
            for value in [
                &mut self.count,
                &mut self.successes,
                &mut self.offset,
                &mut self.resolved,
                &mut self.reward,
            ] {
                *value *= discount;
            }
            self.x.iter_mut().for_each(|value| *value *= discount);
        }
        self.count += weight;
        self.successes += weight * target;
        self.offset += weight * offset;
        for (sum, value) in self.x.iter_mut().zip(x) {
            *sum += weight * value;
        }
        self.reward_change(target, reward, weight);
        self.clock += 1;
    }

    /// Adds the reward of a success, or removes it if the weight is negative.
    fn reward_change(&mut self, target: f64, reward: Option<f64>, weight: f64) {
        if let (true, Some(reward)) = (target > 0.0, reward) {
            self.resolved += weight;
            self.reward += weight * reward;
        }
    }

    fn merge(&mut self, more: &Self) {
        if self.x.is_empty() {
            self.x = vec![0.0; more.x.len()];
        }
        add_all(&mut self.x, &more.x);
        self.count += more.count;
        self.successes += more.successes;
        self.offset += more.offset;
        self.resolved += more.resolved;
        self.reward += more.reward;
        self.clock += more.clock;
    }
}

impl Action {
    fn merge(&mut self, more: &Self) {
        self.success = self.success.and(&more.success);
        for (bucket, beta) in &more.buckets {
            let here = self.buckets.entry(bucket.clone()).or_default();
            *here = here.and(beta);
        }
        self.duration = self.duration.and(&more.duration);
    }
}
