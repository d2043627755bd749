#!/usr/bin/env bash
# Runs the lints exactly as CI does: all of them, or the given ones (fmt, clippy, doc, deny).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

locked=()
[[ "${CI:-}" == true ]] && locked=(--locked) # In CI, a manifest that does not match the lock file is an error.

lint_fmt() { cargo fmt --all -- --check; }
lint_clippy() { cargo clippy "${locked[@]}" --workspace --all-targets -- -D warnings; }
lint_doc() { RUSTDOCFLAGS="-D warnings" cargo doc "${locked[@]}" --workspace --no-deps; }
# `tests/it/architecture.rs` also checks licences and banned crates; advisories and duplicates require cargo-deny.
lint_deny() {
    if cargo deny --version >/dev/null 2>&1; then
        cargo deny check
    else
        echo "cargo-deny is not installed: advisories are not checked (a test checks licences and bans)"
    fi
}

if [[ $# == 0 ]]; then
    scripts/setup.sh
    set -- fmt clippy doc deny
fi
for lint in "$@"; do
    case "$lint" in
        fmt | clippy | doc | deny) "lint_$lint" ;;
        *) echo "check: unknown lint '$lint'; hint: use fmt, clippy, doc or deny" >&2; exit 2 ;;
    esac
done
