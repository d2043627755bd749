//! Checks the step graph: number of steps, unknown needs, cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Code;
use super::finding::{Finding, Path, suggest, truncated};
use crate::limits::Limits;
use crate::manifest::Step;
use crate::step_graph::StepGraph;

/// Checks the step graph. If it has no cycle, also returns for each step the indices of the steps that end before it starts.
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
            "{} steps; workflows with more than {} are hard to follow and slow to roll back",
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
    for (position, step) in steps.iter().enumerate() {
        let mut targets: BTreeSet<usize> = BTreeSet::new();
        for (at, need) in step.needs.iter().enumerate() {
            let path = path.index(position).key("needs").index(at);
            match positions.get(need.as_str()) {
                None => {
                    let message = format!(
                        "step `{}` needs the unknown step `{}`",
                        truncated(&step.id, 64),
                        truncated(need, 64)
                    );
                    findings.push(Finding::error(
                        Code::UnknownNeed,
                        path,
                        message,
                        suggest(need, positions.keys().copied()),
                    ));
                }
                Some(target) if !targets.insert(*target) => {
                    let message = format!(
                        "step `{}` lists the need `{}` twice",
                        truncated(&step.id, 64),
                        truncated(need, 64)
                    );
                    findings.push(Finding::warning(
                        Code::RepeatedNeed,
                        path,
                        message,
                        "remove one of the two",
                    ));
                }
                Some(_) => {}
            }
        }
    }
    let graph = StepGraph::of(steps);
    findings.extend(graph.cycles().iter().map(|cycle| cycle_finding(cycle, steps, path)));
    (findings, graph.ancestors())
}

fn cycle_finding(cycle: &[usize], steps: &[Step], path: &Path) -> Finding {
    let first = cycle[0];
    let second = cycle.get(1).copied().unwrap_or(first);
    let at = steps[first].needs.iter().position(|need| *need == steps[second].id).unwrap_or(0);
    let names: Vec<String> =
        cycle.iter().chain([&first]).map(|step| truncated(&steps[*step].id, 64)).collect();
    let message = format!("the step graph has a cycle: {}", names.join(" -> "));
    Finding::error(
        Code::Cycle,
        path.index(first).key("needs").index(at),
        message,
        "remove one of these needs",
    )
}
