# Chiron. `make demo` shows it, `make test` checks everything that CI checks.
# ARGS reach the program: `make demo ARGS="--seed 7"`. CARGO_TARGET_DIR is honoured; there is one target folder for all.

.PHONY: help demo test check release

help:
	@echo "make demo     build, and watch one incident being healed in a simulated cluster"
	@echo "make test     everything that CI checks: lints, tests, tests with real servers"
	@echo "make check    the lints alone, exactly as CI runs them"
	@echo "make release  the optimised binary"

demo:
	@scripts/setup.sh
	cargo build
	@cargo run --quiet -- demo $(ARGS)

test:
	@scripts/test.sh

check:
	@scripts/check.sh

release:
	@scripts/setup.sh
	cargo build --release
