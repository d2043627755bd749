//! A kubectl session against a real API server and against the simulated one.
//!
//! The exit codes have to be equal, and the outputs may differ only in names, times, addresses and the allowed differences.
//! The session and the allowed differences are in `tests/kubectl`; `tests/kubectl/run` starts the servers and passes their
//! kubeconfigs in environment variables.

mod background_watch;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde::Deserialize;

use background_watch::BackgroundWatch;

/// The instruction in a line of the session.
#[derive(Clone, Debug, PartialEq)]
enum Instruction {
    /// Runs kubectl and expects this exit code.
    Run(i32, Vec<String>),
    /// Starts kubectl in the background.
    Watch(Vec<String>),
    /// Ends the process of the last `watch`, and reads its output.
    Watched,
}

/// A line of the session.
struct SessionLine {
    /// Line number, from 1.
    number: usize,
    /// The kubectl arguments as written.
    text: String,
    instruction: Instruction,
}

/// The result of one line, with the output normalized.
struct LineResult {
    line: usize,
    command: String,
    expected: i32,
    code: i32,
    output: String,
}

/// An allowed difference. The matching parts are removed from both outputs before the comparison.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The commands to which it applies: a regular expression for the whole line without its exit code.
    command: String,
    /// Removes lines that match this regular expression.
    lines: Option<String>,
    /// Replaces matches of this regular expression by `…`.
    text: Option<String>,
    /// Whether the outputs may also be equal by chance, because they depend on speed or scheduling.
    #[serde(default)]
    sometimes: bool,
    reason: String,
}

#[derive(Deserialize)]
struct Differences {
    difference: Vec<Difference>,
}

fn env_var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; hint: run tests/kubectl/run"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl")
}

/// Splits text into words as a shell does. Only single quotes are supported.
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
    assert!(!is_quoted, "unterminated quote: {text}");
    words.extend(word);
    words
}

fn parse_session(session: &str) -> Vec<SessionLine> {
    let mut lines = Vec::new();
    for (index, text) in session.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let instruction = match first {
            "watch" => Instruction::Watch(words(rest)),
            "watched" => Instruction::Watched,
            code => Instruction::Run(
                code.parse().unwrap_or_else(|_| panic!("no exit code: {text}")),
                words(rest),
            ),
        };
        lines.push(SessionLine { number: index + 1, text: rest.to_string(), instruction });
    }
    lines
}

/// Returns a kubectl command whose configuration and caches are in `home`.
fn kubectl(home: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(env_var("CHIRON_TEST_KUBECTL"));
    command.args(arguments).current_dir(folder()).stdin(Stdio::null());
    command.env("HOME", home).env("KUBECONFIG", home.join("config")).env("TERM", "dumb");
    command.env_remove("KUBECTL_EXTERNAL_DIFF");
    command
}

