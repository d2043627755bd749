//! Evaluations on a few seeds; `chiron eval run` evaluates on more.

use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::ProposalSources;
use evals::{
    Chiron, DeleteTheObject, DoNothing, EvaluationReport, FamilyResult, RestartEverything, Suite,
    SystemUnderTest, evaluate,
};
use simulator::{Naming, ScenarioFile, WorldFile};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| read(path))
        .collect()
}

fn suite() -> Suite {
    let scenarios =
        files("scenarios/starter").iter().map(|text| ScenarioFile::parse(text).unwrap()).collect();
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/worlds/shop.yaml");
    let world = WorldFile::parse(&read(&world)).unwrap();
    Suite { name: "starter".into(), world, scenarios }
}

fn chiron() -> Chiron {
    let catalogue = actions::catalogue();
    let template = |text: &String| {
        workflow::validate::validate_template(text, &catalogue, &workflow::Limits::default())
            .value
            .unwrap()
    };
    let history =
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/history/starter.jsonl"));
    Chiron {
        name: "chiron".into(),
        sources: ProposalSources {
            templates: files("templates").iter().map(template).collect(),
            retrieval: true,
            reversal: true,
        },
        policy: || learner::policy("igw"),
        history: Arc::new(
            history.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        ),
        seed: 0,
    }
}

fn run(system: Box<dyn SystemUnderTest>, seeds: u64, naming: Naming) -> EvaluationReport {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    evaluate(&suite(), &[system], seeds, naming, threads, "2026-01-01T00:00:00Z".parse().unwrap())
        .unwrap()
}

/// Returns the families with a fault and their verdicts.
fn verdicts(report: &EvaluationReport) -> Vec<(&str, &str)> {
    let families = &report.policies[0].families;
    families
        .iter()
        .filter(|family| family.family != "nothing-wrong")
        .map(|family| (family.family.as_str(), family.verdict.as_str()))
        .collect()
}

/// Returns the family without a fault, in which no action is expected.
fn nothing_wrong(report: &EvaluationReport) -> &FamilyResult {
    let families = &report.policies[0].families;
    families.iter().find(|family| family.family == "nothing-wrong").unwrap()
}

/// Seeds per scenario, limited by the run time of the tests.
const SEEDS: u64 = 5;

/// Chiron's results in worlds with random names. Computed once, because the evaluation is slow.
static RANDOM: LazyLock<EvaluationReport> =
    LazyLock::new(|| run(Box::new(chiron()), SEEDS, Naming::Random));
/// Chiron's results in the same worlds with obfuscated names and annotations.
static OBFUSCATED: LazyLock<EvaluationReport> =
    LazyLock::new(|| run(Box::new(chiron()), SEEDS, Naming::Obfuscated));

/// Chiron mitigates nearly all fault families, harms nothing, and does not act without a fault.
#[test]
#[ignore = "slow: run by make test"]
fn slow_chiron_mitigates_faults_without_harm() {
    let report = &*RANDOM;
    let count = mitigated(report).iter().filter(|(_, is_mitigated)| *is_mitigated).count();
    assert!(count >= 7, "{report:#?}");
    assert_eq!(report.policies[0].harmful, 0, "{report:#?}");
    let nothing_wrong = nothing_wrong(report);
    assert_eq!((nothing_wrong.mitigation.n, nothing_wrong.acted), (SEEDS, 0));
}

/// Returns the families with a fault, and whether they are mitigated.
///
/// Because Chiron explores, one world of five may differ from the others.
fn mitigated(report: &EvaluationReport) -> Vec<(&str, bool)> {
    let families =
        report.policies[0].families.iter().filter(|family| family.family != "nothing-wrong");
    let is_mitigated = |proportion: f64| match proportion {
        p if p >= 0.8 => true,
        p if p <= 0.2 => false,
        p => panic!("neither mitigated nor failed, but {p}: {report:#?}"),
    };
    families
        .map(|family| (family.family.as_str(), is_mitigated(family.mitigation.estimate)))
        .collect()
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_chiron_does_not_depend_on_names_and_annotations() {
    assert_eq!(mitigated(&RANDOM).len(), 8);
    assert_eq!(mitigated(&RANDOM), mitigated(&OBFUSCATED));
    assert_eq!(OBFUSCATED.policies[0].harmful, 0, "{:#?}", &*OBFUSCATED);
    let acted = [&RANDOM, &OBFUSCATED].map(|report| nothing_wrong(report).acted);
    assert_eq!(acted, [0, 0]);
}

#[test]
#[ignore = "slow: run by make test"]
fn slow_chiron_mitigates_more_than_95_percent_of_faulty_worlds() {
    let proportions = [&RANDOM, &OBFUSCATED].map(|report| report.policies[0].mitigation);
    let worlds: u64 = proportions.iter().map(|proportion| proportion.n).sum();
    let mitigated: f64 =
        proportions.iter().map(|proportion| proportion.estimate * proportion.n as f64).sum();
    assert_eq!(worlds, 2 * 8 * SEEDS);
    assert!(mitigated / worlds as f64 > 0.95, "{mitigated} of {worlds}");
}

/// The baselines mitigate almost nothing, and the evaluation detects the harm that they do.
#[test]
#[ignore = "slow: run by make test"]
fn slow_baselines_mitigate_little_and_their_harm_is_counted() {
    const FEW: u64 = 3;
    let run = |system: Box<dyn SystemUnderTest>| {
        let report = run(system, FEW, Naming::Random);
        let failed = verdicts(&report).iter().filter(|(_, verdict)| *verdict == "failed").count();
        assert!(failed >= 7, "{report:#?}");
        report
    };
    let idle = run(Box::new(DoNothing));
    let acted: u64 = idle.policies[0].families.iter().map(|family| family.acted).sum();
    assert_eq!((acted, idle.policies[0].harmful), (0, 0), "{idle:#?}");
    let restarting = run(Box::new(RestartEverything));
    assert_eq!(nothing_wrong(&restarting).acted, FEW, "{restarting:#?}");
    let deleting = run(Box::new(DeleteTheObject));
    assert!(deleting.policies[0].harmful > 0, "{deleting:#?}");
}

/// Run by `make test-full PART=evaluation`.
mod full_evaluation {
    use super::*;

    const SEEDS: u64 = 40;

    #[test]
    #[ignore = "needs: full_evaluation"]
    fn every_family_is_mitigated_on_40_seeds_without_harm() {
        let report = run(Box::new(chiron()), SEEDS, Naming::Random);
        let policy = &report.policies[0];
        println!("{:?}", policy.mitigation); // Shown by --nocapture.
        let failed: Vec<_> =
            verdicts(&report).into_iter().filter(|(_, verdict)| *verdict != "resolved").collect();
        assert!(failed.is_empty(), "{failed:?}\n{report:#?}");
        assert_eq!(verdicts(&report).len(), 8);
        assert_eq!(policy.harmful, 0, "{report:#?}");
        let nothing_wrong = nothing_wrong(&report);
        assert_eq!((nothing_wrong.mitigation.n, nothing_wrong.acted), (SEEDS, 0), "{report:#?}");
    }
}
