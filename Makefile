# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help

## demo         run playbooks on guests without a network
demo:
	@dev/setup.sh demo
	@dev/demo.sh

## test         run every test; `make test PARTS="units typing"` runs some
test: setup
	@.venv/bin/python -m dev.run_tests $(PARTS)

## lint         formatters, linters, and checks of language, layers, documentation, licences and packaging
## typing       mypy, strict
## units        unit tests on every Python of this machine
## coverage     check that the unit tests reach 95 % of the lines and branches of the wire's core
## sanity       ansible-test sanity, with every ansible-core
## integration  playbooks against real guest agents, with every ansible-core; needs root
## vms          playbooks against virtual machines; needs root
lint typing units coverage sanity integration vms: setup
	@.venv/bin/python -m dev.run_tests $@

## vm-matrix    the same tasks on every virtual machine and endpoint, an hour without KVM; needs root
vm-matrix: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session vm_matrix

## lab          start virtual machines without a network; `make lab GUESTS="bookworm fleet"` chooses; needs root
lab:
	@dev/setup.sh lab
	@dev/lab.sh $(GUESTS)

## lab-down     stop these virtual machines, and remove what they leave
lab-down:
	@python3 -m tests.lab down

## format       let the formatters rewrite the code
format: setup
	@.venv/bin/nox --reuse-existing-virtualenvs --session formatters

## setup        install what the tests need
setup:
	@dev/setup.sh test

## bench        measure imports and the framing, and compare with other connections to a virtual machine; needs root
bench:
	@dev/setup.sh lab
	@benchmarks/setup.sh
	@.cache/bench/venv/bin/python benchmarks/imports.py
	@.cache/bench/venv/bin/python benchmarks/framing.py
	@.cache/bench/venv/bin/python -m benchmarks.vm $(BENCH)
	@.cache/bench/venv/bin/python -m benchmarks.forks

## clean        remove everything that was set up or left here
clean:
	rm -rf .cache .nox .ruff_cache .venv tests/output

## help         list these targets
help:
	@sed -n 's/^## //p' Makefile

.PHONY: demo test lint typing units coverage sanity integration vms vm-matrix lab lab-down format setup bench clean help
