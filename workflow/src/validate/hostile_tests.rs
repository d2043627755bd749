//! Files of nearly 1 MiB, each hostile in a different way. All are rejected by a limit before the end of the file.

use std::fmt::Write as _;

use super::tests::catalogue;
use super::*;

const MIB: usize = 1 << 20;
const HEAD: &str = "apiVersion: chiron.dev/v1alpha1\nkind: RemediationWorkflow\nmetadata: {name: hostile}\nspec:\n";
const STEPS: &str = "  steps:\n";

/// Returns `head` and as many lines as fit into 1 MiB.
fn filled(head: &str, line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = head.to_string();
    for number in 0.. {
        let line = line(number);
        if text.len() + line.len() >= MIB {
            break;
        }
        text.push_str(&line);
    }
    // A comment pads the file to nearly 1 MiB.
    let rest = (MIB - 1).saturating_sub(text.len());
    if rest >= 4 {
        text.push_str("\n# ");
        text.extend(std::iter::repeat_n('x', rest - 3));
    }
    text.into_bytes()
}

fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut utf8 = filled(&format!("{HEAD}  x: \""), |_| "é".into());
    utf8[MIB - 10] = 0xff;
    let many_needs = |step: usize| {
        let needs: Vec<String> = (0..80)
            .map(|need| {
                format!(
                    "step-number-{:03}-of-a-great-many-each-with-a-name-of-some-length",
                    (step + need) % 200
                )
            })
            .collect();
        format!(
            "    - {{id: step-number-{step:03}-of-a-great-many-each-with-a-name-of-some-length, action: wait, arguments: {{duration: 1s}}, needs: [{}]}}\n",
            needs.join(", ")
        )
    };
    let expensive = |step: usize| {
        let conditions: Vec<String> = (0..8)
            .map(|_| {
                format!("{{read: {{}}, check: '{}'}}", vec!["[1].all(x, x == 1)"; 25].join(" && "))
            })
            .collect();
        format!(
            "    - {{id: s{step}, action: wait, arguments: {{duration: 1s}}, postconditions: [{}]}}\n",
            conditions.join(", ")
        )
    };
    vec![
        ("aliases", filled("a: &a [x, x]\nb:\n", |_| "  - *a\n".into()), "CHI0108"),
        ("anchors", filled("b:\n", |n| format!("  - &a{n} x\n")), "CHI0108"),
        ("depth", filled("a: ", |_| "[".into()), "CHI0106"),
        ("block depth", filled("a:\n", |n| format!("{}a:\n", " ".repeat(n + 1))), "CHI0106"),
        ("one scalar", filled(&format!("{HEAD}  x: "), |_| "xxxxxxxx".into()), "CHI0114"),
        ("one folded scalar", filled(&format!("{HEAD}  x: >\n"), |_| "    x\n".into()), "CHI0114"),
        (
            "20,000 steps",
            filled(&format!("{HEAD}{STEPS}"), |n| {
                format!("    - {{id: s{n}, action: wait, with: {{}}}}\n")
            }),
            "CHI0107",
        ),
        ("edges", filled(&format!("{HEAD}{STEPS}"), many_needs), "CHI0143"),
        ("duplicate keys", filled(HEAD, |_| "  key: 1\n".into()), "CHI0112"),
        ("keys", filled("", |n| format!("k{n}: 1\n")), "CHI0107"),
        ("tags", filled("b:\n", |_| "  - !!python/object:os.system x\n".into()), "CHI0110"),
        ("invalid UTF-8", utf8, "CHI0101"),
        ("CEL", filled(&format!("{HEAD}{STEPS}"), expensive), "CHI0165"),
        (
            "CEL in placeholders",
            filled(&format!("{HEAD}{STEPS}"), |n| {
                let placeholder = "${{ params.x }}".repeat(90);
                format!(
                    "    - {{id: s{n}, action: poke, arguments: {{where: '{placeholder}'}}, compensation: none}}\n"
                )
            }),
            "CHI0142",
        ),
        ("quotes", filled(&format!("{HEAD}  x: "), |_| "\"\\".into()), "CHI0103"),
        ("comments", filled("", |_| "# x\n".into()), "CHI0104"),
        ("documents", filled("", |_| "---\nx\n".into()), "CHI0105"),
        ("colons", filled("a", |_| ": ".into()), "CHI0103"),
        ("dashes", filled("", |_| "- ".into()), "CHI0106"),
        ("questions", filled("", |_| "? ".into()), "CHI0113"),
        ("braces", filled("", |_| "{a: ".into()), "CHI0106"),
    ]
}

/// Bad-input row C1: each hostile file of nearly 1 MiB is rejected with a code, line and column.
#[test]
fn hostile_files_of_one_mib_are_rejected_by_a_limit() {
    let mut wrong = String::new();
    for (name, bytes, code) in hostile() {
        assert!(bytes.len() < MIB && bytes.len() > MIB - 4_096, "{name}: {}", bytes.len());
        let parsed = validate_bytes(&bytes, &catalogue(), &Limits::default());
        assert!(parsed.value.is_none(), "{name}");
        assert!(parsed.diagnostics.len() <= MAX_FINDINGS);
        if !parsed.diagnostics.iter().any(|found| found.code == code) {
            writeln!(
                wrong,
                "{name}: no {code}: {:#?}",
                parsed.diagnostics.iter().take(3).collect::<Vec<_>>()
            )
            .unwrap();
        }
        assert!(
            parsed.diagnostics.iter().all(|found| found.line > 0 && found.column > 0),
            "{name}"
        );
        assert!(parsed.diagnostics.iter().all(|found| found.message.len() <= 33 << 10), "{name}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}
