"""The documentation says what is there: links lead somewhere, keys and settings are complete."""

from __future__ import annotations

import re

import pytest

from monai_sfda.catalog import TASKS
from monai_sfda.guard.signals import SIGNALS
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


def test_protocols_page_has_every_choice_with_its_source_and_every_split():
    text = (REPOSITORY / "docs" / "protocols.md").read_text(encoding="utf-8")
    for task in TASKS.values():
        for protocol in task.protocols:
            assert f"`{protocol.name}`, {protocol.paper}" in text
            for row in protocol.choices:
                assert f"| {row.of} | {row.choice} | {row.source} |" in text, row
            assert [name for name in protocol.distances if f"| `{name}` |" not in text] == []
        for name in ("source", "target"):
            side = task.domain(name)
            assert f"| `{task.name}` | {name} | {side.title} | {side.split_source} |" in text


def test_reference_names_every_key():
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [key for key in TOP_LEVEL_KEYS if f"`{key}`" not in text] == []


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_reference_names_every_method_and_its_settings_and_no_others(method):
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{method.name}` \|", text, re.MULTILINE)
    settings = set(method.settings_class.model_fields)
    of_all = settings_in(text, "all methods that take steps")
    own = settings_in(text, f"`{method.name}`")
    assert settings - of_all <= own <= settings


def settings_in(text: str, heading: str) -> set[str]:
    """Names in the first column of the table below a heading."""
    section = re.search(rf"^### Settings of {re.escape(heading)}.*?(?=^#)", text, re.MULTILINE | re.DOTALL)
    rows = [] if section is None else re.findall(r"^\| (`[^|]*) \|", section[0], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_reference_gives_the_defaults_of_osuda():
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    section = re.search(r"^### Settings of `osuda`.*?(?=^#)", text, re.MULTILINE | re.DOTALL)[0]
    for names, defaults in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", section, re.MULTILINE):
        for name, default in zip(re.findall(r"`(\w+)`", names), defaults.split(", "), strict=True):
            own = METHODS["osuda"].settings_class.model_fields[name].default
            assert str(own).lower() == default or float(own) == float(default), name


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


def test_every_signal_of_the_guard_is_explained_with_its_direction():
    text = (REPOSITORY / "docs" / "guard_signals.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (higher|lower|neither) \|", text, flags=re.MULTILINE))
    assert rows == {name: signal.better for name, signal in SIGNALS.items()}
