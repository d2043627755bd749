# `make demo` runs the demo, `make test` runs all checks of CI.
# ARGS are passed to the program: `make demo ARGS="--seed 7"`. All targets share one target folder (CARGO_TARGET_DIR).

.PHONY: help demo test test-full check release

help:
	@echo "make demo     build Chiron and show the remediation of one incident in a simulated cluster"
	@echo "make test     run all checks of CI: lints, tests, tests with real servers"
	@echo "make test-full PART=name  run one of the long checks; without PART, list them"
	@echo "make check    run only the lints, exactly as CI does"
	@echo "make release  build the optimised binary"

demo:
	@scripts/setup.sh
	cargo build
	@cargo run --quiet -- demo $(ARGS)

test:
	@scripts/test.sh

test-full:
	@scripts/test-full.sh $(PART)

check:
	@scripts/check.sh

release:
	@scripts/setup.sh
	cargo build --release
