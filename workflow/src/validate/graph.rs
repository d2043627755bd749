//! The steps as a graph: how many, what each needs, and that nothing waits for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Code;
use super::finding::{Finding, Path, nearest, shown};
use crate::limits::Limits;
use crate::manifest::Step;

/// The findings about the graph, and, where it is one, the steps that have ended before each step begins, by position.
pub(super) fn check(
    steps: &[Step],
    path: &Path,
    limits: &Limits,
) -> (Vec<Finding>, Option<Vec<BTreeSet<usize>>>) {
    let mut findings = Vec::new();
    if steps.is_empty() {
        findings.push(Finding::error(
            Code::NoSteps,
            path.clone(),
            "the workflow has no steps",
            "add at least one step",
        ));
    }
    if steps.len() > limits.steps {
        let message = format!(
            "{} steps; more than {} are hard to follow and slow to undo",
            steps.len(),
            limits.steps
        );
        findings.push(Finding::warning(
            Code::ManySteps,
            path.index(limits.steps),
            message,
            "split the workflow",
        ));
    }
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, step) in steps.iter().enumerate() {
        positions.entry(&step.id).or_insert(position);
    }
    let mut needs: Vec<Vec<(usize, usize)>> = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        let mut edges: Vec<(usize, usize)> = Vec::new();
        for (at, need) in step.needs.iter().enumerate() {
            let path = path.index(position).key("needs").index(at);
            match positions.get(need.as_str()) {
                None => {
                    let message = format!(
                        "step `{}` needs `{}`, which is not there",
                        shown(&step.id, 64),
                        shown(need, 64)
                    );
                    findings.push(Finding::error(
                        Code::UnknownNeed,
                        path,
                        message,
                        nearest(need, positions.keys().copied()),
                    ));
                }
                Some(target) if edges.iter().any(|(known, _)| known == target) => {
                    let message =
                        format!("step `{}` needs `{}` twice", shown(&step.id, 64), shown(need, 64));
                    findings.push(Finding::warning(
                        Code::RepeatedNeed,
                        path,
                        message,
                        "name it once",
                    ));
                }
                Some(target) => edges.push((*target, at)),
            }
        }
        needs.push(edges);
    }
    let cycles = cycles(&needs);
    for cycle in &cycles {
        findings.push(named(cycle, &needs, steps, path));
    }
    let before = cycles.is_empty().then(|| ancestors(&needs));
    (findings, before)
}

/// The circles that a depth-first walk closes, each from its first step in the document, in the direction of `needs`.
fn cycles(needs: &[Vec<(usize, usize)>]) -> Vec<Vec<usize>> {
    let mut cycles = Vec::new();
    let mut is_done = vec![false; needs.len()];
    for start in 0..needs.len() {
        // The way from `start`, each step with the position of the next need to look at.
        let mut way: Vec<(usize, usize)> = Vec::new();
        if !is_done[start] {
            way.push((start, 0));
        }
        while let Some((step, next)) = way.last_mut() {
            let Some((target, _)) = needs[*step].get(*next).copied() else {
                is_done[*step] = true;
                way.pop();
                continue;
            };
            *next += 1;
            if is_done[target] {
                continue;
            }
            match way.iter().position(|(on_way, _)| *on_way == target) {
                Some(from) => {
                    let mut cycle: Vec<usize> = way[from..].iter().map(|(step, _)| *step).collect();
                    let first = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or(0);
                    cycle.rotate_left(first);
                    cycles.push(cycle);
                }
                None => way.push((target, 0)),
            }
        }
    }
    cycles
}

fn named(cycle: &[usize], needs: &[Vec<(usize, usize)>], steps: &[Step], path: &Path) -> Finding {
    let first = cycle[0];
    let second = cycle.get(1).copied().unwrap_or(first);
    let at = needs[first].iter().find(|(target, _)| *target == second).map_or(0, |(_, at)| *at);
    let names: Vec<String> =
        cycle.iter().chain([&first]).map(|step| shown(&steps[*step].id, 64)).collect();
    let message = format!("steps need one another in a circle: {}", names.join(" -> "));
    Finding::error(
        Code::Cycle,
        path.index(first).key("needs").index(at),
        message,
        "take one of these needs away",
    )
}

/// For each step, all that it needs, and what those need.
fn ancestors(needs: &[Vec<(usize, usize)>]) -> Vec<BTreeSet<usize>> {
    let mut sets: Vec<Option<BTreeSet<usize>>> = vec![None; needs.len()];
    for start in 0..needs.len() {
        let mut way = vec![start];
        while let Some(step) = way.last().copied() {
            if sets[step].is_some() {
                way.pop();
                continue;
            }
            let open = needs[step]
                .iter()
                .map(|(target, _)| *target)
                .find(|target| sets[*target].is_none());
            if let Some(open) = open {
                way.push(open);
                continue;
            }
            let mut set = BTreeSet::new();
            for (target, _) in &needs[step] {
                set.insert(*target);
                set.extend(sets[*target].iter().flatten());
            }
            sets[step] = Some(set);
            way.pop();
        }
    }
    sets.into_iter().map(Option::unwrap_or_default).collect()
}
