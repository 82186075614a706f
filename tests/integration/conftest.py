"""A phantom data set and a small source release, made once for all integration tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_sfda.phantom import write_phantoms
from tests.integration.commands import ABDOMEN, QUICK, run_in_process


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """Four MR and four CT subjects in the official layouts."""
    out = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantoms("abdomen", out, subjects=4, seed=5, matrix=96, workers=2)
    return out


@pytest.fixture(scope="session")
def source_run(phantoms, tmp_path_factory) -> Path:
    """The run folder of a short training on the source."""
    out = tmp_path_factory.mktemp("source") / "run"
    run_in_process(ABDOMEN, ("train", "small"), dataset_dir=phantoms, output_dir=out, **QUICK)
    return out
