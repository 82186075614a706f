"""How long the model store takes to bring the former version back, hashes and all.

    python -m benchmarks.rollback

Two versions of each size lie in a store of their own; activate and rollback follow each other, in this
process and as the command. Weights are random bytes: the store only copies and hashes them. The files are in
the page cache, as they are where a model is served; on a cold disk its reading speed decides.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from monai_sfda.files import write_json
from monai_sfda.release import package_versions
from monai_sfda.store import ModelStore
from monai_sfda.workflow.results import machine
from tests.store_runs import write_adapted_run, write_source_run

SIZES = {"small.json": 2, "abdomen, full size": 82, "a large network": 400}
"""Kind of model to its weights, MB."""
TIMES = 9


def timed(do: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def measure(folder: Path, megabytes: int) -> dict[str, float]:
    """Medians, in seconds."""
    source = os.urandom(megabytes * 1_000_000)
    store = ModelStore(folder / "store", by="benchmark")
    store.publish(write_source_run(folder / "source", source))
    write_adapted_run(folder / "adapted", os.urandom(len(source)), source)
    store.publish(folder / "adapted")
    here, command = [], []
    words = [sys.executable, "-m", "monai_sfda", "models", "rollback", "abdomen", "--store", str(store.root)]
    for _ in range(TIMES):
        store.activate("abdomen", 2)
        here.append(timed(lambda: store.rollback("abdomen")))
        store.activate("abdomen", 2)
        command.append(timed(lambda: subprocess.run(words, check=True, capture_output=True)))
    return {"rollback_s": statistics.median(here), "command_s": statistics.median(command)}


def main() -> None:
    """Measures all sizes and writes `results/rollback.json`."""
    found = {}
    for title, megabytes in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            found[title] = {"weights_mb": megabytes} | measure(Path(folder), megabytes)
        print(title, found[title], flush=True)
    content = {"times": TIMES, "models": found, "versions": package_versions(), "machine": machine()}
    write_json(Path(__file__).parent / "results" / "rollback.json", content)


if __name__ == "__main__":
    main()
