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


def test_reference_names_every_key_and_every_setting_of_sfs():
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    missing = [key for key in TOP_LEVEL_KEYS if f"`{key}`" not in text]
    missing += [name for name in METHODS["sfs"].settings_class.model_fields if f"`{name}`" not in text]
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
