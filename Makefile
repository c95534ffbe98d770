# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.DEFAULT_GOAL := help

CORES := 2.19 2.20 2.21 2.22

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
## coverage     check that the unit tests reach every line and branch of the framing
## sanity       ansible-test sanity, with every ansible-core
## integration  playbooks against real guest agents, with every ansible-core; needs root
## vms          playbooks against virtual machines; needs root
lint typing units coverage sanity integration vms: setup
	@.venv/bin/python -m dev.run_tests $@

## docs         build the documentation site in docs/build
docs: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session docs

## screenshots  show the site on a wide and a narrow screen, in tests/output/screenshots; needs chromium
screenshots: docs
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session screenshots

## dist         build the tarball for Ansible Galaxy, and check it with Galaxy's importer
dist: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session dist -- --lint

## simulate     run the client against a model guest in virtual time; `make simulate SEEDS=1000 FIRST=0` or `STEPS=10000000`
simulate: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session simulate -- $(if $(STEPS),--steps $(STEPS),--seeds $(or $(SEEDS),1000)) --first $(or $(FIRST),0)

## faults       break the channel to real agents at any byte; `make faults CASES=10000 FIRST=0` chooses the cases; needs root
faults: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session faults -- --cases $(or $(CASES),100000) --first $(or $(FIRST),0) $(if $(PLACE),--place "$(PLACE)")

## conformance  run wire cases against this collection and libvirt_qemu; `make conformance CLIENT='program {endpoint} {command}'` runs another client; needs root
conformance: setup
	@benchmarks/setup.sh
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session conformance -- $(if $(CLIENT),--client '$(CLIENT)')

## fuzz         look for bytes that break what reads them; `make fuzz SECONDS=3600 TARGETS="session client"` chooses
fuzz: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session fuzz -- --seconds $(or $(SECONDS),60) $(TARGETS)

## mutation     change the framing in small ways that its tests have to notice; `make mutation FILES=sync.py` chooses
mutation: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session mutation -- $(FILES)

## soak         use real agents for long; `make soak CALLS=1000000 PROGRAMS=25000` chooses how long; needs root
soak: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session soak -- --calls $(or $(CALLS),100000) --programs $(or $(PROGRAMS),1000)

## vm-faults    disturb a virtual machine in each phase of a task, an hour without KVM; needs root
vm-faults: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session vm_faults

## vm-matrix    the same tasks on every virtual machine and endpoint, an hour without KVM; needs root
vm-matrix: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session vm_matrix

## molecule     test a role in a virtual machine with Molecule, as an example; needs root
molecule: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session molecule

## core-targets ansible-core's own tests on guests, in new interpreters and kept ones; takes long, needs root
core-targets: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session core_targets-2.19 core_targets-2.21 core_targets-2.22

## test-cores   ansible-test sanity and unit tests with every supported ansible-core and the next one; needs Python 3.13
test-cores: setup
	@.venv/bin/nox --nocolor --reuse-existing-virtualenvs --session $(CORES:%=sanity-%) $(CORES:%=units-%) -- --python 3.13

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

## bench        measure imports, the framing and kept interpreters, and compare with other connections to a virtual machine; needs root
bench:
	@dev/setup.sh lab
	@benchmarks/setup.sh
	@.cache/bench/venv/bin/python benchmarks/imports.py
	@.cache/bench/venv/bin/python benchmarks/framing.py
	@.cache/bench/venv/bin/python -m benchmarks.sandbox
	@.cache/bench/venv/bin/python -m benchmarks.fleet
	@.cache/bench/venv/bin/python -m benchmarks.vm $(BENCH)
	@.cache/bench/venv/bin/python -m benchmarks.forks
	@.cache/bench/venv/bin/python -m benchmarks.forwards

## clean        remove everything that was set up or left here
clean:
	rm -rf .cache .nox .ruff_cache .venv docs/build tests/output

## help         list these targets
help:
	@sed -n 's/^## //p' Makefile

.PHONY: demo test lint typing units coverage sanity integration vms docs screenshots dist simulate faults vm-matrix core-targets test-cores molecule conformance fuzz mutation soak vm-faults lab lab-down format setup bench clean help
