#!/usr/bin/env bash
# Runs all checks of CI in stages; a failed stage does not stop the later ones.
# Prints the times of the stages, the skipped suites and a summary of the test results. Exits non-zero if a stage failed.
#
# Tests that need a server are marked `#[ignore = "needs: NAME"]` in a module NAME; `tests/NAME/run` starts the server,
# runs these tests by name and stops the server. If it cannot start the server, it prints `SKIPPED name: reason` and
# exits with 77. With CI=true, a skip that is not listed in tests/allowed-skips is a failure.
#
# Storms, kills and evaluations are called `slow_…` and marked `#[ignore = "slow: run by make test"]`: `cargo test` leaves
# them out, and the stage `slow` runs all of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}" # The logs are searched below.
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}" # Makes property tests deterministic; another seed generates other inputs.
target="${CARGO_TARGET_DIR:-target}"
locked=()
[[ "${CI:-}" == true ]] && locked=(--locked)

scripts/setup.sh

logs="$(mktemp -d "${TMPDIR:-/tmp}/chiron-test.XXXXXX")"
# Inherited by every process that a stage starts, to identify processes that a stage left running.
export CHIRON_TEST_MARK="chiron-test-$$-$RANDOM"

# Prints the ids of live processes with the mark. This shell is not included, because it set the mark after its start.
marked_processes() {
    local environment pid
    for environment in /proc/[0-9]*/environ; do
        if grep -qszxF "CHIRON_TEST_MARK=$CHIRON_TEST_MARK" "$environment" 2>/dev/null; then
            pid="${environment#/proc/}"
            pid="${pid%/environ}"
            grep -qs '^State:.*[ZX] (' "/proc/$pid/status" || echo "$pid"
        fi
    done
}

kill_marked_processes() {
    local pid
    for pid in $(marked_processes); do kill "$pid" 2>/dev/null || true; done
    for _ in {1..30}; do
        # Explicit status: in a trap, a bare `return` returns the status that ended the script.
        [[ -z "$(marked_processes)" ]] && return 0
        sleep 0.1
    done
    for pid in $(marked_processes); do kill -KILL "$pid" 2>/dev/null || true; done
}

