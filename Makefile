# `make help` shows what there is. Each target does all the set-up it needs.
.POSIX:
SHELL = /bin/sh
BIN = .venv/bin
# Where this is not a git checkout, .gitignore does not keep ruff out of the tools.
WHERE = . --extend-exclude .tools

.DEFAULT_GOAL = help
.PHONY: help install hooks demo start-api mlflow-start repro register-model promote-model repro-check tables test test-long test-unit faults soak fuzz security-check wire-check watch-check watch-short parity lint-check lint-fix format-check format-fix type-check bench bench-peers bench-compare bench-growth bench-events bench-features bench-families bench-rules bench-wire bench-training exact-windows bench-challenger api-load api-fuzz rollout-check rules-check docs deploy-api ship-tools ship-check clean lock

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name about; do printf '  make %-16s %s\n' "$$name" "$$about"; done

install: ## Make .venv ready (the other targets do it by themselves)
	@scripts/setup

hooks: install ## Check each commit and each push of this clone by themselves
	@$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

demo: install ## The whole path once, on this machine; DATA=FILE takes your own transactions
	@if [ -n "$(DATA)" ]; then $(BIN)/fraudstream demo --data "$(DATA)"; else $(BIN)/fraudstream demo; fi

start-api: install ## Answer requests over HTTP, with the settings of this shell and of .env
	@$(BIN)/fraudstream api

mlflow-start: install ## Start MLflow on this machine; `fraudstream local down` ends it
	@$(BIN)/fraudstream local up --only mlflow

# DVC starts the stages with the python of the path.
repro: install ## Prepare, train, evaluate: what is behind params.yaml, data or code (DVC)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

register-model: install ## Register in MLflow what `make repro` made
	@$(BIN)/python -m training.pipeline.stages register

promote-model: install ## Let the workers follow the challenger, if its gates pass; VERSION=N another
	@$(BIN)/fraudstream promote $(VERSION)

repro-check: install ## `dvc repro`, push and pull in a clone of this commit
	@$(BIN)/python -m pytest tests/documents/repro.py

tables: install ## The Handbook's tables, measured; HANDBOOK=FILE, ../shared/data/handbook_raw.parquet by default
	@for protocol in handbook-ch3 handbook-ch5; do $(BIN)/fraudstream evaluate --protocol $$protocol --json "tables/$$protocol.json" \
		--data "$${HANDBOOK:-../shared/data/handbook_raw.parquet}" || exit 1; done

# One process more than two cores have: tests with servers mostly wait. No more, for all share the servers.
PROCESSES = -n 3 --dist loadgroup --no-loadscope-reorder

test: install ## All tests but the long ones, with coverage; FRAUDSTREAM_TEST_BACKEND=docker takes containers
	@echo "servers for the tests: $${FRAUDSTREAM_TEST_BACKEND:-local}"
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest $(PROCESSES) -m "not long" --cov --cov-report=
	@$(BIN)/python -m coverage xml --quiet
	@echo "coverage: $$($(BIN)/python -m coverage report --format=total) % (by line: coverage.xml)"

test-long: install ## The tests that take a worker through minutes, each: codecs, producers' transactions
	@$(BIN)/python -m pytest $(PROCESSES) -m long tests/e2e

test-unit: install ## The tests that need no server
	@$(BIN)/python -m pytest tests/unit -x

faults: install ## Break everything, then compare with the ledger; FAULTS=N, 60 by default
	@$(BIN)/python -m tests.faults.run

soak: install ## An hour of load with a fault a minute: memory, handles and lag (build/soak.svg); MINUTES=N
	@$(BIN)/python -m tests.faults.soak

fuzz: install ## Look for input that breaks decoder, packed state, takeover or API, ten minutes each; MINUTES=N
	@$(BIN)/python -m tests.fuzz.run

security-check: install ## What was mended stays mended, and each test of it can fail; ONLY=redis for some
	@$(BIN)/python -m tests.security.run --only "$(ONLY)"

parity: install ## Replay the Handbook's history through real workers; online must equal offline to the bit
	@$(BIN)/python -m tests.parity.run

wire-check: install ## What others write, by every codec, framing and partitioner, becomes what it should; its controls fail
	@$(BIN)/python -m tests.wire.run

watch-check: install ## Every query of the dashboards has data, every alarm fires when its fault is made
	@$(BIN)/python -m tests.watch.run

watch-short: install ## The queries, and one fault: a short form of watch-check, for CI
	@$(BIN)/python -m pytest tests/watch/short.py

lint-check: install ## Find what the linter objects to
	@$(BIN)/ruff check $(WHERE)

lint-fix: install ## Mend what the linter can mend
	@$(BIN)/ruff check --fix $(WHERE)

format-check: install ## Find files that are not formatted
	@$(BIN)/ruff format --check $(WHERE)

format-fix: install ## Format all files
	@$(BIN)/ruff format $(WHERE)

type-check: install ## Check the types
	@$(BIN)/mypy

bench: install ## Measure throughput and latency on this machine
	@$(BIN)/python -m benchmarks.throughput

