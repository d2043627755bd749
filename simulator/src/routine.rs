//! What happens again and again in a world.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::duration::Span;

use crate::chance::Chance;
use crate::file::{BadFile, WorldFile};
use crate::names::{Names, filled, plain, typed};
use crate::queue::Wake;
use crate::scenario::{Fault, Wanted, deed};
use crate::script::Deed;
use crate::world::World;

/// What happens again and again, each time to the next workload of an order that the seed draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Routine {
    /// How often.
    pub every: Span,
    /// When it happens first, counted from the start of the world.
    pub first: Span,
    /// What a workload must have to get its turn.
    #[serde(default)]
    pub target: Wanted,
    /// What happens, each `at` counted from the turn. `$(target.PART)` is a part of the workload whose turn it is; other
    /// symbols are those of the world.
    pub deeds: Vec<Fault>,
}

/// A routine as one world follows it: the deeds of every turn, in order.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    every: Span,
    turns: Vec<Vec<(Span, Deed)>>,
}

/// The routines of a world, and which turn each takes next, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routines {
    bound: Arc<Vec<Bound>>,
    next: Vec<(Timestamp, usize)>,
}

impl Routines {
    /// When each routine has its next turn, and which.
    pub(crate) fn next(&self) -> &[(Timestamp, usize)] {
        &self.next
    }
}

impl World {
    /// Takes up the routines of `file`, whose symbols outside them are filled with `names`.
    pub(crate) fn take_up(&mut self, file: &WorldFile, names: &Names) -> Result<(), BadFile> {
        let mut bound = Vec::new();
        for (i, routine) in file.spec.routines.iter().enumerate() {
            let place = format!("spec.routines[{i}]");
            let turns = self.turns(routine, names).map_err(|error| match error {
                BadFile::Nonsense { reason, place: inner, .. } => {
                    file.nonsense(&place, &format!("{inner}: {reason}"))
                }
                other @ (BadFile::Unreadable { .. } | BadFile::Kind { .. }) => other,
            })?;
            if turns.is_empty() {
                return Err(file.nonsense(&place, "no workload of the world has what it needs"));
            }
            bound.push(Bound { every: routine.every, turns });
        }
        // Whose turn comes first depends on the seed and on the place of the routine, and on nothing else.
        for (i, routine) in bound.iter_mut().enumerate() {
            let mut chance = Chance::new("routine", &format!("{}/{i}", self.id));
            for last in (1..routine.turns.len()).rev() {
                routine.turns.swap(last, chance.below(last as u64 + 1) as usize);
            }
        }
        let firsts = file.spec.routines.iter().map(|routine| self.now + routine.first.signed());
        self.routines.next = firsts.map(|first| (first, 0)).collect();
        self.routines.bound = Arc::new(bound);
        self.wake_for_routines();
        Ok(())
    }

    /// The deeds of a routine for every workload that it may befall.
    fn turns(&self, routine: &Routine, names: &Names) -> Result<Vec<Vec<(Span, Deed)>>, BadFile> {
        let value = serde_json::Value::Array(routine.deeds.iter().map(plain).collect());
        let has_all = |entry: &&crate::WorkloadEntry| {
            routine.target.needs.iter().all(|part| entry.0.contains_key(part))
        };
        let turn = |entry: &crate::WorkloadEntry| {
            let mut names = names.clone();
            let parts = entry.0.iter();
            names.extend(parts.map(|(part, value)| (format!("target.{part}"), value.clone())));
            let faults: Vec<Fault> = typed("world", filled("world", &value, &names)?)?;
            let deeds = faults.iter().enumerate().map(|(i, fault)| {
                let deed = deed(fault).map_err(|reason| BadFile::Nonsense {
                    what: "world".into(),
                    place: format!("deeds[{i}]"),
                    reason,
                })?;
                Ok((fault.at, deed))
            });
            deeds.collect::<Result<Vec<_>, BadFile>>()
        };
        self.workloads.iter().filter(has_all).map(turn).collect()
    }

    /// Begins every turn that is due; its deeds follow in their time.
    pub(crate) fn follow_routines(&mut self) {
        let bound = self.routines.bound.clone();
        for (i, routine) in bound.iter().enumerate() {
            while self.routines.next[i].0 <= self.now {
                let (at, turn) = self.routines.next[i];
                for (after, deed) in &routine.turns[turn] {
                    self.plan_deed(at + after.signed(), deed.clone());
                }
                self.routines.next[i] =
                    (at + routine.every.signed(), (turn + 1) % routine.turns.len());
            }
        }
        self.wake_for_routines();
    }

    fn wake_for_routines(&mut self) {
        if let Some(next) = self.routines.next.iter().map(|(at, _)| *at).min() {
            self.wake_at(next, Wake::Routines);
        }
    }
}