fn combined_output(output: &std::process::Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs the session against the cluster of the kubeconfig.
fn run_session(lines: &[SessionLine], kubeconfig: &str) -> Vec<LineResult> {
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(kubeconfig, home.path().join("config")).unwrap();
    let mut running_watch = None;
    let mut results = Vec::new();
    for line in lines {
        let (command, expected, code, output) = match &line.instruction {
            Instruction::Run(expected, arguments) => {
                let output = kubectl(home.path(), arguments).output().expect("kubectl runs");
                let code = output.status.code().unwrap_or(-1);
                (line.text.clone(), *expected, code, combined_output(&output))
            }
            Instruction::Watch(arguments) => {
                let watch = BackgroundWatch::start(home.path(), &line.text, arguments);
                running_watch = Some(watch);
                continue;
            }
            Instruction::Watched => {
                let watch: BackgroundWatch = running_watch.take().expect("a watch is running");
                let command = watch.command.clone();
                let (code, output) = watch.end();
                assert!(output.contains("ADDED"), "no event of kubectl {command}: {output}");
                (command, 0, code, output)
            }
        };
        let output = normalize(&output, &command);
        results.push(LineResult { line: line.number, command, expected, code, output });
    }
    results
}

/// Replaces or removes the parts of an output that differ between runs.
///
/// These are times, ages, addresses, uids, versions, generated parts of names, and the width of columns. The rows of a list
/// are sorted, and repeated lines of a drain are removed.
fn normalize(output: &str, command: &str) -> String {
    const REPLACEMENTS: [(&str, &str); 14] = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
        (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r"\d\d:\d\d:\d\d\.\d+", "TIME"),
        (r"\bhttps?://(127\.0\.0\.1|localhost):\d+", "URL"),
        (r"\b\d{1,3}(\.\d{1,3}){3}(/\d+)?", "ADDRESS"),
        (r#"(?i)(resource ?version"?: *"?)\d+"#, "${1}VERSION"),
        // The hash of a ReplicaSet and the random suffix of a pod, in the alphabet of Kubernetes.
        (r"-[bcdf-hj-np-tv-z2456789]{6,10}-[bcdf-hj-np-tv-z2456789]{5}\b", "-HASH-NAME"),
        (r"\b(web|cart)-[bcdf-hj-np-tv-z2456789]{5,10}\b", "${1}-HASH"),
        (r"kube-api-access-[a-z0-9]{5}", "kube-api-access-NAME"),
        (r"(pod-template-hash[=:] ?)[a-z0-9]+", "${1}HASH"),
        // A time after `=` is not an age: the timings of a probe have to be equal.
        (r"(?m)(^|[\s(])(\d+d)?(\d+h)?(\d+m)?\d+(\.\d+)?m?s( \(x\d+ over [\dhms]+\))?", "${1}AGE"),
        (r"<invalid>", "AGE"),
        (r"X509SHA256=[0-9a-f]+", "FINGERPRINT"),
    ];
    let mut text = output.to_string();
    for (pattern, with) in REPLACEMENTS {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    let is_document = command.contains(" -o yaml") || command.contains(" -o json");
    // `5m` can be five minutes or five millicores, so it is replaced only where kubectl prints an age.
    let minutes = match command.split(' ').next() {
        Some("get") if !is_document => Some((r"(?m)(^|[\s(])\d+m( ago\)|$)", "${1}AGE${2}")),
        Some("describe" | "events") => {
            Some((r"(?m)^(.*(?:Normal|Warning)\s+\S+\s+|)\d+m(\s)", "${1}AGE${2}"))
        }
        Some(_) | None => None,
    };
    if let Some((pattern, with)) = minutes {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    let mut lines: Vec<String> = text
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
        // One line per pod of the node, and the schedulers may place different numbers of pods on it.
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
            "a difference requires a reason: {}",
            difference.command
        );
        let pattern = match (&difference.lines, &difference.text) {
            (Some(lines), None) => format!("^(?:{lines})$"),
            (None, Some(text)) => text.clone(),
            (Some(_), Some(_)) | (None, None) => {
                panic!("set either `lines` or `text`: {}", difference.command)
            }
        };
        let command = Regex::new(&format!("^(?:{})$", difference.command)).unwrap();
        let pattern = Regex::new(&pattern).unwrap();
        (difference, command, pattern)
    });
    compiled.collect()
}

/// Removes the parts of an output that match an allowed difference.
fn without(output: &str, difference: &Difference, pattern: &Regex) -> String {
    if difference.text.is_some() {
        return pattern.replace_all(output, "…").into_owned();
    }
    output.lines().filter(|line| !pattern.is_match(line)).collect::<Vec<_>>().join("\n")
}

/// Returns the transcript of a session, for reading and for a line-by-line comparison.
fn transcript(results: &[LineResult]) -> String {
    let mut text = String::new();
    for result in results {
        let _ = writeln!(
            text,
            "\n{}: $ kubectl {}\n{}\n=> {}",
            result.line, result.command, result.output, result.code
        );
    }
    text
}

