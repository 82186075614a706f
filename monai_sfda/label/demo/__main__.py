"""`python -m monai_sfda.label.demo`, which `make app-demo` runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monai_sfda.errors import SfdaError
from monai_sfda.label.demo.preparing import TASKS, DemoSettings
from monai_sfda.label.demo.show import run_demo
from monai_sfda.workflow.error_line import error_line


def main() -> int:
    """Runs the demonstration; returns the exit status."""
    given = _arguments()
    settings = DemoSettings(given.task, given.subjects, given.seed, given.matrix)
    try:
        run_demo(
            given.out.resolve(), settings, port=given.port, pacs_port=given.pacs_port, bundles=given.bundles
        )
    except SfdaError as error:
        print(error_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ended: nothing runs any more; the same command goes on where it stopped")
    return 0


def _arguments() -> argparse.Namespace:
    defaults = DemoSettings()
    parser = argparse.ArgumentParser(
        prog="python -m monai_sfda.label.demo",
        description="Orthanc and the MONAI Label app on phantom studies, on this machine alone.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/app_demo"), help="folder for everything")
    add("--task", choices=TASKS, default=defaults.task, help="what the phantoms show")
    add("--subjects", type=int, default=defaults.subjects, help="phantom subjects a domain")
    add("--seed", type=int, default=defaults.seed, help="of phantoms and training")
    add("--matrix", type=int, default=defaults.matrix, help="pixels across a phantom's slice")
    add("--port", type=int, default=8000, help="of the server")
    add("--pacs-port", type=int, default=8042, help="of Orthanc")
    add("--bundles", type=Path, help="folder of bundles to install; without it a source model is trained")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
