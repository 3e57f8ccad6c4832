# The eight verbs of the workshop, and three for releases; CI uses the same ones. `make BIN=/some/venv/bin ...` uses another environment.
BIN ?= .venv/bin

.PHONY: setup style types layers test cover bench run lock audit sbom

setup: # make .venv with everything that the other verbs need
	root="$(CURDIR)" sh -euc '. ./.ci/environment.sh; prepare local mcp test'

style: # lint, format, shell syntax
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	for script in start.sh test.sh .ci/environment.sh; do sh -n $$script || exit; done; bash -n .ci/run

types: # mypy --strict
	$(BIN)/mypy

layers: # who may import whom
	$(BIN)/lint-imports

test: # the tests, as fast as they go
	$(BIN)/python -m pytest

cover: # the tests, with the coverage that every package owes
	PYTHONASYNCIODEBUG=1 $(BIN)/python .ci/cover.py

bench: # every question of bench/README.md, in some twenty minutes
	$(BIN)/python -m bench all

run: # serve from this checkout
	./start.sh

# For whoever makes a release. They need the extra `release`: pip install -e '.[release]'

lock: # requirements.lock anew: what `local` and `mcp` need, each at one version, each file by its hash
	$(BIN)/uv pip compile pyproject.toml --extra local --extra mcp --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command "make lock" --quiet --output-file requirements.lock

audit: # known vulnerabilities of what is locked, by the index's own advisories; a package that nobody could look up fails it, too
	$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements.lock

sbom: # sbom.json: the same as a software bill of materials, CycloneDX
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible --output-file sbom.json requirements.lock
