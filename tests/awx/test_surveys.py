# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The surveys: AWX accepts them, and they ask for the variables that their playbooks have."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from .paths import AWX, COLLECTION, PLAYBOOKS, load

DEFAULT_TYPES = {
    "text": str,
    "textarea": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": float,
}
"""The types of questions, and what AWX requires a default to be."""
QUESTIONS = [
    pytest.param(playbook, question, id=f"{playbook}-{question['variable']}")
    for playbook in PLAYBOOKS
    for question in load(AWX / "surveys" / f"{playbook}.yml")["spec"]
]


def documented(playbook: str) -> dict[str, str]:
    """Return the variables in the table at the top of a playbook, each with the rest of its row."""
    text = (COLLECTION / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    table = text.partition("#   name ")[2].partition("\n- name:")[0]
    return dict(re.findall(r"^#   (qga_\w+) +(.*)$", table, re.MULTILINE))


def choices_in_documentation(module: str, option: str) -> set[str]:
    """Return the values that a module's documentation lists for an option."""
    text = (COLLECTION / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    documentation = load_documentation(text)["options"][option]
    return set(documentation.get("choices") or re.findall(r"V\((\w+)\)", " ".join(documentation["description"])))


def load_documentation(text: str) -> Any:
    """Return the documentation in a module's source."""
    return yaml.safe_load(text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_has_a_project_file_and_a_survey(playbook: str) -> None:
    (imported,) = load(AWX / "project" / f"{playbook}.yml")
    assert imported["import_playbook"] == f"netless.qga.{playbook}"
    survey = load(AWX / "surveys" / f"{playbook}.yml")
    assert set(survey) == {"name", "description", "spec"}
    assert sorted(question["variable"] for question in survey["spec"]) == sorted(documented(playbook))


@pytest.mark.parametrize(("playbook", "question"), QUESTIONS)
def test_awx_accepts_the_question(playbook: str, question: dict[str, Any]) -> None:
    assert {"question_name", "question_description", "variable", "type", "required"} <= set(question)
    assert isinstance(question["required"], bool)
    if question.get("default", "") != "":
        default_type = DEFAULT_TYPES[question["type"]]
        assert isinstance(question["default"], default_type) and not isinstance(question["default"], bool)
    if question["type"] in ("multiplechoice", "multiselect"):
        assert set(question["default"].splitlines()) <= set(question["choices"])
        assert all(isinstance(choice, str) for choice in question["choices"])
    else:
        assert all(isinstance(question[end], int) and not isinstance(question[end], bool) for end in ("min", "max"))


@pytest.mark.parametrize(("playbook", "question"), QUESTIONS)
def test_default_is_that_of_the_playbook(playbook: str, question: dict[str, Any]) -> None:
    text = (COLLECTION / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    if (default := question.get("default", "")) == "":
        # AWX leaves out an answer that is not required and not given, or passes an empty string.
        assert question["required"] or f"{question['variable']} | default(" in text
        return
    row = documented(playbook)[question["variable"]]
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    assert re.search(rf"(^|\s){re.escape(shown)}(\s|$)", row), row


@pytest.mark.parametrize(
    ("playbook", "variable", "module", "option"),
    [
        ("guest_info", "qga_subset", "guest_facts", "subset"),
        ("shutdown", "qga_mode", "shutdown", "mode"),
        ("shutdown", "qga_fallback", "shutdown", "fallback"),
    ],
)
def test_choices_are_those_of_the_module(playbook: str, variable: str, module: str, option: str) -> None:
    questions = load(AWX / "surveys" / f"{playbook}.yml")["spec"]
    (question,) = (question for question in questions if question["variable"] == variable)
    assert set(question["choices"]) == choices_in_documentation(module, option)
