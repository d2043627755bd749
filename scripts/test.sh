#!/usr/bin/env bash
# Everything that CI checks, stage by stage; a failed stage does not stop the ones after it.
# Ends with the times of the stages, what was skipped, and the closing lines of the test runner. Non-zero if anything failed.
#
# Tests that need a server are `#[ignore = "needs: NAME"]`, in a module called NAME; `tests/NAME/run` starts the server,
# runs them by name and stops it. It prints `SKIPPED name: why` for what could not be started and exits with 77 if that was all.
# With CI=true, a skip that does not stand in tests/allowed-skips is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}" # Logs are searched below.
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}" # Properties are tried on the same draws each time; another seed tries others.
target="${CARGO_TARGET_DIR:-target}"
locked=()
[[ "${CI:-}" == true ]] && locked=(--locked)

scripts/setup.sh

logs="$(mktemp -d "${TMPDIR:-/tmp}/chiron-test.XXXXXX")"
# Inherited by every process that a stage starts, so that one left behind can be told from everybody else's.
export CHIRON_TEST_MARK="chiron-test-$$-$RANDOM"

# Prints the ids of live processes that carry our mark. The mark was set after this shell began, so it is not among them.
marked() {
    local environment pid
    for environment in /proc/[0-9]*/environ; do
        if grep -qszxF "CHIRON_TEST_MARK=$CHIRON_TEST_MARK" "$environment" 2>/dev/null; then
            pid="${environment#/proc/}"
            pid="${pid%/environ}"
            grep -qs '^State:.*[ZX] (' "/proc/$pid/status" || echo "$pid"
        fi
    done
}

sweep() {
    local pid
    for pid in $(marked); do kill "$pid" 2>/dev/null || true; done
    for _ in {1..30}; do
        # Spelled out: in a trap a bare `return` gives the status of what ended the script.
        [[ -z "$(marked)" ]] && return 0
        sleep 0.1
    done
    for pid in $(marked); do kill -KILL "$pid" 2>/dev/null || true; done
}

finish() {
    sweep
    rm -rf "$logs"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

stages=() seconds=() verdicts=()
failed=0

# stage NAME COMMAND...: runs it, shows and keeps its output, and notes time and verdict.
stage() {
    local name="$1" log="$logs/$1.log" started="$SECONDS" status=0 shown
    shift
    printf '\n=== %s: %s\n' "$name" "$*"
    : >"$log"
    # A file and not a pipe: a process left behind would hold a pipe open and hang us.
    tail -n +1 -f "$log" 2>/dev/null &
    shown=$!
    "$@" >>"$log" 2>&1 &
    wait $! || status=$?
    sleep 0.3
    kill "$shown" 2>/dev/null || true
    wait "$shown" 2>/dev/null || true

    local left
    left="$(marked)"
    if [[ -n "$left" ]]; then
        echo "$name left processes behind:"
        for pid in $left; do echo "  $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)"; done
        sweep
        [[ "$status" == 0 ]] && status=1
    fi
    stages+=("$name")
    seconds+=("$((SECONDS - started))")
    if [[ "$status" == 77 ]] && ! grep -q '^SKIPPED ' "$log"; then
        echo "$name says that it was skipped, and not what; hint: it prints \`SKIPPED name: why\` before it exits with 77"
        status=1
    fi
    # A module that was renamed must not leave its suite empty.
    if [[ "$status" == 0 && "$1" == tests/*/run ]] && ! grep -qE '^test result: ok\. [1-9]' "$log"; then
        echo "$name ended well and ran no test"
        status=1
    fi
    case "$status" in
        0) verdicts+=("ok") ;;
        77) verdicts+=("skipped") ;;
        *) verdicts+=("FAILED ($status)"); failed=1 ;;
    esac
}

# Writes the names of all tests where tests/it/requirements.rs looks for them.
list_tests() {
    mkdir -p "$target"
    # A file beside it, renamed: a test that reads it meanwhile sees the old list or the new one.
    cargo test "${locked[@]}" --workspace --tests -- --list >"$target/test-list.new" 2>&1 ||
        { cat "$target/test-list.new"; return 1; }
    mv "$target/test-list.new" "$target/test-list.txt"
    echo "$(grep -c ': test$' "$target/test-list.txt") tests"
}

# Every ignored test must belong to a suite that runs it by name, or it would never run at all.
ignored_tests_have_a_suite() {
    local name suite owner list orphans=0
    list="$(cargo test "${locked[@]}" --workspace --tests -- --ignored --list 2>&1)" || { echo "$list"; return 1; }
    while read -r name; do
        owner=""
        for suite in tests/*/run; do
            [[ -e "$suite" ]] || continue
            suite="$(basename "$(dirname "$suite")")"
            case "::$name::" in *"::$suite::"*) owner="$suite" ;; esac
        done
        if [[ -z "$owner" ]]; then
            echo "the ignored test $name is in no module named after a suite in tests/*/run; hint: who runs it?"
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
stage ignored ignored_tests_have_a_suite
# By itself, for it takes minutes the first time and seconds ever after; the suites below find what it built.
stage servers scripts/servers/kubernetes.sh build
for suite in tests/*/run; do
    stage "$(basename "$(dirname "$suite")")" "$suite"
done

printf '\n=== times\n'
for index in "${!stages[@]}"; do
    printf '%-14s %6d s  %s\n' "${stages[index]}" "${seconds[index]}" "${verdicts[index]}"
done
printf '%-14s %6d s\n' "all" "$SECONDS"

skips="$(sed -n 's/^SKIPPED \([^:]*\): .*/\1/p' "$logs"/*.log | sort -u)"
if [[ -n "$skips" ]]; then
    printf '\n=== skipped\n'
    grep -h '^SKIPPED ' "$logs"/*.log | sort -u
    if [[ "${CI:-}" == true ]]; then
        while read -r skip; do
            if ! grep -qxF "$skip" <(sed 's/ *#.*//' tests/allowed-skips); then
                echo "FAILED: $skip was skipped, and tests/allowed-skips does not allow it"
                failed=1
            fi
        done <<<"$skips"
    fi
fi

printf '\n=== closing lines of the test runner (without those of targets that hold no test)\n'
grep -hE '^(test result:|error:|test .* FAILED$)' "$logs/tests.log" | grep -v ' 0 passed; 0 failed; 0 ignored;' ||
    echo "none: the tests did not run"
for index in "${!stages[@]}"; do
    case "${verdicts[index]}" in FAILED*) echo "FAILED: ${stages[index]}" ;; esac
done
exit "$failed"
