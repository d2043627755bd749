//! The model: everything that was learned, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workflow::id::DecisionId;
use workflow::{Digest, FeatureSchema, Features, canonical_json};

use crate::beta::Beta;
use crate::config::{BadConfig, Config};
use crate::lesson::Taught;
use crate::pace::Pace;
use crate::ridge::{CannotMerge, Ridge, add_all, dot, faded};

/// What a snapshot calls itself.
const FORMAT: &str = "chiron-model/1";
/// Snapshots above this size are not read.
const LARGEST_SNAPSHOT_BYTES: usize = 64 * 1024 * 1024;
/// Beyond this a feature is not believed: features are made to lie in [0, 1], and squares of these stay finite.
const LARGEST_FEATURE: f64 = 1e6;

/// What was learned, a pure function of schema, configuration and the lessons in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    format: String,
    schema: FeatureSchema,
    schema_digest: Digest,
    config: Config,
    /// Chained over all that was learned: two models of one lineage say the same of everything.
    lineage: Digest,
    ridge: Ridge,
    arms: BTreeMap<String, Arm>,
    actions: BTreeMap<String, Action>,
    outcomes: u64,
    pub(crate) taught: BTreeMap<DecisionId, Taught>,
    pub(crate) imported: BTreeSet<String>,
}

/// What was seen of one arm, beyond what the ridge shares among all.
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
    /// How many outcomes there were: the clock by which they fade.
    clock: u64,
}

/// What was seen of one action as a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    success: Beta,
    buckets: BTreeMap<String, Beta>,
    pace: Pace,
}

/// One outcome as it was added: enough to correct it later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Added {
    /// 1 for success, 0 for failure; in between what asking a person was worth.
    pub(crate) target: f64,
    reward: Option<f64>,
    weight: f64,
    arm_clock: u64,
    ridge_clock: u64,
}

/// Features that the model cannot read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadFeatures {
    /// They follow another schema.
    #[error("the features follow schema {found}, the model {expected}: propose the candidate anew")]
    OtherSchema {
        /// The model's.
        expected: Digest,
        /// Theirs.
        found: Digest,
    },
    /// There are too many or too few.
    #[error("there are {found} features and the schema names {expected}")]
    Length {
        /// As the schema has it.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// One is not a number, or not one to be believed.
    #[error("feature `{name}` is {value}: it must be a finite number of at most a million")]
    OutOfRange {
        /// Its name.
        name: String,
        /// Its value.
        value: f64,
    },
}

