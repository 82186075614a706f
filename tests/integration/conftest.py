"""A phantom data set and a small source release, made once for all integration tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_sfda.catalog import SOFT_TISSUE, Task
from monai_sfda.phantom import write_phantoms
from tests.integration.commands import ABDOMEN, QUICK, run_in_process
from tests.integration.downloads import PHANTOMS, soft_tissue


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


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Callable[[Task], Path]:
    """The sound phantoms of a task, written when first asked for."""
    written: dict[str, Path] = {}

    def of(task: Task) -> Path:
        if task.phantom_name not in written:
            out = tmp_path_factory.mktemp("sound") / "data"
            if task is SOFT_TISSUE:
                soft_tissue(out)
            else:
                subjects, matrix = PHANTOMS[task.phantom_name]
                write_phantoms(task.phantom_name, out, subjects, 105, matrix=matrix, workers=1)
            written[task.phantom_name] = out
        return written[task.phantom_name]

    return of


@pytest.fixture
def copy_of(sound, tmp_path) -> Callable[[Task], Path]:
    """A copy of a task's phantoms; the files are the same on disk until they are written anew."""

    def of(task: Task) -> Path:
        shutil.copytree(sound(task), tmp_path / "data", copy_function=os.link)
        return tmp_path / "data"

    return of
