"""A whole comparison through the bundles' own commands: unadapted, adapted in several ways, supervised bound.

Every step is the command that a user would type, run as a process of its own; a step whose product is there
is not run again, so that an interrupted comparison goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import monai_sfda
from monai_sfda.ablations import ABLATIONS, OWN_TRAINING, PRIOR_MATCHING, Arm, SourceTraining
from monai_sfda.catalog import find_task
from monai_sfda.errors import SettingError
from monai_sfda.evaluation.comparison import BOUND, UNADAPTED
from monai_sfda.evaluation.gap import gap_closed
from monai_sfda.evaluation.summary import read_summary
from monai_sfda.files import write_json
from monai_sfda.release import MANIFEST, file_sha256
from monai_sfda.workflow.bundle_folder import find_bundle
from monai_sfda.workflow.refit import refit_prototypes
from monai_sfda.workflow.report import PHANTOM_MANIFEST
from monai_sfda.workflow.source_model import RECORD as SOURCE_RECORD
from monai_sfda.workflow.source_model import UNADAPTED as UNADAPTED_MODEL
from monai_sfda.workflow.steps import exclusive, read_step, run_process, run_step

logger = logging.getLogger(__name__)
SFS_ARMS = ABLATIONS["class_proportions"].arms
BOUND_RUN = "train_target"


def machine() -> dict[str, Any]:
    """What a recorded result was made on, without names."""
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}


@dataclass
class Experiment:
    """One data set, one seed, several arms.

    Attributes:
        task: name in the catalog.
        data: data set in its official layout, or anything with `datalist`.
        out: folder of all runs.
        seed: of training and adaptation.
        arms: ways to adapt.
        bundles: folder that holds the bundles.
        configs: stacked last, `small.json` by default.
        common: overrides of every command.
        announce: called with each step's title and, when it ends, its seconds.
        prepare: called first, while nobody else works in `out`; e.g. to write phantoms.
    """

    task: str
    data: Path
    out: Path
    seed: int = 0
    arms: Sequence[Arm] = SFS_ARMS
    bundles: Path | None = None
    configs: Sequence[str] = ("small.json",)
    common: Mapping[str, Any] | None = None
    announce: Callable[[str, float | None], None] = lambda title, seconds: None
    prepare: Callable[[], None] = lambda: None
    _lock: int | None = field(default=None, init=False, repr=False)

    def run(self) -> list[dict[str, Any]]:
        """Runs what is missing and returns the table, see `table`."""

        def waiting() -> None:
            logger.warning(
                "waiting: an earlier run, or a step that it left behind, is at work in this folder"
            )

        with exclusive(self.out, waiting) as self._lock:
            self.prepare()
            self._claim_folder()
            for arm in self.arms:
                if arm.training.needs_source:
                    self._run_arm_with_source(arm)
                else:
                    self._run_arm(arm)
            for needs_source in dict.fromkeys(arm.training.needs_source for arm in self.arms):
                self._run_bound(needs_source)
        return self.table()

    def _run_arm(self, arm: Arm) -> None:
        training, run = self.training_of(arm), self.run_folder(arm)
        self._train(training)
        self._evaluate(
            _unadapted_title(training),
            _unadapted_folder(training),
            self.out / training.folder / "release" / "model.pt",
        )
        if arm.rho is not None:
            self._refit(training, arm.rho)
        self._bundle(
            f"adapt: {arm.title}",
            (arm.configuration, *self.configs),
            run / "adaptation.json",
            release=self.release_of(arm),
            method=arm.method,
            output_dir=run,
            **arm.overrides,
        )
        self._evaluate(arm.title, self.test_folder(arm).name, run / "adapted.pt")

    def _run_arm_with_source(self, arm: Arm) -> None:
        """`uda.json`, whose two stages are two steps, and whose runs bring the bundle that scores them."""
        training, run = self.training_of(arm), self.run_folder(arm)
        source = self.out / training.folder
        self._train(training)
        self._evaluate(
            _unadapted_title(training), _unadapted_folder(training), source / UNADAPTED_MODEL, source
        )
        self._bundle(
            f"adapt: {arm.title}",
            ("uda.json", *self.configs),
            run / "adaptation.json",
            method=arm.method,
            source_model=source,
            output_dir=run,
            **arm.overrides,
        )
        self._evaluate(arm.title, self.test_folder(arm).name, run / "adapted.pt", run)

    def _claim_folder(self) -> None:
        """Refuses a folder with products of other settings, so that no old number stands under a new name."""
        bundle = find_bundle(find_task(self.task), self.bundles)
        configs = hashlib.sha256()
        for path in sorted((bundle / "configs").glob("*.json")):
            configs.update(path.read_bytes())
        common = {k: str(v) for k, v in (self.common or {}).items()}
        mine = {
            "task": self.task,
            "data": file_sha256(self.data / PHANTOM_MANIFEST)
            if (self.data / PHANTOM_MANIFEST).is_file()
            else str(self.data),
            "seed": self.seed,
            "configs": [*self.configs, configs.hexdigest()],
            "common": common,
            "version": monai_sfda.__version__,
        }
        if "datalist" in common:
            mine["datalist"] = file_sha256(Path(common["datalist"]))
        path = self.out / "experiment.json"
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != mine:
            raise SettingError(
                "the folder holds an experiment with other settings, data or configurations",
                path=path.name,
                remedy="use another --out, or delete the folder",
            )
        write_json(path, mine)

    def table(self, arms: Sequence[Arm] | None = None) -> list[dict[str, Any]]:
        """A row a result from the evaluations' summaries: unadapted, each arm, bound.

        Keys: title, mean Dice, Dice per structure, mean ASSD in mm and how many organs of cases it leaves out
        because one mask was empty, share of the gap closed (from the unadapted model of the arm's own source
        training; for prior matching to the bound of its own network), cases, and wall-clock seconds and peak
        memory of the adaptation's process (for the bound, of its training) where the step ran in one go.

        Args:
            arms: which ones; all by default.
        """
        chosen = list(self.arms if arms is None else arms)
        first_of = {self.unadapted_folder(arm): arm for arm in reversed(chosen)}
        kinds = dict.fromkeys(arm.training.needs_source for arm in chosen)
        bounds = {kind: read_summary(self.out / _bound_folder(kind) / "summary.json") for kind in kinds}
        rows, unadapted = [], {}
        for folder in dict.fromkeys(map(self.unadapted_folder, chosen)):
            unadapted[folder] = read_summary(folder / "summary.json")
            title = UNADAPTED if len(first_of) == 1 else f"{UNADAPTED}, {first_of[folder].training.title}"
            rows.append(result_row(title, unadapted[folder]))
        for arm in chosen:
            summary = read_summary(self.test_folder(arm) / "summary.json")
            around = (unadapted[self.unadapted_folder(arm)], summary, bounds[arm.training.needs_source])
            low, mean, high = (s["dice"]["mean"] for s in around)
            row = result_row(arm.title, summary) | {"gap_closed": gap_closed(low, mean, high, higher=True)}
            rows.append(row | self._cost(self.run_folder(arm).name))
        for kind, bound in bounds.items():
            title = BOUND if len(bounds) == 1 else f"{BOUND}, {_training_title(kind)}"
            rows.append(result_row(title, bound) | self._cost(_bound_run(kind)))
        return rows

    def _cost(self, step: str) -> dict[str, Any]:
        record = read_step(self.out, step)
        return {
            "seconds": None if record is None else record.whole_seconds,
            "peak_memory_bytes": None if record is None else record.peak_memory_bytes,
        }

    def training_of(self, arm: Arm) -> SourceTraining:
        """The arm's source training; the configuration's own where the arm asks for nothing else."""
        overrides = arm.training.overrides
        as_configured = all(_is_set_to(self.configured(key), value) for key, value in overrides.items())
        if as_configured and not arm.training.needs_source:
            return OWN_TRAINING
        return arm.training

    def configured(self, key: str) -> Any:
        """What the stacked configurations and `common` set a key to, e.g. `training#loss`."""
        if key in (self.common or {}):
            return dict(self.common or {})[key]
        bundle = find_bundle(find_task(self.task), self.bundles)
        merged: dict[str, Any] = {}
        for name in ("train.json", *self.configs):
            merged.update(json.loads((bundle / "configs" / name).read_text(encoding="utf-8")))
        value: Any = merged
        for part in key.split("#"):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def run_folder(self, arm: Arm) -> Path:
        """Where the arm's adaptation is."""
        return self.out / replace(arm, training=self.training_of(arm)).run

    def test_folder(self, arm: Arm) -> Path:
        """Where the arm's evaluation is."""
        run = self.run_folder(arm)
        return run.with_name(f"{run.name}_test")

    def unadapted_folder(self, arm: Arm) -> Path:
        """Where the evaluation of the model that the arm adapts is."""
        return self.out / _unadapted_folder(self.training_of(arm))

    def release_of(self, arm: Arm) -> Path:
        """The release that the arm adapts."""
        name = "release" if arm.rho is None else f"release_rho_{arm.rho:g}"
        return self.out / self.training_of(arm).folder / name

    def results_for(self, arm: Arm) -> dict[str, Path]:
        """Evaluations to show in an arm's report."""
        return {
            "unadapted": self.unadapted_folder(arm),
            "adapted": self.test_folder(arm),
            "supervised bound": self.out / _bound_folder(arm.training.needs_source),
        }

    def device(self) -> str:
        """Where the steps compute, as the configurations choose it."""
        given = (self.common or {}).get("device")
        return str(given) if given is not None else "cuda" if torch.cuda.is_available() else "cpu"

    def _train(self, training: SourceTraining) -> None:
        folder = self.out / training.folder
        if training.needs_source:
            self._bundle(
                f"train on the source: {training.title}",
                ("uda.json", *self.configs),
                folder / SOURCE_RECORD,
                stage="source",
                output_dir=folder,
                **training.overrides,
            )
            return
        self._bundle(
            f"train on the source: {training.title}" if training.name else "train on the source",
            ("train.json", *self.configs),
            folder / "release" / MANIFEST,
            domain="source",
            output_dir=folder,
            **training.overrides,
        )

    def _run_bound(self, needs_source: bool) -> None:
        """Training on the target's labels; for prior matching its own source model is fine-tuned."""
        folder = self.out / _bound_run(needs_source)
        title = "train the bound on the target's labels"
        if not needs_source:
            self._bundle(
                title,
                ("train.json", *self.configs),
                folder / "release" / MANIFEST,
                domain="target",
                output_dir=folder,
            )
            self._evaluate(BOUND, _bound_folder(False), folder / "release" / "model.pt")
            return
        self._train(PRIOR_MATCHING)
        source = self.out / PRIOR_MATCHING.folder
        self._bundle(
            f"{title}: {PRIOR_MATCHING.title}",
            ("train.json",),
            folder / "release" / MANIFEST,
            run=source,
            checkpoint=source / UNADAPTED_MODEL,
            domain="target",
            output_dir=folder,
        )
        self._evaluate(BOUND, _bound_folder(True), folder / "release" / "model.pt", source)

    def _refit(self, training: SourceTraining, rho: float) -> None:
        source, name = self.out / training.folder, f"release_rho_{rho:g}"
        datalist = (self.common or {}).get("datalist")

        def work() -> None:
            refit_prototypes(
                source / "release",
                source / name,
                rho=rho,
                dataset_dir=self.data,
                datalist=None if datalist is None else Path(datalist),
                device=self.device(),
            )

        run_step(
            self.out,
            f"{training.folder}_{name}",
            f"fit the prototypes again: rho {rho:g}",
            source / name / MANIFEST,
            {"rho": f"{rho:g}"},
            work,
            self.announce,
        )

    def _evaluate(self, title: str, folder: str, checkpoint: Path, run: Path | None = None) -> None:
        """Evaluates with the task's bundle, or with the one in a run's folder, whose network it has."""
        self._bundle(
            f"evaluate: {title}",
            ("train.json", "evaluate.json", *(self.configs if run is None else ())),
            self.out / folder / "summary.json",
            run=run,
            checkpoint=checkpoint,
            domain="target",
            split="test",
            output_dir=self.out / folder,
        )

    def _bundle(
        self, title: str, configs: Sequence[str], product: Path, run: Path | None = None, **overrides: Any
    ) -> None:
        """One command of the task's bundle, or of the bundle in a run's folder."""
        bundle = find_bundle(find_task(self.task), self.bundles) if run is None else run / "bundle"
        files = [str(bundle / "configs" / name) for name in configs]
        settings = {
            "bundle_root": bundle,
            "dataset_dir": self.data,
            "seed": self.seed,
            **(self.common or {}),
            **overrides,
        }
        command = [
            sys.executable,
            "-m",
            "monai.bundle",
            "run",
            "--config_file",
            json.dumps(files).replace('"', "'"),
        ]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        step = Path(overrides["output_dir"]).name
        log = self.out / "logs" / f"{step}.log"
        run_step(
            self.out,
            step,
            title,
            product,
            {name: self._portable(value) for name, value in overrides.items()},
            lambda: run_process(command, log, title, self._lock),
            self.announce,
        )

    def _portable(self, value: Any) -> str:
        """A setting as text; a path of this experiment relative to its folder."""
        if isinstance(value, Path) and value.is_relative_to(self.out):
            return value.relative_to(self.out).as_posix()
        return str(value)