/// A snapshot that is not a model.
#[derive(Debug, thiserror::Error)]
pub enum BadModel {
    /// It is too large.
    #[error(
        "the model snapshot has {bytes} bytes, more than {LARGEST_SNAPSHOT_BYTES}: keep the last good one"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It cannot be read.
    #[error("the model snapshot cannot be read: rebuild it from the record")]
    Unreadable(#[source] serde_json::Error),
    /// It contradicts itself.
    #[error("the model snapshot is not sound ({what}): rebuild it from the record")]
    Unsound {
        /// What is wrong.
        what: &'static str,
    },
    /// Its configuration is out of range.
    #[error("the model snapshot has a configuration under which nothing can be learned")]
    Config(#[from] BadConfig),
}

impl Model {
    /// A model that has seen nothing.
    ///
    /// # Errors
    /// [`BadConfig`] naming the setting that is out of range.
    pub fn new(schema: FeatureSchema, config: Config) -> Result<Self, BadConfig> {
        config.check()?;
        let schema_digest = schema.digest();
        let written =
            canonical_json(&config).expect("a checked configuration holds finite numbers");
        Ok(Self {
            format: FORMAT.into(),
            lineage: Digest::of_all(&[
                FORMAT.as_bytes(),
                schema_digest.bytes(),
                written.as_bytes(),
            ]),
            // One more than the features: the intercept.
            ridge: Ridge::new(schema.names.len() + 1, config.penalty, config.ridge_discount),
            schema,
            schema_digest,
            config,
            arms: BTreeMap::new(),
            actions: BTreeMap::new(),
            outcomes: 0,
            taught: BTreeMap::new(),
            imported: BTreeSet::new(),
        })
    }

    /// Names this state: a digest chained over schema, configuration and every lesson in order. Costs nothing to ask.
    pub fn digest(&self) -> Digest {
        self.lineage
    }

    /// The schema that its features follow.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// Its priors and settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many outcomes, opinions and imported executions it has learned from.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// How many executions were imported, those that taught nothing among them.
    pub fn imported(&self) -> usize {
        self.imported.len()
    }

    /// The shared statistics.
    pub fn ridge(&self) -> &Ridge {
        &self.ridge
    }

    /// The arms that it has seen, each with its effective observations and successes.
    pub fn arms(&self) -> impl Iterator<Item = (&str, Beta)> {
        self.arms.iter().map(|(name, arm)| (name.as_str(), arm.seen()))
    }

    /// Its canonical bytes: equal for equal models.
    pub fn snapshot(&self) -> Vec<u8> {
        canonical_json(self).expect("a model holds finite numbers and small integers").into_bytes()
    }

    /// Reads a snapshot back.
    ///
    /// # Errors
    /// [`BadModel`] for anything that is not a whole and sound model: the caller keeps the last good one, or rebuilds.
    pub fn restore(bytes: &[u8]) -> Result<Self, BadModel> {
        let model: Self = read(bytes)?;
        model.check_sound()?;
        Ok(model)
    }

    pub(crate) fn check_sound(&self) -> Result<(), BadModel> {
        let unsound = |what| Err(BadModel::Unsound { what });
        self.config.check()?;
        let dimension = self.schema.names.len() + 1;
        let is_count = |v: f64| v.is_finite() && v >= 0.0;
        if self.format != FORMAT {
            return unsound("another format");
        }
        if self.schema_digest != self.schema.digest() {
            return unsound("its schema has another digest");
        }
        if !self.ridge.is_sound(dimension) {
            return unsound("its weights are of another size, or not finite");
        }
        let is_fine = |arm: &Arm| {
            arm.x.len() == dimension
                && arm.x.iter().all(|v| v.is_finite())
                && [arm.count, arm.successes, arm.offset, arm.resolved, arm.reward]
                    .into_iter()
                    .all(|v| v.is_finite())
        };
        if !self.arms.values().all(is_fine) {
            return unsound("an arm's statistics are of another size, or not finite");
        }
        let is_beta = |beta: &Beta| is_count(beta.successes) && is_count(beta.failures);
        let is_action = |action: &Action| {
            let pace = &action.pace;
            is_beta(&action.success)
                && action.buckets.values().all(is_beta)
                && is_count(pace.count)
                && pace.mean.is_finite()
                && is_count(pace.scatter)
        };
        if !self.actions.values().all(is_action) {
            return unsound("a step's statistics are not finite");
        }
        Ok(())
    }

    /// Checks that it can read these features.
    ///
    /// # Errors
    /// [`BadFeatures`] saying why not.
    pub fn check(&self, features: &Features) -> Result<(), BadFeatures> {
        if features.schema != self.schema_digest {
            return Err(BadFeatures::OtherSchema {
                expected: self.schema_digest,
                found: features.schema,
            });
        }
        if features.values.len() != self.schema.names.len() {
            return Err(BadFeatures::Length {
                expected: self.schema.names.len(),
                found: features.values.len(),
            });
        }
        for (name, value) in self.schema.names.iter().zip(&features.values) {
            if value.is_nan() || value.abs() > LARGEST_FEATURE {
                return Err(BadFeatures::OutOfRange { name: name.clone(), value: *value });
            }
        }
        Ok(())
    }

    /// Adds all that `other` has seen, as if one model had learned both. What each remembers of decisions is joined.
    ///
    /// # Errors
    /// [`CannotMerge`] if schema or configuration differ, or outcomes fade, for then their order counts.
    pub fn merge(&mut self, other: &Self) -> Result<(), CannotMerge> {
        if self.schema_digest != other.schema_digest {
            return Err(CannotMerge::Different { what: "feature schema" });
        }
        if self.config != other.config {
            return Err(CannotMerge::Different { what: "configuration" });
        }
        if self.config.arm_discount < 1.0 {
            return Err(CannotMerge::Discounted);
        }
        self.ridge.merge(&other.ridge)?;
        for (name, more) in &other.arms {
            self.arms.entry(name.clone()).or_default().merge(more);
        }
        for (name, more) in &other.actions {
            self.actions.entry(name.clone()).or_default().merge(more);
        }
        self.outcomes += other.outcomes;
        self.taught.extend(other.taught.iter().map(|(id, taught)| (id.clone(), taught.clone())));
        self.imported.extend(other.imported.iter().cloned());
        self.lineage = Digest::of_all(&[b"merge", self.lineage.bytes(), other.lineage.bytes()]);
        Ok(())
    }

    /// The features with the intercept behind them.
    pub(crate) fn x(features: &Features) -> Vec<f64> {
        let mut x = Vec::with_capacity(features.values.len() + 1);
        x.extend_from_slice(&features.values);
        x.push(1.0);
        x
    }

    /// The probability of success that configuration alone gives: it never changes, so the ridge can be fitted to what
    /// is left.
    pub(crate) fn offset(&self, features: &Features) -> f64 {
        if let Some(prior) = self.config.arms.get(&features.arm) {
            return *prior;
        }
        features.steps.iter().fold(self.config.right_plan, |product, step| {
            product * self.config.action(&step.action).success.mean()
        })
    }

    /// The same with all that was seen of the steps.
    pub(crate) fn prior(&self, features: &Features) -> f64 {
        if let Some(prior) = self.config.arms.get(&features.arm) {
            return *prior;
        }
        features.steps.iter().fold(self.config.right_plan, |product, step| {
            product * self.step(&step.action, &step.bucket).mean()
        })
    }

    /// Posterior of a step: the catalogue's prior, then all that was seen of the action, then of it in this bucket.
    pub(crate) fn step(&self, action: &str, bucket: &str) -> Beta {
        let prior = self.config.action(action).success;
        let Some(seen) = self.actions.get(action) else { return prior };
        let pooled = prior.and(&seen.success);
        // What is known of other buckets says what to expect here, but not as surely as outcomes here would.
        let expected =
            Beta::prior(pooled.mean(), pooled.strength().min(self.config.bucket_strength));
        expected.and(&seen.buckets.get(bucket).copied().unwrap_or_default())
    }

    /// Duration statistics of an action, if any were seen, and its prior median in seconds.
    pub(crate) fn pace(&self, action: &str) -> (Pace, f64) {
        (
            self.actions.get(action).map(|seen| seen.pace).unwrap_or_default(),
            self.config.action(action).seconds,
        )
    }

    pub(crate) fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.get(name)
    }

    /// How far an arm's outcomes lie above what the shared weights say of it, drawn to 0 while there are few.
    pub(crate) fn residual(&self, arm: &Arm) -> f64 {
        let sum = arm.successes - arm.offset - dot(self.ridge.weights(), &arm.x);
        sum / (arm.count + self.config.residual_shrinkage)
    }

    /// Adds one outcome. The features were checked.
    pub(crate) fn add(
        &mut self,
        features: &Features,
        target: f64,
        reward: Option<f64>,
        weight: f64,
        by: &str,
    ) -> Added {
        let x = Self::x(features);
        let offset = self.offset(features);
        self.ridge.add(&x, target - offset, weight);
        if !self.arms.contains_key(&features.arm) {
            self.arms.insert(features.arm.clone(), Arm::default());
        }
        let arm = self.arms.get_mut(&features.arm).expect("it was just put there");
        arm.add(&x, offset, target, reward, weight, self.config.arm_discount);
        let added = Added {
            target,
            reward,
            weight,
            arm_clock: arm.clock,
            ridge_clock: self.ridge.updates(),
        };
        self.outcomes += 1;
        self.chain("add", by, &x, &added);
        added
    }

    /// Changes what came of an outcome that was added before, exactly.
    pub(crate) fn correct(
        &mut self,
        features: &Features,
        added: &mut Added,
        target: f64,
        reward: Option<f64>,
        by: &str,
    ) {
        let x = Self::x(features);
        self.ridge.correct(&x, target - added.target, added.weight, added.ridge_clock);
        let discount = self.config.arm_discount;
        if let Some(arm) = self.arms.get_mut(&features.arm) {
            let weight = added.weight * faded(discount, arm.clock.saturating_sub(added.arm_clock));
            arm.successes += weight * (target - added.target);
            arm.reward_change(added.target, added.reward, -weight);
            arm.reward_change(target, reward, weight);
        }
        added.target = target;
        added.reward = reward;
        self.chain("correct", by, &x, added);
    }

    /// Counts what came of one step.
    pub(crate) fn add_step(
        &mut self,
        action: &str,
        bucket: &str,
        has_succeeded: bool,
        seconds: f64,
    ) {
        let discount = self.config.arm_discount;
        let seen = self.actions.entry(action.to_string()).or_default();
        seen.success.observe(has_succeeded, discount);
        seen.buckets.entry(bucket.to_string()).or_default().observe(has_succeeded, discount);
        // A step that failed was cut off at its timeout: how long it would have taken is not known.
        let is_duration = has_succeeded && seconds.is_finite() && seconds >= 0.0;
        if is_duration {
            seen.pace.observe(seconds, discount);
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

    /// Chains a change into the lineage.
    fn chain(&mut self, what: &str, by: &str, x: &[f64], added: &Added) {
        let mut numbers = Vec::with_capacity(8 * (x.len() + 3));
        for value in x.iter().chain([&added.target, &added.reward.unwrap_or(-1.0), &added.weight]) {
            numbers.extend_from_slice(&value.to_le_bytes());
        }
        self.lineage =
            Digest::of_all(&[what.as_bytes(), self.lineage.bytes(), by.as_bytes(), &[0], &numbers]);
    }
}

/// Reads a snapshot that is not too large to be one.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadModel> {
    if bytes.len() > LARGEST_SNAPSHOT_BYTES {
        return Err(BadModel::TooLarge { bytes: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(BadModel::Unreadable)
}

impl Arm {
    /// What was seen of it.
    pub(crate) fn seen(&self) -> Beta {
        Beta { successes: self.successes, failures: self.count - self.successes }
    }

    /// Mean reward of its successes, near 1 before any was seen: how quickly it resolves what it resolves.
    pub(crate) fn quickness(&self) -> f64 {
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

    /// Counts the reward of a success, or takes it back where the weight is below 0.
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
        self.pace = self.pace.and(&more.pace);
    }
}
