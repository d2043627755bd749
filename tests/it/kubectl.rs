//! One session of kubectl, held with a real API server and with the simulated one: the same exit codes, and output that
//! differs only where names, times and addresses do. The session and the differences allowed lie in `tests/kubectl`;
//! `tests/kubectl/run` starts the servers and says here where they are.

mod watching;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde::Deserialize;

use watching::Watching;

/// What a line of the session asks for.
#[derive(Clone, Debug, PartialEq)]
enum Deed {
    /// Runs kubectl and expects this exit code.
    Run(i32, Vec<String>),
    /// Starts kubectl in the background.
    Watch(Vec<String>),
    /// Ends what the last `watch` started, and takes what it said.
    Watched,
}

/// A line of the session, and what it asks for.
struct Line {
    number: usize,
    text: String,
    deed: Deed,
}

/// What kubectl said to one line, names, times and addresses taken out.
struct Observed {
    line: usize,
    command: String,
    expected: i32,
    code: i32,
    output: String,
}

/// A difference that is allowed, and why. What it names is taken out of both outputs before they are compared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The commands that it is allowed for: a regular expression for the whole line without its exit code.
    command: String,
    /// Lines that match are left out.
    lines: Option<String>,
    /// What matches is replaced by `…`.
    text: Option<String>,
    /// Whether the two may agree by chance: how fast something is, and where it is put.
    #[serde(default)]
    sometimes: bool,
    reason: String,
}

#[derive(Deserialize)]
struct Differences {
    difference: Vec<Difference>,
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: start tests/kubectl/run"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl")
}

/// Splits as a shell does that knows single quotes and nothing else.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for letter in text.chars() {
        match letter {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    assert!(!is_quoted, "a quote is not closed: {text}");
    words.extend(word);
    words
}

fn read(session: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, text) in session.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let deed = match first {
            "watch" => Deed::Watch(words(rest)),
            "watched" => Deed::Watched,
            code => Deed::Run(
                code.parse().unwrap_or_else(|_| panic!("no exit code: {text}")),
                words(rest),
            ),
        };
        lines.push(Line { number: index + 1, text: rest.to_string(), deed });
    }
    lines
}

/// kubectl with a folder of its own for what it keeps.
fn kubectl(home: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(given("CHIRON_TEST_KUBECTL"));
    command.args(arguments).current_dir(folder()).stdin(Stdio::null());
    command.env("HOME", home).env("KUBECONFIG", home.join("config")).env("TERM", "dumb");
    command.env_remove("KUBECTL_EXTERNAL_DIFF");
    command
}

