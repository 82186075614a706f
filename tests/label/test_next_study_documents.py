"""The developers' table of endpoints is that of the server."""

from __future__ import annotations

from monai_sfda.label.server.access import RULES
from tests.builders import REPOSITORY


def test_every_endpoint_stands_in_the_table_with_its_methods_and_its_role():
    text = (REPOSITORY / "docs" / "app_for_developers.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `/")]
    documented = {
        (path.strip(" `"), method, role.strip())
        for paths, methods, role in rows
        for path in paths.split(",")
        for method in methods.split()
    }
    served = {
        (rule.path, method, rule.role or "open") for rule in RULES for method in rule.methods - {"HEAD"}
    }
    assert documented == served
