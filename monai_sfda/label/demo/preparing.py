"""What the demonstration needs before it starts: phantoms, a source model, studies."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from monai_sfda.catalog import Task, find_task
from monai_sfda.data.listing import list_cases
from monai_sfda.errors import SettingError
from monai_sfda.files import write_json
from monai_sfda.label.demo.studies import PhantomStudy, write_series
from monai_sfda.phantom import write_phantoms
from monai_sfda.workflow.bundle_commands import BundleCommands

Announce = Callable[[str, float | None], None]
_BODY_PARTS = {"cardiac": "HEART", "abdomen": "ABDOMEN", "spine": "LSPINE"}
TASKS = tuple(_BODY_PARTS)
"""Tasks with one image a scan, and phantoms whose target scans become studies."""
_SAGITTAL, _AXIAL = 0, 2


@dataclass(frozen=True)
class DemoSettings:
    """What is shown.

    Attributes:
        task: one of `TASKS`.
        subjects: phantom subjects a domain.
        seed: of phantoms and training.
        matrix: pixels across a phantom's slice; None for the task's own.
    """

    task: str = "cardiac"
    subjects: int = 12
    seed: int = 0
    matrix: int | None = 128


@dataclass(frozen=True)
class Prepared:
    """What the demonstration starts with.

    Attributes:
        bundles: folder of bundles for the server.
        studies: folder of DICOM studies.
        first_study: StudyInstanceUID of the one that is opened first.
    """

    bundles: Path
    studies: Path
    first_study: str


def prepare_demo(out: Path, settings: DemoSettings, bundles: Path | None, announce: Announce) -> Prepared:
    """Makes what is missing in `out`; what an earlier demonstration made is used again.

    Args:
        out: folder of the demonstration.
        settings: what is shown; another demonstration needs another folder.
        bundles: folder of bundles to install; None trains a source model (`train.json` with `small.json`).
        announce: called with each step's title and, when it ends, its seconds.

    Raises:
        SettingError: for a task that cannot be shown, and for a folder of other settings.
    """
    if settings.task not in TASKS:
        raise SettingError(f"'{settings.task}' cannot be shown", remedy=f"use one of {', '.join(TASKS)}")
    claim(out, settings)
    task, phantoms, studies = find_task(settings.task), out / "phantoms", out / "studies"
    with _Timed(f"write {settings.subjects} + {settings.subjects} phantom scans", announce):
        write_phantoms(task.phantom_name, phantoms, settings.subjects, settings.seed, matrix=settings.matrix)
    with _Timed("write the target's scans as DICOM studies", announce):
        first = _write_studies(task, phantoms, studies, settings)
    if bundles is None:
        bundles = _trained(out, phantoms, settings, announce)
    return Prepared(bundles, studies, first)


def claim(out: Path, settings: DemoSettings) -> None:
    """Refuses a folder with the demonstration of other settings."""
    path = out / "demo.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != asdict(settings):
        raise SettingError(
            "the folder holds a demonstration with other settings",
            path=path.name,
            remedy="use another --out, or delete the folder",
        )
    write_json(path, asdict(settings))


def _write_studies(task: Task, phantoms: Path, studies: Path, settings: DemoSettings) -> str:
    """The target's scans, those of the official test last; returns the first study's UID."""
    scans = [
        case.image[0]
        for split in ("train", "test")
        for case in list_cases(task, "target", split, phantoms, labels=False).cases
    ]
    across = _SAGITTAL if settings.task == "spine" else _AXIAL
    described = [
        PhantomStudy(
            number,
            task.target.kind,
            _BODY_PARTS[settings.task],
            model=f"Simulator {1 + number % 2}",
            seed=f"{settings.task} {settings.seed}",
        )
        for number in range(1, len(scans) + 1)
    ]
    if not (studies / "whole").is_file():
        shutil.rmtree(studies, ignore_errors=True)
        for scan, study in zip(scans, described, strict=True):
            write_series(scan, studies / f"study_{study.number:03d}", study, across=across)
        (studies / "whole").touch()
    return str(described[0].uid("study"))


def _trained(out: Path, phantoms: Path, settings: DemoSettings, announce: Announce) -> Path:
    """The folder of the bundle that a training on the source's phantoms leaves."""
    run = out / "source"
    commands = BundleCommands(
        settings.task,
        phantoms,
        out,
        settings.seed,
        bundles=None,
        configs=("small.json",),
        common={},
        announce=announce,
        lock=None,
    )
    commands.run(
        "train the source model (a few minutes)",
        ("train.json", "small.json"),
        run / "release" / "release.json",
        output_dir=run,
    )
    return run


class _Timed:
    """Announces a step and its seconds; one that had nothing to do is not announced."""

    def __init__(self, title: str, announce: Announce) -> None:
        self._title, self._announce = title, announce

    def __enter__(self) -> None:
        self._begun = time.monotonic()
        self._announce(self._title, None)

    def __exit__(self, *_: object) -> None:
        self._announce(self._title, time.monotonic() - self._begun)
