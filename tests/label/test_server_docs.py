"""The server's reference says what the server does."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from typer.main import get_command

from monai_sfda.cli_serve import serve
from monai_sfda.label.server.access import RULES
from monai_sfda.label.server.answers import _STATUS
from monai_sfda.label.server.roles import ROLES
from monai_sfda.label.settings import AppSettings

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "server_reference.md").read_text(encoding="utf-8")


def options() -> set[str]:
    """The options of `monai-sfda serve`."""
    app = typer.Typer()
    app.command()(serve)
    return {word for parameter in get_command(app).params for word in parameter.opts if word.startswith("--")}


def test_every_option_is_in_the_reference():
    described = set(re.findall(r"`(--[a-z-]+)`", REFERENCE))
    assert {word for word in options() if not word.endswith("completion")} <= described


def test_no_page_speaks_of_an_option_that_is_not_there():
    for page in ("server_reference.md", "how_to_serve.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        serving = re.findall(r"(?<!curl )(?<![\w-])(--[a-z]{4,}[a-z-]*)", text)
        known = options() | {"--roles", "--cacert"}
        assert [word for word in serving if word not in known] == []


def test_the_reference_has_every_endpoint_with_its_role():
    for rule in RULES:
        methods = " ".join(sorted(rule.methods - {"HEAD"}))
        role = "none" if rule.role is None else f"`{rule.role}`"
        assert f"| {methods} `{rule.path}` | {role} |" in REFERENCE


def test_the_reference_names_every_setting_of_the_app():
    described = REFERENCE.partition("Names of `--conf`:")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", described)) == set(AppSettings.model_fields)


def test_the_pages_have_every_role_and_status():
    page = (DOCS / "how_to_serve.md").read_text(encoding="utf-8")
    assert all(f"| `{role}` |" in page for role in ROLES)
    for _, status in _STATUS:
        assert re.search(rf"\b{status}\b", REFERENCE)
