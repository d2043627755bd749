//! The order of steps as a set of pairs, closed under transitivity.

use std::collections::BTreeMap;

use petgraph::algo::toposort;
use petgraph::graph::DiGraph;
use workflow::Step;

/// Which step comes before which: `before[i][j]`. Always transitively closed, never cyclic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    before: Vec<Vec<bool>>,
}

impl Order {
    /// The order that the `needs` of `steps` ask for; none if they are cyclic, name a step that is not there, or if
    /// two steps have one id.
    pub(crate) fn of(steps: &[Step]) -> Option<Self> {
        let places: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(place, step)| (step.id.as_str(), place)).collect();
        if places.len() != steps.len() {
            return None;
        }
        let mut graph = DiGraph::<usize, ()>::new();
        let nodes: Vec<_> = (0..steps.len()).map(|place| graph.add_node(place)).collect();
        let mut order = Self::empty(steps.len());
        for (place, step) in steps.iter().enumerate() {
            for need in &step.needs {
                let earlier = *places.get(need.as_str())?;
                graph.add_edge(nodes[earlier], nodes[place], ());
            }
        }
        let sorted = toposort(&graph, None).ok()?;
        for node in sorted {
            for need in &steps[graph[node]].needs {
                order.add(places[need.as_str()], graph[node]);
            }
        }
        Some(order)
    }

    /// No order at all among `count` steps.
    pub(crate) fn empty(count: usize) -> Self {
        Self { before: vec![vec![false; count]; count] }
    }

    /// How many steps there are.
    pub(crate) fn len(&self) -> usize {
        self.before.len()
    }

    /// Whether step `earlier` comes before step `later`.
    pub(crate) fn has(&self, earlier: usize, later: usize) -> bool {
        self.before[earlier][later]
    }

    /// Puts `earlier` before `later`, with all that follows from it. The caller knows that `later` is not before
    /// `earlier`.
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

    /// The steps that must end right before `later`: the transitive reduction.
    pub(crate) fn direct(&self, later: usize) -> Vec<usize> {
        let is_direct = |earlier: &usize| {
            self.has(*earlier, later)
                && !(0..self.len())
                    .any(|between| self.has(*earlier, between) && self.has(between, later))
        };
        (0..self.len()).filter(is_direct).collect()
    }

    /// All steps, earlier before later; among those that may come in any order, as they are listed.
    pub(crate) fn sorted(&self) -> Vec<usize> {
        let (mut sorted, mut is_done) = (Vec::new(), vec![false; self.len()]);
        while sorted.len() < self.len() {
            let is_next = |place: &usize| {
                !is_done[*place]
                    && (0..self.len()).all(|earlier| is_done[earlier] || !self.has(earlier, *place))
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
