# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help

## demo         run playbooks on guests that have no network
demo:
	@dev/setup.sh demo
	@dev/demo.sh

## test         run every test; `make test PARTS="units typing"` runs some
test: setup
	@.venv/bin/python -m dev.run_tests $(PARTS)

## lint         formatters, linters, and the checks of documentation, licences and packaging
## typing       mypy, strict
## units        unit tests on every Python here
## coverage     how much of the wire's core the unit tests reach: 95 % of lines and branches at least
## sanity       ansible-test sanity, with every ansible-core
## integration  playbooks against real guest agents, with every ansible-core; needs root
lint typing units coverage sanity integration: setup
	@.venv/bin/python -m dev.run_tests $@

## lab          boot virtual machines that have no network, to try the collection on; needs root
lab:
	@python3 -m tests.lab up $(GUESTS)

## lab-down     end them, and remove what they leave
lab-down:
	@python3 -m tests.lab down

## format       let the formatters rewrite the code
format: setup
	@.venv/bin/nox --reuse-existing-virtualenvs --session formatters

## setup        install what the tests need
setup:
	@dev/setup.sh test

## bench        measure what the framing core costs, as ratios
bench: setup
	@.venv/bin/python benchmarks/framing.py

## clean        remove all that was set up or left here
clean:
	rm -rf .cache .nox .ruff_cache .venv tests/output

## help         list these
help:
	@sed -n 's/^## //p' Makefile

.PHONY: demo test lint typing units coverage sanity integration lab lab-down format setup bench clean help