fn said(output: &std::process::Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Holds the session with the cluster that the kubeconfig names.
fn hold(lines: &[Line], kubeconfig: &str) -> Vec<Observed> {
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(kubeconfig, home.path().join("config")).unwrap();
    let mut watching = None;
    let mut observed = Vec::new();
    for line in lines {
        let (command, expected, code, output) = match &line.deed {
            Deed::Run(expected, arguments) => {
                let output = kubectl(home.path(), arguments).output().expect("kubectl runs");
                let code = output.status.code().unwrap_or(-1);
                (line.text.clone(), *expected, code, said(&output))
            }
            Deed::Watch(arguments) => {
                watching = Some(Watching::start(home.path(), &line.text, arguments));
                continue;
            }
            Deed::Watched => {
                let watched: Watching = watching.take().expect("a watch before `watched`");
                let command = watched.command.clone();
                let (code, output) = watched.end();
                assert!(output.contains("ADDED"), "kubectl {command} saw nothing: {output}");
                (command, 0, code, output)
            }
        };
        let output = plain(&output, &command);
        observed.push(Observed { line: line.number, command, expected, code, output });
    }
    observed
}

/// Takes out of an output what cannot be the same twice: times, ages, addresses, uids, versions, drawn parts of names,
/// and the width of columns; the rows of a list are put in order, and what is said of each pod of a drain is heard once.
fn plain(output: &str, command: &str) -> String {
    const TAKEN_OUT: [(&str, &str); 14] = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
        (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r"\d\d:\d\d:\d\d\.\d+", "TIME"),
        (r"\bhttps?://(127\.0\.0\.1|localhost):\d+", "URL"),
        (r"\b\d{1,3}(\.\d{1,3}){3}(/\d+)?", "ADDRESS"),
        (r#"(?i)(resource ?version"?: *"?)\d+"#, "${1}VERSION"),
        // A ReplicaSet's hash and a pod's letters, as Kubernetes draws them.
        (r"-[bcdf-hj-np-tv-z2456789]{6,10}-[bcdf-hj-np-tv-z2456789]{5}\b", "-HASH-NAME"),
        (r"\b(web|cart)-[bcdf-hj-np-tv-z2456789]{5,10}\b", "${1}-HASH"),
        (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-NAME"),
        (r"(pod-template-hash[=:] ?)[a-z0-9]+", "${1}HASH"),
        // What stands behind `=` is no age: the times of a probe must be the same.
        (r"(?m)(^|[\s(])(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?m?s( \(x\d+ over [\dhms]+\))?", "${1}AGE"),
        (r"<invalid>", "AGE"),
        (r"X509SHA256=[0-9a-f]+", "FINGERPRINT"),
    ];
    let mut plain = output.to_string();
    for (pattern, with) in TAKEN_OUT {
        plain = Regex::new(pattern).unwrap().replace_all(&plain, with).into_owned();
    }
    let is_document = command.contains(" -o yaml") || command.contains(" -o json");
    // Whole minutes look like thousandths of a CPU: they are an age where ages stand, and nowhere else.
    let minutes = match command.split(' ').next() {
        Some("get") if !is_document => Some((r"(?m)(^|[\s(])\d+m( ago\)|$)", "${1}AGE${2}")),
        Some("describe" | "events") => {
            Some((r"(?m)^(.*(?:Normal|Warning)\s+\S+\s+|)\d+m(\s)", "${1}AGE${2}"))
        }
        Some(_) | None => None,
    };
    if let Some((pattern, with)) = minutes {
        plain = Regex::new(pattern).unwrap().replace_all(&plain, with).into_owned();
    }
    let mut lines: Vec<String> = plain
        .lines()
        .map(|line| {
            let indent = if is_document { line.len() - line.trim_start().len() } else { 0 };
            format!(
                "{}{}",
                " ".repeat(indent),
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    if command.starts_with("get ") && !command.contains("--watch") && !is_document {
        lines.sort();
    }
    if command.starts_with("drain ") {
        // It speaks of each pod on the node in turn; how many there are is for two schedulers to choose.
        lines.sort();
        lines.dedup();
    }
    lines.join("\n")
}

fn differences() -> Vec<(Difference, Regex, Regex)> {
    let text = std::fs::read_to_string(folder().join("differences.toml")).unwrap();
    let all: Differences = toml::from_str(&text).unwrap();
    let compiled = all.difference.into_iter().map(|difference| {
        assert!(
            difference.reason.len() > 10,
            "a difference wants a reason: {}",
            difference.command
        );
        let pattern = match (&difference.lines, &difference.text) {
            (Some(lines), None) => format!("^(?:{lines})$"),
            (None, Some(text)) => text.clone(),
            (Some(_), Some(_)) | (None, None) => {
                panic!("`lines` or `text`: {}", difference.command)
            }
        };
        let command = Regex::new(&format!("^(?:{})$", difference.command)).unwrap();
        let pattern = Regex::new(&pattern).unwrap();
        (difference, command, pattern)
    });
    compiled.collect()
}

/// An output without what a difference allows.
fn without(output: &str, difference: &Difference, pattern: &Regex) -> String {
    if difference.text.is_some() {
        return pattern.replace_all(output, "…").into_owned();
    }
    output.lines().filter(|line| !pattern.is_match(line)).collect::<Vec<_>>().join("\n")
}

/// What a session said, to be read by people and compared line by line.
fn transcript(observed: &[Observed]) -> String {
    let mut text = String::new();
    for one in observed {
        let _ = writeln!(
            text,
            "\n{}: $ kubectl {}\n{}\n=> {}",
            one.line, one.command, one.output, one.code
        );
    }
    text
}

fn check_codes(name: &str, observed: &[Observed]) {
    let wrong: Vec<String> = observed
        .iter()
        .filter(|one| one.code != one.expected)
        .map(|one| {
            format!(
                "line {}: kubectl {}\n  exit code {}, expected {}\n{}",
                one.line, one.command, one.code, one.expected, one.output
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{name}: {} exit codes are others:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
#[ignore = "needs: kubectl"]
fn a_session_of_kubectl_goes_the_same_way_with_a_real_and_a_simulated_cluster() {
    let lines = read(&std::fs::read_to_string(folder().join("session.txt")).unwrap());
    let kept = PathBuf::from(given("CHIRON_TEST_DATA"));
    let real = hold(&lines, &given("CHIRON_TEST_KUBECONFIG"));
    std::fs::write(kept.join("real.txt"), transcript(&real)).unwrap();
    check_codes("the real cluster", &real);
    println!("real cluster: {} commands, as expected", real.len());

    let simulated = hold(&lines, &given("CHIRON_TEST_SIMULATED_KUBECONFIG"));
    std::fs::write(kept.join("simulated.txt"), transcript(&simulated)).unwrap();
    check_codes("the simulated cluster", &simulated);

    let allowed = differences();
    let mut is_used = vec![false; allowed.len()];
    let mut wrong = String::new();
    for (real, simulated) in real.iter().zip(&simulated) {
        let (mut left, mut right) = (real.output.clone(), simulated.output.clone());
        for (index, (difference, command, pattern)) in allowed.iter().enumerate() {
            if command.is_match(&real.command) && left != right {
                let (less, fewer) =
                    (without(&left, difference, pattern), without(&right, difference, pattern));
                is_used[index] |= (&less, &fewer) != (&left, &right);
                (left, right) = (less, fewer);
            }
        }
        if left != right {
            let _ = writeln!(wrong, "\nline {}: kubectl {}", real.line, real.command);
            let (left, right): (Vec<_>, Vec<_>) = (left.lines().collect(), right.lines().collect());
            for line in left.iter().filter(|line| !right.contains(line)) {
                let _ = writeln!(wrong, "  - {line}");
            }
            for line in right.iter().filter(|line| !left.contains(line)) {
                let _ = writeln!(wrong, "  + {line}");
            }
        }
    }
    assert!(wrong.is_empty(), "- the real cluster says, + the simulated one:{wrong}");
    for ((difference, ..), is_used) in allowed.iter().zip(is_used) {
        assert!(
            is_used || difference.sometimes,
            "`{}` has no such difference any more: {}",
            difference.command,
            difference.reason
        );
    }
    println!(
        "simulated cluster: the same {} commands, the same exit codes and output; {} differences allowed",
        real.len(),
        allowed.len()
    );
}

#[test]
fn the_session_reads_as_a_shell_would_read_it() {
    assert_eq!(words("a  'b c' d'e f'g ''"), ["a", "b c", "de fg", ""]);
    let session = read("# nothing\n\n1 get 'a b'\nwatch get x\nwatched\n");
    let deeds: Vec<&Deed> = session.iter().map(|line| &line.deed).collect();
    let run = Deed::Run(1, vec!["get".into(), "a b".into()]);
    assert_eq!(deeds, [&run, &Deed::Watch(vec!["get".into(), "x".into()]), &Deed::Watched]);
    assert_eq!((session[0].number, session[0].text.as_str()), (3, "get 'a b'"));
}

#[test]
fn what_cannot_be_the_same_twice_is_taken_out() {
    let check = |output: &str, expected: &str| assert_eq!(plain(output, "describe x"), expected);
    check("web-7887448d46-x4jlj   1/1  Running  3m12s", "web-HASH-NAME 1/1 Running AGE");
    check("10.0.0.3:8080 at 2026-01-01T00:00:00Z", "ADDRESS:8080 at TIME");
    check("uid: ae267fe3-fd53-4fa5-916b-0a499eecb6a7", "uid: UID");
    check("replicaset.apps/web-7887448d46", "replicaset.apps/web-HASH");
    check("  Normal  Pulled  2m  kubelet", "Normal Pulled AGE kubelet");
    for same in ["cpu: 50m, memory 64Mi", "cpu: 50m", "delay=0s timeout=1s period=10s"] {
        check(same, same);
    }
    assert_eq!(plain("cart-1  1/1  2 (3m ago)  12m", "get pods"), "cart-1 1/1 2 (AGE ago) AGE");
    assert_eq!(plain("cpu: 50m", "get pod x -o yaml"), "cpu: 50m");
}