finish() {
    kill_marked_processes
    rm -rf "$logs"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

stages=() seconds=() results=()
failed=0

# stage NAME COMMAND...: runs the command, shows and stores its output, and records time and result.
stage() {
    local name="$1" log="$logs/$1.log" started="$SECONDS" status=0 shown
    shift
    printf '\n=== %s: %s\n' "$name" "$*"
    : >"$log"
    # A file instead of a pipe: a process that is left running would keep a pipe open and block this script.
    tail -n +1 -f "$log" 2>/dev/null &
    shown=$!
    "$@" >>"$log" 2>&1 &
    wait $! || status=$?
    sleep 0.3
    kill "$shown" 2>/dev/null || true
    wait "$shown" 2>/dev/null || true

    local left
    left="$(marked_processes)"
    if [[ -n "$left" ]]; then
        echo "$name left processes running:"
        for pid in $left; do echo "  $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)"; done
        kill_marked_processes
        [[ "$status" == 0 ]] && status=1
    fi
    stages+=("$name")
    seconds+=("$((SECONDS - started))")
    if [[ "$status" == 77 ]] && ! grep -q '^SKIPPED ' "$log"; then
        echo "$name was skipped without a reason; hint: print \`SKIPPED name: reason\` before exiting with 77"
        status=1
    fi
    # Detects a suite that runs no tests because its module was renamed.
    if [[ "$status" == 0 && "$1" == tests/*/run ]] && ! grep -qE '^test result: ok\. [1-9]' "$log"; then
        echo "$name succeeded without running a test"
        status=1
    fi
    case "$status" in
        0) results+=("ok") ;;
        77) results+=("skipped") ;;
        *) results+=("FAILED ($status)"); failed=1 ;;
    esac
}

# Writes the names of all tests to the file that tests/it/requirements.rs reads.
list_tests() {
    mkdir -p "$target"
    # Written to a temporary file and renamed, so that a concurrent reader sees either the old or the new list.
    cargo test "${locked[@]}" --workspace --tests -- --list >"$target/test-list.new" 2>&1 ||
        { cat "$target/test-list.new"; return 1; }
    mv "$target/test-list.new" "$target/test-list.txt"
    echo "$(grep -c ': test$' "$target/test-list.txt") tests"
}

# Runs the tests called `slow_…`, and fails unless as many passed as the list of all tests contains.
run_slow_tests() {
    local output expected passed
    expected="$(grep -cE '(^|::)slow_[a-z0-9_]*: test$' "$target/test-list.txt" || true)"
    output="$(mktemp "$logs/slow.XXXXXX")"
    cargo test "${locked[@]}" --workspace --tests --no-fail-fast -- --ignored slow_ 2>&1 | tee "$output" || return 1
    passed="$(sed -n 's/^test result: ok\. \([0-9]*\) passed;.*/\1/p' "$output" | awk '{ sum += $1 } END { print sum + 0 }')"
    echo "$passed of $expected slow tests passed"
    [[ "$expected" -gt 0 && "$passed" == "$expected" ]]
}

# Every ignored test has to belong to a suite that runs it by name; otherwise it would never run.
check_ignored_tests_have_suite() {
    local name suite owner list orphans=0
    list="$(cargo test "${locked[@]}" --workspace --tests -- --ignored --list 2>&1)" || { echo "$list"; return 1; }
    while read -r name; do
        owner=""
        # The stage `slow` runs the first kind, and a test of the same module the second, as its child process.
        case "${name##*::}" in slow_* | child_*) owner="${name##*::}" ;; esac
        for suite in tests/*/run; do
            [[ -e "$suite" ]] || continue
            suite="$(basename "$(dirname "$suite")")"
            case "::$name::" in *"::$suite::"*) owner="$suite" ;; esac
        done
        for suite in tests/full/*; do
            suite="full_$(basename "$suite")"
            case "::$name::" in *"::$suite::"*) owner="$suite" ;; esac
        done
        if [[ -z "$owner" ]]; then
            echo "no suite runs the ignored test $name; hint: move it to a module called NAME for tests/NAME/run, or full_NAME for tests/full/NAME"
            orphans=1
        fi
    done < <(sed -n 's/: test$//p' <<<"$list")
    return "$orphans"
}

stage fmt scripts/check.sh fmt
stage clippy scripts/check.sh clippy
stage doc scripts/check.sh doc
stage deny scripts/check.sh deny
stage list list_tests
stage tests cargo test "${locked[@]}" --workspace --no-fail-fast
stage slow run_slow_tests
stage ignored check_ignored_tests_have_suite
# A separate stage, because the first build takes minutes; later builds and the suites below use its cache.
stage servers scripts/servers/kubernetes.sh build
for suite in tests/*/run; do
    stage "$(basename "$(dirname "$suite")")" "$suite"
done

printf '\n=== times\n'
for index in "${!stages[@]}"; do
    printf '%-14s %6d s  %s\n' "${stages[index]}" "${seconds[index]}" "${results[index]}"
done
printf '%-14s %6d s\n' "all" "$SECONDS"

skips="$(sed -n 's/^SKIPPED \([^:]*\): .*/\1/p' "$logs"/*.log | sort -u)"
if [[ -n "$skips" ]]; then
    printf '\n=== skipped\n'
    grep -h '^SKIPPED ' "$logs"/*.log | sort -u
    if [[ "${CI:-}" == true ]]; then
        while read -r skip; do
            if ! grep -qxF "$skip" <(sed 's/ *#.*//' tests/allowed-skips); then
                echo "FAILED: $skip was skipped, but is not listed in tests/allowed-skips"
                failed=1
            fi
        done <<<"$skips"
    fi
fi

printf '\n=== test results (without empty test targets)\n'
{ grep -hE '^(test result:|error:|test .* FAILED$)' "$logs/tests.log" "$logs/slow.log" | grep -v ' 0 passed; 0 failed; 0 ignored;' ||
    echo "none: no tests were run"; } | tee "$target/test-summary.txt"
for index in "${!stages[@]}"; do
    case "${results[index]}" in FAILED*) echo "FAILED: ${stages[index]}" ;; esac
done
exit "$failed"
