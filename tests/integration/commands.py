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


def bundle_command(
    bundle: Path, configs: tuple[str, ...], *, launcher: tuple[str, ...] = (sys.executable,), **overrides
) -> list[str]:
    """The words of `python -m monai.bundle run` on a bundle's configurations, stacked.

    Args:
        bundle: its folder.
        configs: names without `.json`.
        launcher: what starts the module; torchrun's words for several processes.
        overrides: of the configuration.
    """
    files = ",".join(f"'{bundle}/configs/{name}.json'" for name in configs)
    words = [*launcher, "-m", "monai.bundle", "run", "--config_file", f"[{files}]"]
    words += ["--bundle_root", str(bundle)]
    return words + [word for name, value in overrides.items() for word in (f"--{name}", str(value))]


def run_words(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command from the repository's root; both streams in `stdout`."""
    return subprocess.run(
        words,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=540,
    )


def run_command(bundle: Path, config_file: str, **overrides) -> subprocess.CompletedProcess[str]:
    """The command as ARCHITECTURE.md writes it, with its own `config_file`."""
    words = bundle_command(bundle, (), **overrides)
    words[words.index("--config_file") + 1] = config_file
    return run_words(words)
