# Every target sets up what it needs first; set-up is a no-op while the lock files stay the same.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Without byte code every start of a process compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

VENV := .venv/.stamp
LAB := .venv-lab/.stamp
BROWNIE := .venv-brownie/.stamp
SLITHER := .venv-slither/.stamp
HALMOS := .venv-halmos/.stamp
NODE := node_modules/.stamp

# A dozen witnesses that measure by the second want both cores, and leave none to tests beside them.
ALONE := tests/witness/byzantine
# Twice as many as there are cores: these tests wait for others about as long as they compute.
WORKERS ?= $(shell echo $$((2 * $$(nproc))))
# Histories of minutes each, most on networks of several validators: a target of their own.
NETWORK := tests/network
PACKAGES := market chain daemons provisioner witness cli
SOLIDITY := $(shell find contracts tests/contracts -name '*.sol' 2>/dev/null)
LOCK := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

say = @printf '\n== %s\n' '$(1)'

##@ Using it
.PHONY: setup engine demo
setup: $(VENV) $(LAB) $(BROWNIE) $(SLITHER) $(HALMOS) $(NODE) ## Install everything the other targets need

engine: ## Build the engine of a chain of one's own, outside this tree; needs Go, once
	@tools/engine

demo: $(VENV) $(NODE) $(if $(FAKE),,$(LAB)) ## Run the main job for real; FAKE=1 leaves the labs out, ENGINE=clique plays on four validators
	ocx demo $(if $(FAKE),--fake) $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

##@ Working on it
.PHONY: test test-contracts test-python test-brownie test-network
test: test-contracts test-python test-brownie ## Run every test but test-network's

test-contracts: $(VENV) $(NODE) ## Foundry's tests: unit, fuzz, invariants
	$(call say,forge test)
	@if [ -d tests/contracts ]; then forge test; else echo 'no contract tests'; fi

test-python: $(VENV) $(NODE) $(LAB) ## pytest; choose with ARGS="tests/market -k slots"
	$(call say,pytest)
	@python -m pytest $(or $(ARGS),-n $(WORKERS) --dist loadgroup --no-loadscope-reorder --ignore $(ALONE) --ignore $(NETWORK))
	@$(if $(ARGS),,python -m pytest $(ALONE))

test-brownie: $(VENV) $(NODE) $(BROWNIE) ## The Brownie scenario, in its own environment
	$(call say,brownie)
	@tools/brownie

test-network: $(VENV) $(NODE) $(LAB) ## Long histories: whole demos, faults, deployments, suites on four validators; needs `make engine`
	$(call say,histories on a network of validators)
	@python -m pytest $(or $(ARGS),$(NETWORK))
	@$(if $(ARGS),,python -m pytest --engine clique -n 5 --dist loadgroup --no-loadscope-reorder @$(NETWORK)/suites/on_validators.txt)

.PHONY: prove
prove: $(VENV) $(NODE) $(HALMOS) ## halmos: escrow and calendar for all values there are; planted faults must be found
	$(call say,halmos)
	@python -m tools.prove

.PHONY: check check-style check-types check-layers check-contracts check-slither check-fresh check-ansible
CHECKS := check-style check-types check-layers check-contracts check-slither check-fresh check-ansible
check: $(VENV) $(NODE) ## Everything CI asks for beside the tests; runs all checks, then names those that failed
	@failed=; for step in $(CHECKS); do $(MAKE) $$step || failed+=" $$step"; done; \
	  [ -z "$$failed" ] && printf '\nall checks passed\n' || { printf '\nfailed:%s\n' "$$failed"; exit 1; }

check-style: $(VENV) ## ruff: rules and format
	$(call say,ruff)
	@ruff check . && ruff format --check .

check-types: $(VENV) ## mypy, strict
	$(call say,mypy)
	@mypy $(addprefix -p ,$(wildcard $(PACKAGES)) tools bench) && mypy templates/plugin/ocx_example.py