def _is_set_to(configured: Any, wanted: Any) -> bool:
    """Whether a configuration has a value already; of a section, the entries wanted."""
    if isinstance(configured, Mapping) and isinstance(wanted, Mapping):
        return wanted.items() <= configured.items()
    return bool(configured == wanted)


def _unadapted_title(training: SourceTraining) -> str:
    return f"{UNADAPTED}, {training.title}" if training.name else UNADAPTED


def _unadapted_folder(training: SourceTraining) -> str:
    return f"unadapted_{training.name}" if training.name else "unadapted"


def _training_title(needs_source: bool) -> str:
    return (PRIOR_MATCHING if needs_source else OWN_TRAINING).title


def _bound_run(needs_source: bool) -> str:
    return f"{BOUND_RUN}_{PRIOR_MATCHING.name}" if needs_source else BOUND_RUN


def _bound_folder(needs_source: bool) -> str:
    return f"bound_{PRIOR_MATCHING.name}" if needs_source else "bound"


def result_row(title: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Experiment.table` from an evaluation's summary, without the costs."""
    return {
        "title": title,
        "dice": summary["dice"]["mean"],
        "dice_per_structure": {k: v["mean"] for k, v in summary["dice"]["per_class"].items()},
        "dice_per_region": {k: v["mean"] for k, v in summary["dice"].get("per_region", {}).items()},
        "assd_mm": summary["assd_mm"]["mean"],
        "assd_left_out": sum(
            summary["undefined"][name]["one_empty"] for name in summary["dice"]["per_class"]
        ),
        "gap_closed": None,
        "cases": summary["cases"],
        "seconds": None,
        "peak_memory_bytes": None,
    }
