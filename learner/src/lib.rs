//! Estimates and decides, exactly and auditably: bandit policies, calibration, experiments.
