#!/usr/bin/env bash
# The long checks, in parts: heavy features, long servers, long evaluations. Each part takes at most 25 minutes.
#
#   test-full.sh                 lists the parts, and which of them are out of date
#   test-full.sh NAME...         runs the named parts; each one that passes is written to tests/full.lock
#   test-full.sh --stale         runs every part that is out of date (CI does this)
#   test-full.sh --digest NAME   prints the digest of what a part covers
#
# A part is an executable file tests/full/NAME whose header says what it covers:
#
#   # covers: PATH...       tracked files and folders; a change of any of them makes the part out of date
#   # packages: CRATE...    crates of the workspace; a change of a locked version that they use makes it out of date
#
# tests/full.lock holds one line per part: the name and the digest of what it covered when it last passed.
# A part that cannot run here prints `SKIPPED name: reason` and exits with 77; that is never written to the lock file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lock=tests/full.lock
limit_seconds=1500

parts() { find tests/full -maxdepth 1 -type f -perm -u+x -printf '%f\n' | sort; }
header() { sed -n "s/^# $2: *//p" "tests/full/$1"; }

# SHA-256 over the covered files (the part itself included) and the locked packages that the named crates are built from.
digest() {
    local paths packages package
    read -r -a paths <<<"$(header "$1" covers)"
    read -r -a packages <<<"$(header "$1" packages)"
    {
        git ls-files -z --cached --others --exclude-standard -- "tests/full/$1" "${paths[@]}" | sort -z | xargs -0 sha256sum
        for package in ${packages[@]+"${packages[@]}"}; do
            # Crates of the workspace are printed with their folder, which differs between clones.
            cargo tree --locked --package "$package" --all-features --edges normal,build --prefix none |
                sed -e 's/ (\/.*)$//' -e 's/ (\*)$//' | sort -u
        done
    } | sha256sum | cut -d' ' -f1
}

recorded() { sed -n "s/^$1 //p" "$lock" 2>/dev/null || true; }

record() {
    local kept
    kept="$(mktemp)"
    { grep -v "^$1 " "$lock" 2>/dev/null || true; echo "$1 $2"; } | sort >"$kept"
    cat "$kept" >"$lock"
    rm -f "$kept"
}

run_part() {
    local name="$1" before started="$SECONDS" status=0
    before="$(digest "$name")"
    printf '\n=== full: %s\n' "$name"
    timeout --kill-after=10 "$limit_seconds" "tests/full/$name" || status=$?
    case "$status" in
        0) record "$name" "$before"; echo "full $name: ok, $((SECONDS - started)) s" ;;
        77) echo "full $name: skipped" ;;
        124 | 137) echo "full $name: FAILED, it took longer than $limit_seconds s" ;;
        *) echo "full $name: FAILED ($status), $((SECONDS - started)) s" ;;
    esac
    return "$status"
}

stale() {
    local name
    for name in $(parts); do
        [[ "$(recorded "$name")" == "$(digest "$name")" ]] || echo "$name"
    done
}

case "${1:-}" in
    "")
        for name in $(parts); do
            if [[ "$(recorded "$name")" == "$(digest "$name")" ]]; then state="up to date"; else state="out of date"; fi
            printf '%-14s %s\n' "$name" "$state"
        done
        echo "hint: make test-full PART=NAME runs one"
        exit 0
        ;;
    --digest) digest "${2:?the name of a part}"; exit 0 ;;
    --stale) mapfile -t names < <(stale) ;;
    *) names=("$@") ;;
esac

failed=0
for name in ${names[@]+"${names[@]}"}; do
    if [[ ! -x "tests/full/$name" ]]; then
        echo "test-full: no part is called '$name'; there are: $(parts | xargs)" >&2
        exit 2
    fi
    status=0
    run_part "$name" || status=$?
    if [[ "$status" == 77 ]]; then
        if [[ "${CI:-}" == true ]] && ! grep -qxF "full-$name" <(sed 's/ *#.*//' tests/allowed-skips); then
            echo "FAILED: full-$name was skipped, and tests/allowed-skips does not list it"
            failed=1
        fi
    elif [[ "$status" != 0 ]]; then
        failed=1
    fi
done
exit "$failed"
