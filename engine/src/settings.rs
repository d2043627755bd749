use workflow::duration::Duration;

/// Timeouts and intervals of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Time after a run, or after a decision to do nothing, at which its outcome is determined at the latest.
    pub observation_timeout: Duration,
    /// How long the alert must be resolved for the outcome to be determined earlier. An alert that fires again for this
    /// long counts as a recurrence.
    pub quiet_period: Duration,
    /// Time after the outcome within which a recurrence still counts against the plan.
    pub recurrence_window: Duration,
    /// How long a workload must be healthy and unchanged before its configuration is recorded as known-good.
    pub known_good_after: Duration,
    /// Interval of the health scans that find known-good configuration.
    pub scan_interval: Duration,
    /// Delay between the opening of an incident and the collection of its evidence, so that related alerts can arrive.
    pub evidence_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            observation_timeout: Duration::from_secs(600),
            quiet_period: Duration::from_secs(30),
            recurrence_window: Duration::from_secs(600),
            known_good_after: Duration::from_secs(300),
            scan_interval: Duration::from_secs(60),
            evidence_delay: Duration::ZERO,
        }
    }
}

/// Which sources propose candidates (design D3). Do-nothing and escalate are always proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposalSources {
    /// Templates in matching order.
    pub templates: Vec<workflow::Template>,
    /// Whether candidates are retrieved from past executions.
    pub retrieval: bool,
    /// Whether candidates revert changes since the known-good configuration.
    pub reversal: bool,
}