check-layers: $(VENV) ## Who may import whom
	$(call say,import layers)
ifeq ($(wildcard $(PACKAGES)),$(PACKAGES))
	@lint-imports
else
	@echo 'not all of $(PACKAGES) exist yet'
endif

check-contracts: $(VENV) $(NODE) ## Solidity: format, lint, warnings, sizes
ifneq ($(SOLIDITY),)
	$(call say,forge fmt$(comma) lint and warnings)
	@forge fmt --check && FOUNDRY_PROFILE=proof forge fmt --check
	@forge lint --deny warnings contracts
	@forge build --deny warnings
	$(call say,contract sizes)
	@python -m tools.sizes
endif

check-slither: $(VENV) $(NODE) $(SLITHER) ## Slither, and a reason for everything it leaves out
	$(call say,slither)
	@python -m tools.slither

check-fresh: $(VENV) $(NODE) ## What is generated and committed equals what would be generated now
	$(call say,artifacts$(comma) bindings and the help in the pages)
ifneq ($(SOLIDITY),)
	@python -m chain.compile --check
	@python -m chain.bindings --check
endif
	@python -m tools.readme --check

check-ansible: $(VENV) ## ansible-lint: playbooks, roles and their syntax
	$(call say,ansible-lint)
	@ANSIBLE_ROLES_PATH=ansible/roles ansible-lint --nocolor -q ansible

.PHONY: artifacts docs bench soak fmt lock clean
artifacts: $(VENV) $(NODE) ## Compile the contracts, write their artifacts and the Python bindings
	@python -m chain.compile
	@python -m chain.bindings

docs: $(VENV) ## Write the live command help into the pages
	@python -m tools.readme

bench: $(VENV) $(NODE) ## Gas, speed and the times the design promises; ARGS=NAME for one, ARGS=chain_soak for half an hour
	@if [ -f bench/__main__.py ]; then python -m bench $(ARGS); else echo 'no benchmarks yet'; fi

soak: $(VENV) $(NODE) ## Kill agents thousands of times and count doubles and losses; ARGS="--kills 500 --seed 7"
	@python -m bench soak $(ARGS)

fmt: $(VENV) $(NODE) ## Format Python and Solidity
	@ruff check --quiet --fix . ; ruff format .
	@forge fmt && FOUNDRY_PROFILE=proof forge fmt

lock: $(VENV) ## Resolve requirements/*.in and pyproject.toml again
	@$(LOCK) $(UPGRADE) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(LOCK) $(UPGRADE) --all-extras pyproject.toml requirements/build.in -o requirements/main.txt
	@$(LOCK) $(UPGRADE) requirements/dev.in -o requirements/dev.txt
	@$(LOCK) $(UPGRADE) requirements/lab.in -o requirements/lab.txt
	@$(LOCK) $(UPGRADE) requirements/brownie.in -o requirements/brownie.txt
	@$(LOCK) $(UPGRADE) requirements/slither.in -o requirements/slither.txt
	@$(LOCK) $(UPGRADE) requirements/halmos.in -o requirements/halmos.txt
	@npm install --package-lock-only --silent

clean: ## Remove what was built; environments stay
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*' -not -path './node_modules/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

comma := ,

.PHONY: system
system:
	@tools/setup system

$(VENV): requirements/bootstrap.txt requirements/main.txt requirements/dev.txt pyproject.toml | system
	@tools/setup venv

$(LAB): requirements/lab.txt | system $(VENV)
	@tools/setup lab

$(BROWNIE): requirements/brownie.txt | system $(VENV)
	@tools/setup brownie

$(SLITHER): requirements/slither.txt | system $(VENV)
	@tools/setup slither

$(HALMOS): requirements/halmos.txt | system $(VENV)
	@tools/setup halmos

$(NODE): package.json package-lock.json .npmrc | system
	@tools/setup node
