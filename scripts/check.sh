#!/usr/bin/env bash
# The lints, exactly as CI runs them: all of them, or those named (fmt, clippy, doc, deny).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

locked=()
[[ "${CI:-}" == true ]] && locked=(--locked) # Under CI a manifest without its lock file is a mistake, not a wish.

lint_fmt() { cargo fmt --all -- --check; }
lint_clippy() { cargo clippy "${locked[@]}" --workspace --all-targets -- -D warnings; }
lint_doc() { RUSTDOCFLAGS="-D warnings" cargo doc "${locked[@]}" --workspace --no-deps; }
# Licences and banned crates are held by `tests/it/architecture.rs` too; advisories and duplicates need the tool.
lint_deny() {
    if cargo deny --version >/dev/null 2>&1; then
        cargo deny check
    else
        echo "cargo-deny is not installed: advisories were not looked up (licences and bans are held by a test)"
    fi
}

if [[ $# == 0 ]]; then
    scripts/setup.sh
    set -- fmt clippy doc deny
fi
for lint in "$@"; do
    case "$lint" in
        fmt | clippy | doc | deny) "lint_$lint" ;;
        *) echo "check: no lint is called '$lint'; there are fmt, clippy, doc and deny" >&2; exit 2 ;;
    esac
done
