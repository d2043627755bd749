//! Creation, start and stop of experiments.

use jiff::Timestamp;
use workflow::experiment::{Experiment, ExperimentEvent, ExperimentStatus};
use workflow::id::ExperimentId;
use workflow::{EngineResponse, Entry, ErrorCode, Refusal};

use super::Handled;
use crate::experiments::Experiments;

/// Records a new experiment as a draft, if it is valid.
pub(crate) fn create(experiment: Experiment) -> Handled {
    if let Err(error) = learner::experiment::check(&experiment) {
        return Err(Refusal::invalid(
            ErrorCode::InvalidExperiment,
            error.to_string(),
            "use two variants whose shares sum to 1, and alpha in (0, 0.5]",
        ));
    }
    let created = ExperimentEvent::Created { experiment: experiment.clone() };
    Ok((vec![Entry::Experiment(created)], EngineResponse::Experiment { experiment }))
}

/// Starts a draft if no running experiment shares its alerts.
pub(crate) fn start(experiments: &Experiments, id: ExperimentId, now: Timestamp) -> Handled {
    if let Some(other) = experiments.overlapping(&id) {
        return Err(Refusal::conflict(
            ErrorCode::ExperimentOverlaps,
            format!("experiment {} is running and shares alerts with it", other.id),
            "stop that experiment first, or select different alerts",
        ));
    }
    transition(experiments, ExperimentStatus::Draft, ExperimentEvent::Started { id, at: now })
}

/// Stops a running experiment.
pub(crate) fn stop(
    experiments: &Experiments,
    id: ExperimentId,
    reason: String,
    now: Timestamp,
) -> Handled {
    let stopped = ExperimentEvent::Stopped { id, at: now, reason };
    transition(experiments, ExperimentStatus::Running, stopped)
}

/// Records an event of an experiment that is in the status `from`.
fn transition(
    experiments: &Experiments,
    from: ExperimentStatus,
    event: ExperimentEvent,
) -> Handled {
    let id = event.experiment();
    let Some(experiment) = experiments.experiments.get(id) else {
        return Err(Refusal::not_found("experiment", id.as_str()));
    };
    if experiment.status != from {
        return Err(Refusal::conflict(
            ErrorCode::ExperimentStatus,
            format!("the experiment is {}", experiment.status.as_str()),
            "only a draft can be started, and only a running experiment can be stopped",
        ));
    }
    let mut experiment = experiment.clone();
    experiment.apply(&event);
    Ok((vec![Entry::Experiment(event)], EngineResponse::Experiment { experiment }))
}

#[cfg(test)]
mod tests {
    use workflow::experiment::{Treatment, Variant};
    use workflow::input::ErrorKind;

    use super::*;
    use crate::sample;

    fn draft(name: &str, alerts: &[&str]) -> Experiment {
        let variant =
            |name: &str| Variant { name: name.into(), share: 0.5, treatment: Treatment::Baseline };
        Experiment {
            id: ExperimentId::derive(sample::at(0), name, 0),
            name: name.into(),
            hypothesis: String::new(),
            variants: vec![variant("a"), variant("b")],
            alerts: alerts.iter().map(ToString::to_string).collect(),
            alpha: 0.05,
            minimum: 20,
            status: ExperimentStatus::Draft,
            created_at: sample::at(0),
            started_at: None,
            stopped_at: None,
        }
    }

    /// Handles a command that must be accepted, and folds its entries.
    fn accept(experiments: &mut Experiments, handled: Handled) -> Experiment {
        let (entries, response) = handled.unwrap();
        entries.iter().for_each(|entry| experiments.apply(entry));
        match response {
            EngineResponse::Experiment { experiment } => experiment,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn invalid_experiment_is_refused() {
        let refused = create(Experiment { alpha: 0.9, ..draft("a", &[]) }).unwrap_err();
        assert_eq!(
            (refused.kind, refused.code.as_str()),
            (ErrorKind::Invalid, "invalid_experiment")
        );
    }

    #[test]
    fn response_shows_the_state_after_the_event() {
        let mut experiments = Experiments::default();
        let created = accept(&mut experiments, create(draft("a", &[])));
        let handled = start(&experiments, created.id.clone(), sample::at(5));
        let started = accept(&mut experiments, handled);
        assert_eq!(started.started_at, Some(sample::at(5)));
        assert_eq!(experiments.experiments[&created.id], started);
        let handled = stop(&experiments, created.id.clone(), "enough".into(), sample::at(9));
        let stopped = accept(&mut experiments, handled);
        assert_eq!(stopped.status, ExperimentStatus::Stopped);
    }

    #[test]
    fn start_of_overlapping_experiment_is_refused() {
        let mut experiments = Experiments::default();
        let first = accept(&mut experiments, create(draft("first", &["A", "B"])));
        let second = accept(&mut experiments, create(draft("second", &["B"])));
        let handled = start(&experiments, first.id, sample::at(1));
        accept(&mut experiments, handled);
        let refused = start(&experiments, second.id, sample::at(2)).unwrap_err();
        assert_eq!(
            (refused.kind, refused.code.as_str()),
            (ErrorKind::Conflict, "experiment_overlaps")
        );
    }

    #[test]
    fn stop_of_draft_and_of_unknown_experiment_are_refused() {
        let mut experiments = Experiments::default();
        let id = draft("a", &[]).id;
        let code = |experiments: &Experiments| {
            stop(experiments, id.clone(), "enough".into(), sample::at(1)).unwrap_err().code
        };
        assert_eq!(code(&experiments), ErrorCode::NotFound);
        accept(&mut experiments, create(draft("a", &[])));
        assert_eq!(code(&experiments), ErrorCode::ExperimentStatus);
    }
}
