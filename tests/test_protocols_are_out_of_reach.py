"""A published protocol reads labels of the scans that it scores. Nothing but evaluation can come to it."""

from __future__ import annotations

import ast
import json

import pytest

from monai_sfda.catalog import TASKS
from monai_sfda.workflow.configuration import JOB_KEYS
from tests.builders import BUNDLES, REPOSITORY

READS_LABELS = ("published_protocol", "label_crop", "published_distances")
MODULES = sorted((REPOSITORY / "monai_sfda").rglob("*.py"))


def imported(path) -> set[str]:
    """Last parts of the modules that a file imports, and the names it takes from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)}
    return found


def test_one_chain_leads_from_the_evaluator_to_the_labels_of_a_protocol():
    users = {
        module: {path.stem for path in MODULES if module in imported(path)}
        for module in (*READS_LABELS, "VolumeEvaluator")
    }
    assert users == {
        "published_protocol": {"evaluator"},
        "label_crop": {"published_protocol"},
        "published_distances": {"published_protocol"},
        "VolumeEvaluator": {"__init__"},  # of engines, for the configurations
    }


@pytest.mark.parametrize("bundle", sorted({task.bundle for task in TASKS.values()}))
def test_of_a_bundles_configurations_evaluate_json_alone_makes_an_evaluator(bundle):
    files = sorted((BUNDLES / bundle / "configs").glob("*.json"))
    assert [f.stem for f in files if "VolumeEvaluator" in f.read_text(encoding="utf-8")] == ["evaluate"]
    keys = {f.stem for f in files if "protocol" in json.loads(f.read_text(encoding="utf-8"))}
    assert keys == {"evaluate"}


def test_no_other_job_reads_the_setting():
    assert [job for job, keys in JOB_KEYS.items() if "protocol" in keys] == ["evaluate"]