fn check_codes(name: &str, results: &[LineResult]) {
    let wrong: Vec<String> = results
        .iter()
        .filter(|result| result.code != result.expected)
        .map(|result| {
            format!(
                "line {}: kubectl {}\n  exit code {}, expected {}\n{}",
                result.line, result.command, result.code, result.expected, result.output
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{name}: {} unexpected exit codes:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
#[ignore = "needs: kubectl"]
fn kubectl_session_matches_on_real_and_simulated_cluster() {
    let session = std::fs::read_to_string(folder().join("session.txt")).unwrap();
    let lines = parse_session(&session);
    let output_folder = PathBuf::from(env_var("CHIRON_TEST_DATA"));
    let real = run_session(&lines, &env_var("CHIRON_TEST_KUBECONFIG"));
    std::fs::write(output_folder.join("real.txt"), transcript(&real)).unwrap();
    check_codes("real cluster", &real);
    println!("real cluster: {} commands with the expected exit codes", real.len());

    let simulated = run_session(&lines, &env_var("CHIRON_TEST_SIMULATED_KUBECONFIG"));
    std::fs::write(output_folder.join("simulated.txt"), transcript(&simulated)).unwrap();
    check_codes("simulated cluster", &simulated);

    let allowed = differences();
    let mut is_used = vec![false; allowed.len()];
    let mut wrong = String::new();
    for (real, simulated) in real.iter().zip(&simulated) {
        let (mut left, mut right) = (real.output.clone(), simulated.output.clone());
        for (index, (difference, command, pattern)) in allowed.iter().enumerate() {
            if command.is_match(&real.command) && left != right {
                let (new_left, new_right) =
                    (without(&left, difference, pattern), without(&right, difference, pattern));
                is_used[index] |= (&new_left, &new_right) != (&left, &right);
                (left, right) = (new_left, new_right);
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
    assert!(wrong.is_empty(), "- real cluster, + simulated cluster:{wrong}");
    for ((difference, ..), is_used) in allowed.iter().zip(is_used) {
        assert!(
            is_used || difference.sometimes,
            "`{}` no longer has this difference: {}",
            difference.command,
            difference.reason
        );
    }
    println!(
        "simulated cluster: {} commands with the same exit codes and output; {} differences allowed",
        real.len(),
        allowed.len()
    );
}

#[test]
fn session_lines_are_split_like_shell_words() {
    assert_eq!(words("a  'b c' d'e f'g ''"), ["a", "b c", "de fg", ""]);
    let session = parse_session("# comment\n\n1 get 'a b'\nwatch get x\nwatched\n");
    let instructions: Vec<&Instruction> = session.iter().map(|line| &line.instruction).collect();
    let run = Instruction::Run(1, vec!["get".into(), "a b".into()]);
    let watch = Instruction::Watch(vec!["get".into(), "x".into()]);
    assert_eq!(instructions, [&run, &watch, &Instruction::Watched]);
    assert_eq!((session[0].number, session[0].text.as_str()), (3, "get 'a b'"));
}

#[test]
fn normalize_replaces_times_addresses_and_generated_names() {
    let check =
        |output: &str, expected: &str| assert_eq!(normalize(output, "describe x"), expected);
    check("web-7887448d46-x4jlj   1/1  Running  3m12s", "web-HASH-NAME 1/1 Running AGE");
    check("10.0.0.3:8080 at 2026-01-01T00:00:00Z", "ADDRESS:8080 at TIME");
    check("uid: ae267fe3-fd53-4fa5-916b-0a499eecb6a7", "uid: UID");
    check("replicaset.apps/web-7887448d46", "replicaset.apps/web-HASH");
    check("  Normal  Pulled  2m  kubelet", "Normal Pulled AGE kubelet");
    for unchanged in ["cpu: 50m, memory 64Mi", "cpu: 50m", "delay=0s timeout=1s period=10s"] {
        check(unchanged, unchanged);
    }
    assert_eq!(normalize("cart-1  1/1  2 (3m ago)  12m", "get pods"), "cart-1 1/1 2 (AGE ago) AGE");
    assert_eq!(normalize("cpu: 50m", "get pod x -o yaml"), "cpu: 50m");
}
