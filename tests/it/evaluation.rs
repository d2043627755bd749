//! Policies side by side, in few worlds: the full figures are `chiron eval run`'s.

use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::Sources;
use evals::{
    Chiron, Contestant, DeleteTheObject, DoNothing, Family, Report, RestartEverything, Suite,
    evaluate,
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
        sources: Sources {
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

fn run(contestant: Box<dyn Contestant>, seeds: u64, naming: Naming) -> Report {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    evaluate(
        &suite(),
        &[contestant],
        seeds,
        naming,
        threads,
        "2026-01-01T00:00:00Z".parse().unwrap(),
    )
    .unwrap()
}

/// Families with a fault, and their verdicts.
fn verdicts(report: &Report) -> Vec<(&str, &str)> {
    let families = &report.policies[0].families;
    families
        .iter()
        .filter(|family| family.family != "nothing-wrong")
        .map(|family| (family.family.as_str(), family.verdict.as_str()))
        .collect()
}

/// The family in which nothing is to be done.
fn well(report: &Report) -> &Family {
    let families = &report.policies[0].families;
    families.iter().find(|family| family.family == "nothing-wrong").unwrap()
}

/// Seeds of each scenario: as many as a test run has time for.
const SEEDS: u64 = 5;

/// Chiron in worlds as they are, and in the same worlds with every name and annotation scrambled: played once for all
/// tests, for that takes long.
static DRAWN: LazyLock<Report> = LazyLock::new(|| run(Box::new(chiron()), SEEDS, Naming::Drawn));
static SCRAMBLED: LazyLock<Report> =
    LazyLock::new(|| run(Box::new(chiron()), SEEDS, Naming::Scrambled));

#[test]
fn chiron_mends_what_is_broken_harms_nothing_and_leaves_alone_what_is_well() {
    let report = &*DRAWN;
    let count = mended(report).iter().filter(|(_, is_mended)| *is_mended).count();
    assert!(count >= 7, "{report:#?}");
    assert_eq!(report.policies[0].harmful, 0, "{report:#?}");
    let well = well(report);
    assert_eq!((well.mitigation.n, well.acted), (SEEDS, 0));
}

/// Families with a fault, and whether Chiron mends them: it explores now and then, so one world of five may go astray.
fn mended(report: &Report) -> Vec<(&str, bool)> {
    let families =
        report.policies[0].families.iter().filter(|family| family.family != "nothing-wrong");
    let is_mended = |share: f64| match share {
        share if share >= 0.8 => true,
        share if share <= 0.2 => false,
        share => panic!("neither mended nor failed, but {share}: {report:#?}"),
    };
    families.map(|family| (family.family.as_str(), is_mended(family.mitigation.estimate))).collect()
}

#[test]
fn names_and_annotations_carry_nothing_that_chiron_goes_by() {
    assert_eq!(mended(&DRAWN).len(), 8);
    assert_eq!(mended(&DRAWN), mended(&SCRAMBLED));
    assert_eq!(SCRAMBLED.policies[0].harmful, 0, "{:#?}", &*SCRAMBLED);
    let acted = [&DRAWN, &SCRAMBLED].map(|report| well(report).acted);
    assert_eq!(acted, [0, 0]);
}

#[test]
fn of_all_worlds_that_break_chiron_mends_more_than_95_percent() {
    let of = [&DRAWN, &SCRAMBLED].map(|report| report.policies[0].mitigation);
    let worlds: u64 = of.iter().map(|share| share.n).sum();
    let mended: f64 = of.iter().map(|share| share.estimate * share.n as f64).sum();
    assert_eq!(worlds, 2 * 8 * SEEDS);
    assert!(mended / worlds as f64 > 0.95, "{mended} of {worlds}");
}

#[test]
fn thoughtless_scripts_mend_next_to_nothing_and_their_harm_is_seen() {
    const FEW: u64 = 3;
    let run = |contestant: Box<dyn Contestant>| {
        let report = run(contestant, FEW, Naming::Drawn);
        let failed = verdicts(&report).iter().filter(|(_, verdict)| *verdict == "failed").count();
        assert!(failed >= 7, "{report:#?}");
        report
    };
    let idle = run(Box::new(DoNothing));
    let acted: u64 = idle.policies[0].families.iter().map(|family| family.acted).sum();
    assert_eq!((acted, idle.policies[0].harmful), (0, 0), "{idle:#?}");
    let restarting = run(Box::new(RestartEverything));
    assert_eq!(well(&restarting).acted, FEW, "{restarting:#?}");
    let deleting = run(Box::new(DeleteTheObject));
    assert!(deleting.policies[0].harmful > 0, "{deleting:#?}");
}
