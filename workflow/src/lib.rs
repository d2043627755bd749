//! The words that every part of Chiron speaks: alert, incident, workflow, plan, decision, run, outcome.
