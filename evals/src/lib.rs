//! The offline harness: suites, reference policies, reports.
