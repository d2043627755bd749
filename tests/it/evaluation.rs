//! Policies side by side, in few worlds: the full figures are `chiron eval run`'s.

use std::path::Path;
use std::sync::Arc;

use engine::Sources;
use evals::{
    Chiron, Contestant, DeleteTheObject, DoNothing, Report, RestartEverything, Suite, evaluate,
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
    let world = WorldFile::parse(&files("worlds").concat()).unwrap();
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
    evaluate(&suite(), &[contestant], seeds, naming, 2, "2026-01-01T00:00:00Z".parse().unwrap())
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

#[test]
fn chiron_mends_what_is_broken_harms_nothing_and_leaves_alone_what_is_well() {
    let report = run(Box::new(chiron()), 3, Naming::Drawn);
    let resolved = verdicts(&report).iter().filter(|(_, verdict)| *verdict == "resolved").count();
    assert!(resolved >= 7, "{report:#?}");
    assert_eq!(report.policies[0].harmful, 0, "{report:#?}");
    let well =
        report.policies[0].families.iter().find(|family| family.family == "nothing-wrong").unwrap();
    assert_eq!(well.acted, 0);
}

#[test]
fn names_and_annotations_carry_nothing_that_chiron_goes_by() {
    let (drawn, scrambled) =
        (run(Box::new(chiron()), 2, Naming::Drawn), run(Box::new(chiron()), 2, Naming::Scrambled));
    assert_eq!(verdicts(&drawn), verdicts(&scrambled));
}

#[test]
fn thoughtless_scripts_mend_next_to_nothing() {
    let contestants: [Box<dyn Contestant>; 3] =
        [Box::new(DoNothing), Box::new(RestartEverything), Box::new(DeleteTheObject)];
    for contestant in contestants {
        let report = run(contestant, 3, Naming::Drawn);
        let failed = verdicts(&report).iter().filter(|(_, verdict)| *verdict == "failed").count();
        assert!(failed >= 7, "{report:#?}");
    }
}
