"""The documentation says what is there: links lead somewhere, keys and settings are complete."""

from __future__ import annotations

import re

import pytest

from monai_sfda.methods import METHODS
from monai_sfda.workflow.configuration import TOP_LEVEL_KEYS
from tests.builders import REPOSITORY

PAGES = sorted(
    p
    for pattern in ("*.md", "docs/*.md", "bundles/*/docs/*.md", "benchmarks/results/*.md")
    for p in REPOSITORY.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_reference_names_every_key():
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [key for key in TOP_LEVEL_KEYS if f"`{key}`" not in text] == []


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.takes_steps], ids=lambda m: m.name)
def test_reference_has_a_table_of_each_methods_settings(method):
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert f"| `{method.name}` |" in text
    of_all = text.split("### Settings of all methods")[1].split("\n### ")[0]
    of_this = text.split(f"### Settings of `{method.name}`")[1].split("\n#")[0]
    missing = [n for n in method.settings_class.model_fields if f"`{n}`" not in of_all + of_this]
    assert missing == []


def test_readme_has_the_two_commands_and_the_architecture_ones():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for command in (
        "make demo",
        "make test",
        "B/configs/train.json",
        "B/configs/adapt.json",
        "B/configs/inference.json",
    ):
        assert command in text
    assert "not for diagnosis" in text
