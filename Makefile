# Everything that a contributor runs. `make` lists it. CI calls the same targets, through .ci/run.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help run test test-sqlite test-postgres lint openapi

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

run: ## runs the service on 127.0.0.1:8080, with parlour.db in this folder
	$(CARGO) run --release

test: test-sqlite test-postgres ## runs every test: all on SQLite, the black-box tests again on PostgreSQL

test-sqlite: ## runs all tests, on SQLite
	.ci/install-test-tools
	PARLOUR_TEST_DATABASE=sqlite $(CARGO) test --workspace

test-postgres: ## runs the black-box tests on PostgreSQL, whose server is installed if it is missing
	.ci/install-test-tools
	PARLOUR_TEST_DATABASE=postgres $(CARGO) test --test it

lint: ## checks the format, clippy's lints and the documentation; a warning is an error
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace

openapi: ## writes openapi.yaml anew from the code
	$(CARGO) run --quiet -- openapi > openapi.yaml.new
	mv openapi.yaml.new openapi.yaml
