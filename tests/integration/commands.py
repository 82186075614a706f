"""Running a bundle's configurations, in this process or as a user's command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from monai.bundle import ConfigWorkflow

from tests.builders import BUNDLES, REPOSITORY

ABDOMEN = BUNDLES / "abdomen_chaos_btcv_sfda"
SOFT_TISSUE = BUNDLES / "soft_tissue_ibsi_sfda"

# A job of seconds: what it learns does not matter.
QUICK = {
    "max_epochs": 2,
    "training#epoch_length": 12,
    "batch_size": 4,
    "image_size": 64,
    "pixel_size_mm": 6.4,
}
QUICK_ADAPT = {
    "max_epochs": 2,
    "adaptation#epoch_length": 3,
    "batch_size": 4,
    "image_size": 64,
    "pixel_size_mm": 6.4,
}
SAMPLING = {"image_size": 64, "pixel_size_mm": 6.4}


def run_in_process(bundle: Path, configs: tuple[str, ...], **overrides) -> None:
    """What `python -m monai.bundle run` does, without a new process."""
    workflow = ConfigWorkflow(
        config_file=[str(bundle / "configs" / f"{name}.json") for name in configs],
        workflow_type=None,
        logging_file=False,
        bundle_root=str(bundle),
        **{name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def run_command(bundle: Path, config_file: str, **overrides) -> subprocess.CompletedProcess[str]:
    """The command as ARCHITECTURE.md writes it, from the repository's root; both streams in `stdout`."""
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", config_file]
    command += ["--bundle_root", str(bundle)]
    for name, value in overrides.items():
        command += [f"--{name}", str(value)]
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=540,
    )
