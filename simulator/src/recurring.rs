//! Recurring events of a world.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use workflow::duration::Duration;

use crate::file::{InvalidFile, WorldFile};
use crate::names::{SymbolValues, from_json, resolve_symbols, to_json};
use crate::queue::Timer;
use crate::rng::SeededRng;
use crate::scenario::{ScenarioAction, TargetRequirements, scheduled_action};
use crate::script::ScheduledAction;
use crate::world::World;

/// An event that repeats, each time on the next workload in an order determined by the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecurringEvent {
    /// Time between two occurrences (turns).
    pub every: Duration,
    /// Time of the first turn, relative to the start of the world.
    pub first: Duration,
    /// Requirements on the workloads that take turns.
    #[serde(default)]
    pub target: TargetRequirements,
    /// Actions of a turn; each `at` is relative to the start of the turn. `$(target.PART)` is a part of the turn's
    /// workload; other symbols are those of the world.
    pub actions: Vec<ScenarioAction>,
}

/// A recurring event with resolved symbols: the actions of every turn, in order.
#[derive(Clone, Debug)]
pub(crate) struct ResolvedEvent {
    every: Duration,
    turns: Vec<Vec<(Duration, ScheduledAction)>>,
}

/// The recurring events of a world, and the time and index of the next turn of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecurringSchedule {
    events: Arc<Vec<ResolvedEvent>>,
    next: Vec<(Timestamp, usize)>,
}

impl RecurringSchedule {
    /// Returns the time and index of the next turn of each event.
    pub(crate) fn next(&self) -> &[(Timestamp, usize)] {
        &self.next
    }
}

impl World {
    /// Resolves the recurring events of `file` and schedules their first turns. `values` are the symbols of the
    /// world.
    pub(crate) fn load_recurring_events(
        &mut self,
        file: &WorldFile,
        values: &SymbolValues,
    ) -> Result<(), InvalidFile> {
        let mut events = Vec::new();
        for (i, event) in file.spec.recurring_events.iter().enumerate() {
            let location = format!("spec.recurringEvents[{i}]");
            let turns = self.resolve_turns(event, values).map_err(|error| match error {
                InvalidFile::Invalid { reason, location: inner, .. } => {
                    file.invalid(&location, &format!("{inner}: {reason}"))
                }
                other @ (InvalidFile::Parse { .. } | InvalidFile::UnexpectedKind { .. }) => other,
            })?;
            if turns.is_empty() {
                return Err(file.invalid(
                    &location,
                    "no workload of the world has all parts in `target.needs`",
                ));
            }
            events.push(ResolvedEvent { every: event.every, turns });
        }
        // The order of turns depends only on the seed and on the index of the event.
        for (i, event) in events.iter_mut().enumerate() {
            // The label is part of the seed: another label means another order.
            let mut rng = SeededRng::new("routine", &format!("{}/{i}", self.id));
            for last in (1..event.turns.len()).rev() {
                event.turns.swap(last, rng.below(last as u64 + 1) as usize);
            }
        }
        let firsts = file.spec.recurring_events.iter().map(|event| self.now + event.first.signed());
        self.recurring.next = firsts.map(|first| (first, 0)).collect();
        self.recurring.events = Arc::new(events);
        self.set_recurring_timer();
        Ok(())
    }

    /// Returns the turns of an event: its actions for every workload that meets the requirements.
    fn resolve_turns(
        &self,
        event: &RecurringEvent,
        values: &SymbolValues,
    ) -> Result<Vec<Vec<(Duration, ScheduledAction)>>, InvalidFile> {
        let template = serde_json::Value::Array(event.actions.iter().map(to_json).collect());
        let has_all = |entry: &&crate::WorkloadEntry| {
            event.target.needs.iter().all(|part| entry.0.contains_key(part))
        };
        let turn = |entry: &crate::WorkloadEntry| {
            let mut values = values.clone();
            let parts = entry.0.iter();
            values.extend(parts.map(|(part, value)| (format!("target.{part}"), value.clone())));
            let actions: Vec<ScenarioAction> =
                from_json("world", resolve_symbols("world", &template, &values)?)?;
            let scheduled = actions.iter().enumerate().map(|(i, action)| {
                let scheduled =
                    scheduled_action(action).map_err(|reason| InvalidFile::Invalid {
                        document: "world".into(),
                        location: format!("actions[{i}]"),
                        reason,
                    })?;
                Ok((action.at, scheduled))
            });
            scheduled.collect::<Result<Vec<_>, InvalidFile>>()
        };
        self.workloads.iter().filter(has_all).map(turn).collect()
    }

    /// Starts every due turn, which schedules its actions.
    pub(crate) fn start_due_turns(&mut self) {
        let events = self.recurring.events.clone();
        for (i, event) in events.iter().enumerate() {
            while self.recurring.next[i].0 <= self.now {
                let (at, turn) = self.recurring.next[i];
                for (after, action) in &event.turns[turn] {
                    self.schedule_action(at + after.signed(), action.clone());
                }
                self.recurring.next[i] =
                    (at + event.every.signed(), (turn + 1) % event.turns.len());
            }
        }
        self.set_recurring_timer();
    }

    fn set_recurring_timer(&mut self) {
        if let Some(next) = self.recurring.next.iter().map(|(at, _)| *at).min() {
            self.set_timer_at(next, Timer::RecurringEvents);
        }
    }
}
