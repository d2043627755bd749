//! The graph of steps: which steps each step needs, its cycles, and its transitive closure.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::Step;

/// The needs of each step, as indices of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepGraph {
    needs: Vec<Vec<usize>>,
}

impl StepGraph {
    /// Builds the graph of `steps`. Ignores repeated needs and needs that name no step; of two steps with one id, the
    /// first is meant.
    pub fn of(steps: &[Step]) -> Self {
        let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
        for (position, step) in steps.iter().enumerate() {
            positions.entry(&step.id).or_insert(position);
        }
        let needs_of = |step: &Step| {
            let mut needs = Vec::new();
            for need in step.needs.iter().filter_map(|need| positions.get(need.as_str()).copied()) {
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
            needs
        };
        Self { needs: steps.iter().map(needs_of).collect() }
    }

    /// Returns the cycles that a depth-first search finds, each starting with its first step in the list, in the direction
    /// of `needs`. The graph has no cycle exactly if the result is empty.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        let mut is_done = vec![false; self.needs.len()];
        for start in 0..self.needs.len() {
            // The path from `start`: each step with the index of its next need to visit.
            let mut path: Vec<(usize, usize)> = Vec::new();
            if !is_done[start] {
                path.push((start, 0));
            }
            while let Some((step, next)) = path.last_mut() {
                let Some(target) = self.needs[*step].get(*next).copied() else {
                    is_done[*step] = true;
                    path.pop();
                    continue;
                };
                *next += 1;
                if is_done[target] {
                    continue;
                }
                match path.iter().position(|(on_path, _)| *on_path == target) {
                    Some(from) => {
                        let mut cycle: Vec<usize> =
                            path[from..].iter().map(|(step, _)| *step).collect();
                        let first = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or(0);
                        cycle.rotate_left(first);
                        cycles.push(cycle);
                    }
                    None => path.push((target, 0)),
                }
            }
        }
        cycles
    }

    /// Returns the transitive needs of each step: the steps that end before it starts. `None` if the graph has a cycle.
    pub fn ancestors(&self) -> Option<Vec<BTreeSet<usize>>> {
        if !self.cycles().is_empty() {
            return None;
        }
        let mut sets: Vec<Option<BTreeSet<usize>>> = vec![None; self.needs.len()];
        for start in 0..self.needs.len() {
            let mut path = vec![start];
            while let Some(step) = path.last().copied() {
                if sets[step].is_some() {
                    path.pop();
                    continue;
                }
                let needs = &self.needs[step];
                if let Some(unresolved) = needs.iter().find(|target| sets[**target].is_none()) {
                    path.push(*unresolved);
                    continue;
                }
                let mut set = BTreeSet::new();
                for target in needs {
                    set.insert(*target);
                    set.extend(sets[*target].iter().flatten());
                }
                sets[step] = Some(set);
                path.pop();
            }
        }
        Some(sets.into_iter().map(Option::unwrap_or_default).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(needs: &[&[usize]]) -> StepGraph {
        StepGraph { needs: needs.iter().map(|needs| needs.to_vec()).collect() }
    }

    #[test]
    fn cycles_start_with_first_step_and_exclude_steps_behind_them() {
        // Step 3 needs the cycle of 1 and 2 and is not part of it.
        let found = graph(&[&[], &[2], &[1], &[1]]);
        assert_eq!(found.cycles(), [[1, 2]]);
        assert_eq!(found.ancestors(), None);
        assert_eq!(graph(&[&[0]]).cycles(), [[0]]);
    }

    #[test]
    fn ancestors_are_transitive() {
        let diamond = graph(&[&[1, 2], &[3], &[3], &[]]);
        let sets = |sets: &[&[usize]]| -> Vec<BTreeSet<usize>> {
            sets.iter().map(|set| set.iter().copied().collect()).collect()
        };
        assert_eq!(diamond.ancestors(), Some(sets(&[&[1, 2, 3], &[3], &[3], &[]])));
        assert_eq!(graph(&[]).ancestors(), Some(Vec::new()));
    }
}
