//! The order of steps as a transitively closed relation.

use std::collections::BTreeSet;

use workflow::{Step, StepGraph};

/// A strict partial order of steps: `before[i][j]` means that step `i` ends before step `j` starts. Always transitively
/// closed and acyclic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    before: Vec<Vec<bool>>,
}

impl Order {
    /// Builds the order from the `needs` of `steps`. Returns `None` if the needs are cyclic or name an unknown step, or
    /// if two steps have the same id.
    pub(crate) fn of(steps: &[Step]) -> Option<Self> {
        let ids: BTreeSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        let is_known = |need: &String| ids.contains(need.as_str());
        if ids.len() != steps.len() || !steps.iter().flat_map(|step| &step.needs).all(is_known) {
            return None;
        }
        let ancestors = StepGraph::of(steps).ancestors()?;
        let before = |earlier| ancestors.iter().map(|all| all.contains(&earlier)).collect();
        Some(Self { before: (0..steps.len()).map(before).collect() })
    }

    /// Returns an order of `count` unrelated steps.
    pub(crate) fn empty(count: usize) -> Self {
        Self { before: vec![vec![false; count]; count] }
    }

    /// Number of steps.
    pub(crate) fn len(&self) -> usize {
        self.before.len()
    }

    /// Whether step `earlier` comes before step `later`.
    pub(crate) fn has(&self, earlier: usize, later: usize) -> bool {
        self.before[earlier][later]
    }

    /// Puts `earlier` before `later` and restores the transitive closure. The caller must ensure that `later` is not
    /// before `earlier`.
    pub(crate) fn add(&mut self, earlier: usize, later: usize) {
        if self.has(earlier, later) {
            return;
        }
        for a in 0..self.len() {
            if a != earlier && !self.before[a][earlier] {
                continue;
            }
            for b in 0..self.len() {
                if b == later || self.before[later][b] {
                    self.before[a][b] = true;
                }
            }
        }
    }

    /// Returns the direct predecessors of `later` (transitive reduction).
    pub(crate) fn direct(&self, later: usize) -> Vec<usize> {
        let is_direct = |earlier: &usize| {
            self.has(*earlier, later)
                && !(0..self.len())
                    .any(|between| self.has(*earlier, between) && self.has(between, later))
        };
        (0..self.len()).filter(is_direct).collect()
    }

    /// Returns all steps in topological order; unrelated steps keep their list order.
    pub(crate) fn sorted(&self) -> Vec<usize> {
        let (mut sorted, mut is_done) = (Vec::new(), vec![false; self.len()]);
        while sorted.len() < self.len() {
            let is_next = |index: &usize| {
                !is_done[*index]
                    && (0..self.len()).all(|earlier| is_done[earlier] || !self.has(earlier, *index))
            };
            let next = (0..self.len())
                .find(is_next)
                .expect("an order without cycles always has a next step");
            is_done[next] = true;
            sorted.push(next);
        }
        sorted
    }
}
