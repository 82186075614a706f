"""A whole comparison through the bundles' own commands: unadapted, adapted in several ways, supervised bound.

Every step is the command that a user would type, run as a process of its own; a step whose product is there
is not run again, so that an interrupted comparison goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai_sfda
from monai_sfda.catalog import Task, find_task
from monai_sfda.errors import SettingError, SfdaError
from monai_sfda.evaluation.summary import read_summary
from monai_sfda.files import write_json
from monai_sfda.release import file_sha256
from monai_sfda.workflow.report import PHANTOM_MANIFEST

UNADAPTED, BOUND = "unadapted", "supervised bound"


@dataclass(frozen=True)
class Arm:
    """One way to adapt.

    Attributes:
        title: for tables.
        folder: of its run.
        method: name of the method.
        overrides: further command-line settings of `adapt.json`.
    """

    title: str
    folder: str
    method: str
    overrides: Mapping[str, Any]


SFS_ARMS = (
    Arm("SFS, source proportions", "sfs_source", "sfs", {"class_proportions": "source"}),
    Arm("SFS, predicted proportions", "sfs_predicted", "sfs", {"class_proportions": "predicted"}),
    Arm(
        "SFS, oracle proportions (reads target labels)", "sfs_oracle", "sfs", {"class_proportions": "oracle"}
    ),
)


def find_bundle(task: Task, bundles: Path | None = None) -> Path:
    """The folder of a task's bundle: in `bundles`, in ./bundles, or beside the package's checkout.

    Raises:
        SettingError: when it is in none of them.
    """
    places = (
        [bundles]
        if bundles is not None
        else [Path("bundles"), Path(monai_sfda.__file__).parent.parent / "bundles"]
    )
    for place in places:
        if (place / task.bundle / "configs" / "metadata.json").is_file():
            return place / task.bundle
    raise SettingError(
        f"bundle '{task.bundle}' is not found",
        remedy="run from the checkout, or give its bundles folder with --bundles",
    )


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

    def run(self) -> list[dict[str, Any]]:
        """Runs what is missing and returns a row an arm: title, mean Dice, Dice per structure, gap closed,
        seconds.
        """
        self.seconds: dict[str, float] = {}
        self._claim_folder()
        self._train("source")
        self._evaluate(UNADAPTED, "unadapted", self.out / "train_source" / "release" / "model.pt")
        for arm in self.arms:
            self._bundle(
                f"adapt: {arm.title}",
                ("adapt.json",),
                self.out / arm.folder / "adaptation.json",
                release=self.out / "train_source" / "release",
                method=arm.method,
                output_dir=self.out / arm.folder,
                **arm.overrides,
            )
            self._evaluate(arm.title, f"{arm.folder}_test", self.out / arm.folder / "adapted.pt")
        self._train("target")
        self._evaluate(BOUND, "bound", self.out / "train_target" / "release" / "model.pt")
        return self.table()

    def _claim_folder(self) -> None:
        """Refuses a folder with products of other settings, so that no old number stands under a new name."""
        bundle = find_bundle(find_task(self.task), self.bundles)
        configs = hashlib.sha256()
        for path in sorted((bundle / "configs").glob("*.json")):
            configs.update(path.read_bytes())
        mine = {
            "task": self.task,
            "data": file_sha256(self.data / PHANTOM_MANIFEST)
            if (self.data / PHANTOM_MANIFEST).is_file()
            else str(self.data),
            "seed": self.seed,
            "configs": [*self.configs, configs.hexdigest()],
            "common": {k: str(v) for k, v in (self.common or {}).items()},
            "version": monai_sfda.__version__,
        }
        path = self.out / "experiment.json"
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != mine:
            raise SettingError(
                "the folder holds an experiment with other settings, data or configurations",
                path=path.name,
                remedy="use another --out, or delete the folder",
            )
        write_json(path, mine)

    def table(self) -> list[dict[str, Any]]:
        """Rows from the evaluations' summaries."""
        folders = (
            {UNADAPTED: "unadapted"} | {a.title: f"{a.folder}_test" for a in self.arms} | {BOUND: "bound"}
        )
        summaries = {
            title: read_summary(self.out / folder / "summary.json") for title, folder in folders.items()
        }
        low, high = (summaries[t]["dice"]["mean"] for t in (UNADAPTED, BOUND))
        rows = []
        for title, summary in summaries.items():
            mean = summary["dice"]["mean"]
            between = title not in (UNADAPTED, BOUND) and None not in (low, high, mean) and high > low
            rows.append(
                {
                    "title": title,
                    "dice": mean,
                    "dice_per_structure": {k: v["mean"] for k, v in summary["dice"]["per_class"].items()},
                    "assd_mm": summary["assd_mm"]["mean"],
                    "gap_closed": (mean - low) / (high - low) if between else None,
                    "cases": summary["cases"],
                }
            )
        return rows

    def results_for(self, arm: Arm) -> dict[str, Path]:
        """Evaluations to show in an arm's report."""
        return {
            "unadapted": self.out / "unadapted",
            "adapted": self.out / f"{arm.folder}_test",
            "supervised bound": self.out / "bound",
        }

    def _train(self, domain: str) -> None:
        folder = self.out / f"train_{domain}"
        title = "train on the source" if domain == "source" else "train the bound on the target's labels"
        self._bundle(
            title, ("train.json",), folder / "release" / "release.json", domain=domain, output_dir=folder
        )

    def _evaluate(self, title: str, folder: str, checkpoint: Path) -> None:
        self._bundle(
            f"evaluate: {title}",
            ("train.json", "evaluate.json"),
            self.out / folder / "summary.json",
            checkpoint=checkpoint,
            domain="target",
            split="test",
            output_dir=self.out / folder,
        )

    def _bundle(self, title: str, configs: Sequence[str], product: Path, **overrides: Any) -> None:
        if product.is_file():
            return
        bundle = find_bundle(find_task(self.task), self.bundles)
        files = [str(bundle / "configs" / name) for name in (*configs, *self.configs)]
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
        log = self.out / "logs" / f"{Path(str(overrides['output_dir'])).name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self.announce(title, None)
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
            try:
                code = process.wait()
            except BaseException:  # interrupted or ended: the step must not outlive us
                process.terminate()
                process.wait()
                raise
        if code != 0:
            lines = log.read_text(encoding="utf-8").strip().splitlines()
            raise SfdaError(
                f"step '{title}' failed: {lines[-1].removeprefix('monai_sfda: error: ') if lines else code}",
                remedy=f"read logs/{log.name} in the output folder",
            )
        self.seconds[title] = time.monotonic() - started
        self.announce(title, self.seconds[title])
