"""The bundles' commands as a user would type them, each a step and a process of its own."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai_sfda
from monai_sfda.catalog import find_task
from monai_sfda.errors import SettingError
from monai_sfda.files import file_sha256, write_json
from monai_sfda.workflow.bundle_folder import find_bundle
from monai_sfda.workflow.report import PHANTOM_MANIFEST
from monai_sfda.workflow.steps import run_process, run_step


@dataclass(frozen=True)
class BundleCommands:
    """Commands of one task's bundle on one data set, with products in one folder.

    Attributes:
        task: name in the catalog.
        data: data set in its official layout, or anything with `datalist`.
        out: folder of all runs.
        seed: of every command.
        bundles: folder that holds the bundles.
        configs: stacked last; `configured` looks into them.
        common: overrides of every command.
        announce: called with each step's title and, when it ends, its seconds.
        lock: descriptor to hand down to processes, see `steps.exclusive`.
    """

    task: str
    data: Path
    out: Path
    seed: int
    bundles: Path | None
    configs: Sequence[str]
    common: Mapping[str, Any]
    announce: Callable[[str, float | None], None]
    lock: int | None

    @property
    def bundle(self) -> Path:
        """The task's bundle."""
        return find_bundle(find_task(self.task), self.bundles)

    def claim_folder(self) -> None:
        """Refuses a folder with products of other settings, so that no old number stands under a new name.

        Raises:
            SettingError: when the folder was made with others.
        """
        configs = hashlib.sha256()
        for path in sorted((self.bundle / "configs").glob("*.json")):
            configs.update(path.read_bytes())
        common = {k: str(v) for k, v in self.common.items()}
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

    def configured(self, key: str) -> Any:
        """What the stacked configurations and `common` set a key to, e.g. `training#loss`."""
        if key in self.common:
            return self.common[key]
        merged: dict[str, Any] = {}
        for name in ("train.json", *self.configs):
            merged.update(json.loads((self.bundle / "configs" / name).read_text(encoding="utf-8")))
        value: Any = merged
        for part in key.split("#"):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def run(
        self, title: str, configs: Sequence[str], product: Path, run: Path | None = None, **overrides: Any
    ) -> None:
        """Runs a command of the task's bundle, or of the one in a run's folder, unless its product is there.

        Args:
            title: for people.
            configs: names of the bundle's configurations, stacked.
            product: file that appears when the command has ended well.
            run: folder of a run whose bundle is used; None for the task's.
            overrides: settings of the command.

        Raises:
            SfdaError: when it fails, with its last line.
        """
        bundle = self.bundle if run is None else run / "bundle"
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
            lambda: run_process(command, log, title, self.lock),
            self.announce,
        )

    def _portable(self, value: Any) -> str:
        """A setting as text; a path of this experiment relative to its folder."""
        if isinstance(value, Path) and value.is_relative_to(self.out):
            return value.relative_to(self.out).as_posix()
        return str(value)
