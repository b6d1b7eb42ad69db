# Every target sets up what it needs first; set-up is a no-op when the lock files have not changed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

VENV := .venv/.stamp
LAB := .venv-lab/.stamp
BROWNIE := .venv-brownie/.stamp
NODE := node_modules/.stamp

.PHONY: setup
setup: $(VENV) $(LAB) $(BROWNIE) $(NODE) ## Install everything the other targets need

.PHONY: system
system:
	@tools/setup system

$(VENV): requirements/bootstrap.txt requirements/main.txt requirements/dev.txt pyproject.toml | system
	@tools/setup venv && touch $@

$(LAB): requirements/lab.txt $(VENV) | system
	@tools/setup lab && touch $@

$(BROWNIE): requirements/brownie.txt $(VENV) | system
	@tools/setup brownie && touch $@

$(NODE): package.json package-lock.json .npmrc | system
	@tools/setup node && touch $@
