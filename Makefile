# All commands for contributors. `make` lists them. CI calls the same targets through .ci/run.

CARGO ?= cargo

# Tests wait longer than they compute, so more of them run at once than there are cores.
THREADS := --test-threads=6
# Tests that do not use the database of `PARLOUR_TEST_DATABASE`: `test-sqlite` has run them.
STATIC := --skip architecture:: --skip deploy:: --skip docs::links:: --skip docs::names:: --skip docs::settings::
# Tests that do not start their service in the common way: on two instances they would only repeat what ran before.
ALONE := --skip instances:: --skip command_line:: --skip docs:: --skip vanish::

# Tests that use the service from outside, with other programs. Only `test-clients` runs them.
OUTSIDE := browser:: integrators:: examples::
INSIDE := $(addprefix --skip ,$(OUTSIDE))

.DEFAULT_GOAL := help
.PHONY: help run test test-sqlite test-clients test-postgres test-instances lint openapi bench

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

run: ## runs the service on 127.0.0.1:8080, with parlour.db in this folder
	$(CARGO) run --release

test: test-sqlite test-clients test-postgres test-instances ## runs every test: on SQLite, from outside, on PostgreSQL, and on two instances

test-sqlite: ## runs all tests except those from outside, on SQLite
	.ci/install-test-tools
	PARLOUR_TEST_DATABASE=sqlite $(CARGO) test --workspace -- $(INSIDE)

test-clients: ## runs the tests from outside: generated clients, schemathesis, examples, browsers
	.ci/install-client-tools
	PARLOUR_TEST_DATABASE=sqlite $(CARGO) test --test it -- --test-threads=2 $(OUTSIDE)

test-postgres: ## runs the black-box tests on PostgreSQL, which is installed if it is missing
	.ci/install-test-tools
	PARLOUR_TEST_DATABASE=postgres $(CARGO) test --test it -- $(THREADS) $(INSIDE) $(STATIC)

# Two instances, and each call goes to either of them; first over one bus, then over the other. The skipped tests start
# several instances or a process of their own: `test-postgres` has run them.
test-instances: ## runs the black-box tests on two instances, on PostgreSQL, over both buses
	.ci/install-test-tools
	for bus in postgres nats; do \
	    PARLOUR_TEST_DATABASE=postgres PARLOUR_TEST_BUS=$$bus $(CARGO) test --test it -- $(THREADS) $(INSIDE) $(STATIC) $(ALONE) || exit 1; \
	done

lint: ## checks the format, clippy's lints, the documentation and the dependencies; a warning is an error
	.ci/install-lint-tools
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace --document-private-items
	target/lint/bin/cargo-deny --offline check licenses bans sources

openapi: ## writes openapi.yaml anew from the code
	$(CARGO) run --quiet -- openapi > openapi.yaml.new
	mv openapi.yaml.new openapi.yaml

bench: ## measures a release build on this machine, next to nginx with nchan if they are installed
	$(CARGO) build --release --workspace
	$(CARGO) run --release --quiet --package parlour-bench -- $(BENCH)
