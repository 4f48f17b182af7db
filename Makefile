# Everything that a contributor runs. `make` lists it. CI calls the same targets, through .ci/run.

CARGO ?= cargo

# Tests wait for more than they compute: more of them at once than there are cores.
THREADS := --test-threads=6
# What does not start its service as every other test does, and would only run again as it did before.
ALONE := --skip instances:: --skip command_line:: --skip readme:: --skip architecture:: --skip deploy:: --skip vanish::

# What drives the service from outside, with programs of its own: `test-clients` runs it, once.
OUTSIDE := browser:: integrators:: examples::
INSIDE := $(addprefix --skip ,$(OUTSIDE))

.DEFAULT_GOAL := help
.PHONY: help run test test-sqlite test-clients test-postgres test-instances lint openapi bench

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

run: ## runs the service on 127.0.0.1:8080, with parlour.db in this folder
	$(CARGO) run --release

test: test-sqlite test-clients test-postgres test-instances ## runs every test: on SQLite, from outside, on PostgreSQL, and on two instances

test-sqlite: ## runs all tests but those from outside, on SQLite
	.ci/install-test-tools
	PARLOUR_TEST_DATABASE=sqlite $(CARGO) test --workspace -- $(INSIDE)

test-clients: ## runs what drives the service from outside: generated clients, schemathesis, examples, browsers
	.ci/install-client-tools
	PARLOUR_TEST_DATABASE=sqlite $(CARGO) test --test it -- --test-threads=2 $(OUTSIDE)

test-postgres: ## runs the black-box tests on PostgreSQL, whose server is installed if it is missing
	.ci/install-test-tools
	PARLOUR_TEST_DATABASE=postgres $(CARGO) test --test it -- $(THREADS) $(INSIDE)

# Two instances, and every call goes to either of them: over each bus in turn. What the tests that are left out are about
# is several instances, or a process, by itself: `test-postgres` has run them.
test-instances: ## runs the black-box tests on two instances, on PostgreSQL, over both buses
	.ci/install-test-tools
	for bus in postgres nats; do \
	    PARLOUR_TEST_DATABASE=postgres PARLOUR_TEST_BUS=$$bus $(CARGO) test --test it -- $(THREADS) $(INSIDE) $(ALONE) || exit 1; \
	done

lint: ## checks the format, clippy's lints and the documentation; a warning is an error
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace

openapi: ## writes openapi.yaml anew from the code
	$(CARGO) run --quiet -- openapi > openapi.yaml.new
	mv openapi.yaml.new openapi.yaml

bench: ## measures a release build on this machine, with nginx and nchan beside it where they are installed
	$(CARGO) build --release --workspace
	$(CARGO) run --release --quiet --package parlour-bench -- $(BENCH)
