# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that creates everything in AWX, with stand-ins for the modules that call its API: they keep options."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from .paths import AWX, PLAYBOOKS, load

OPTIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "credential_type": {
        "name": {},
        "description": {},
        "kind": {},
        "inputs": {"type": "dict"},
        "injectors": {"type": "dict"},
    },
    "execution_environment": {"name": {}, "organization": {}, "image": {}},
    "project": {"name": {}, "organization": {}, "scm_type": {}, "scm_url": {}, "default_environment": {}},
    "job_template": {
        "name": {},
        "description": {},
        "organization": {},
        "job_type": {},
        "project": {},
        "playbook": {},
        "inventory": {},
        "credentials": {"type": "list", "elements": "str"},
        "execution_environment": {},
        "use_fact_cache": {"type": "bool"},
        "ask_limit_on_launch": {"type": "bool"},
        "survey_enabled": {"type": "bool"},
        "survey_spec": {"type": "dict"},
    },
}
"""The options of modules of awx.awx that the playbook uses, with the types that they have there."""
_MODULE = """
import json
from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(argument_spec={options!r})
with open({record!r}, "a") as file:
    print(json.dumps(module.params), file=file)
module.exit_json(changed=True)
"""


class Created(dict[str, Sequence[dict[str, Any]]]):
    """The options that each module got, one entry for each call."""


@pytest.fixture(name="created")
def fixture_created(tmp_path: pathlib.Path) -> Created:
    """Run the playbook."""
    modules = tmp_path / "ansible_collections" / "awx" / "awx" / "plugins" / "modules"
    modules.mkdir(parents=True)
    for name, options in OPTIONS.items():
        source = _MODULE.format(options=options, record=str(tmp_path / name))
        (modules / f"{name}.py").write_text(source, encoding="ascii")
    variables = {
        "qga_project_url": "https://git.example.com/qga.git",
        "qga_image": "registry.example.com/qga-ee:1",
        "qga_inventory": "vms",
        "qga_credentials": ["hypervisor1"],
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-e", json.dumps(variables), str(AWX / "create.yml")],
        env={**environment, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )
    return Created(
        (name, [json.loads(line) for line in (tmp_path / name).read_text("ascii").splitlines()]) for name in OPTIONS
    )


def test_everything_is_created(created: Created) -> None:
    (credential_type,) = created["credential_type"]
    # The templates are for AWX: Ansible must not render them.
    assert credential_type == load(AWX / "credential_type.yml")
    (environment,) = created["execution_environment"]
    (project,) = created["project"]
    assert project["default_environment"] == environment["name"]
    templates = {pathlib.Path(template["playbook"]).stem: template for template in created["job_template"]}
    assert sorted(templates) == PLAYBOOKS
    for playbook, template in templates.items():
        assert template["survey_spec"] == load(AWX / "surveys" / f"{playbook}.yml")
        assert (template["project"], template["credentials"]) == (project["name"], ["hypervisor1"])
        assert template["use_fact_cache"] == (playbook == "guest_info")
