use workflow::duration::Span;

/// The engine's waiting times.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Longest time after a run, or after a decision to do nothing, until its outcome is judged.
    pub hold: Span,
    /// How long the alert must have been quiet for the outcome to be judged before that.
    pub quiet: Span,
    /// How long after that the trouble may come back and still count against the plan.
    pub recurrence: Span,
    /// How long a workload must be healthy, unchanged, before what stands around it is remembered as known-good.
    pub healthy_for: Span,
    /// How often workloads are looked at for that.
    pub healthy_every: Span,
    /// How long evidence waits after an incident opened, so that what belongs together has time to show.
    pub gather_after: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold: Span::from_secs(600),
            quiet: Span::from_secs(30),
            recurrence: Span::from_secs(600),
            healthy_for: Span::from_secs(300),
            healthy_every: Span::from_secs(60),
            gather_after: Span::ZERO,
        }
    }
}

/// Which of the four sources propose (design D3). Do-nothing and escalate always do.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    /// Templates, in the order in which they are matched.
    pub templates: Vec<workflow::Template>,
    /// Whether past executions are searched.
    pub retrieval: bool,
    /// Whether changes since known-good are turned back.
    pub reversal: bool,
}
