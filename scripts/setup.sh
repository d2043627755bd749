#!/usr/bin/env bash
# Installs the prerequisites of a build: the pinned toolchain with `clippy` and `rustfmt`, and a C compiler (for SQLite).
# Prints what it installs and does not change existing installations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

log() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

if ! command -v cargo >/dev/null; then
    if [[ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]]; then
        fail "cargo is installed but not on PATH; hint: source \"${CARGO_HOME:-$HOME/.cargo}/env\""
    fi
    fail "cargo was not found; hint: install rustup (https://rustup.rs), which then installs the toolchain automatically"
fi

# rust-toolchain.toml defines the channel and the components.
if command -v rustup >/dev/null; then
    channel="$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)"
    [[ -n "$channel" ]] || fail "rust-toolchain.toml contains no channel"
    if ! rustup toolchain list | grep -q "^$channel-"; then
        log "installing the Rust toolchain $channel (rustup)"
        rustup toolchain install "$channel" --profile minimal --component clippy --component rustfmt
    fi
    installed="$(rustup component list --toolchain "$channel" --installed)"
    for component in clippy rustfmt; do
        if ! grep -q "^$component" <<<"$installed"; then
            log "installing $component for Rust $channel (rustup)"
            rustup component add --toolchain "$channel" "$component"
        fi
    done
fi
cargo clippy --version >/dev/null || fail "cargo clippy is not available; hint: install clippy for this toolchain"
cargo fmt --version >/dev/null || fail "cargo fmt is not available; hint: install rustfmt for this toolchain"

if ! command -v cc >/dev/null && ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then
    if command -v apt-get >/dev/null && [[ "$(id -u)" == 0 ]]; then
        log "installing gcc and libc6-dev (apt-get) to compile SQLite"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev
    else
        fail "no C compiler was found; hint: install gcc or clang, which is required to compile SQLite"
    fi
fi