bench-peers: install ## Measure it beside Kafka Streams, Quix Streams and a naive Faust agent, in one run; needs Maven and a JDK
	@$(BIN)/python -m benchmarks.peers.run

docs: install ## Build the documents into site/, strictly, and walk every command in them; DOCS_WALK=no only builds
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@$(BIN)/python -m pytest tests/documents/made.py
	@if [ "$(DOCS_WALK)" != no ]; then $(BIN)/python -m pytest --verbose tests/documents/walk.py; fi
	@echo "docs: site/index.html"

deploy-api: install ## Build, push to ECR, update the ECS service; PLATFORM=linux/amd64 (default) or linux/arm64
	@$(BIN)/python scripts/deploy_api.py
bench-growth: install ## Measure how cost grows with cards, partitions, workers, features, trees and alerts; GROWTH_ONLY=cards,trees
	@$(BIN)/python -m benchmarks.growth.run

bench-events: install ## Measure latency while a worker joins or dies, a model changes, Redis restarts, state is rebuilt
	@$(BIN)/python -m benchmarks.events

bench-features: install ## Measure what features cost; HISTORY=FILE takes a history of your own
	@$(BIN)/python -m benchmarks.features

bench-families: install ## Measure which family of features finds which scenario of fraud; SEEDS=0,1 CARDS=800, FROM=FILE for the table
	@$(BIN)/python -m benchmarks.families

bench-rules: install ## Measure what rules and lists cost, alone and in a worker; BENCH_RULES_START=no BENCH_RULES_WORKER=no without servers
	@$(BIN)/python -m benchmarks.rules

bench-wire: install ## Measure what a mapping and Avro cost a record, beside our own JSON, without servers
	@$(BIN)/python -m benchmarks.wire

bench-compare: install ## Two outputs of `make bench` side by side: BEFORE=FILE AFTER=FILE
	@$(BIN)/python -m benchmarks.compare "$(BEFORE)" "$(AFTER)"

bench-training: install ## Measure what a large history costs to train on; MILLIONS=N transactions, OPTIONS="--trees 20"
	@$(BIN)/python -m benchmarks.training

exact-windows: install ## Chapter 3's forest on exact windows beside tiles; HANDBOOK=FILE
	@$(BIN)/python -m benchmarks.exact_windows

ship-tools: install ## Make the tools of ship-check ready in .tools/ship (Go programs, built: minutes, once)
	@scripts/ship/tools || echo "ship-tools: the checks of what is missing are skipped"

ship-check: ship-tools ## Ask images, compose, chart and Terraform of the real tools; ONLY="helm terraform" for some
	@$(BIN)/python -m tests.ship.check $(ONLY)

bench-challenger: install ## Measure what a challenger costs a worker on this machine
	@$(BIN)/python -m benchmarks.challenger

api-load: install ## Measure the API under load on this machine; API_OFFERED=N requests a second, 500 by default
	@$(BIN)/python -m benchmarks.api_load

rollout-check: install ## Change models under load: nothing lost, nobody waits; ROLLOUT_RATE=N payments a second
	@$(BIN)/python -m benchmarks.rollout_check

rules-check: install ## Rules and lists live on two workers, killed amid releases, then verified; RULES_RATE=N payments a second
	@$(BIN)/python -m tests.rules_check.run

api-fuzz: install ## Schemathesis against the real API, all phases
	@$(BIN)/python -m tests.e2e.api_server

clean: ## Remove caches and reports; .venv, .tools and .fraudstream stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site htmlcov .coverage .coverage.* coverage.xml
	@find stream_app training tests benchmarks examples -name __pycache__ -type d -exec rm -rf {} + 2>/dev/null || true

UV = $$(command -v uv || echo .tools/uv/bin/uv)
COMPILE = $(UV) pip compile --quiet pyproject.toml --generate-hashes --universal --python-version 3.12 --no-header --no-emit-index-url

lock: install ## Pin all packages anew, after a change of pyproject.toml
	@$(COMPILE) --all-extras -o requirements.lock
	@$(COMPILE) --extra api --constraint requirements.lock -o requirements-serve.lock
	@$(COMPILE) --extra training --constraint requirements.lock -o requirements-training.lock
	@{ cat docker/mlflow/requirements.in; grep -o '^mlflow==[^ ]*' requirements.lock; } | $(UV) pip compile --quiet - --generate-hashes \
		--python-platform linux --python-version 3.12 --no-header --no-annotate --no-emit-index-url -o requirements-mlflow.lock
	@$(UV) pip compile --quiet docker/build-requirements.in --generate-hashes \
		--universal --python-version 3.12 --no-header --no-annotate --no-emit-index-url -o requirements-build.lock
	@$(UV) pip compile --quiet scripts/ship/requirements.in --generate-hashes \
		--python-platform linux --python-version 3.12 --no-header --no-annotate --no-emit-index-url -o requirements-ship.lock
	@! grep -nE '(https?|git)(:|\+)' requirements*.lock || { echo "lock: a lock file names a host" >&2; exit 1; }
