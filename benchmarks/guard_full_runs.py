"""The guard on runs of the bundles' own commands with `small.json`, none of which its thresholds have seen.

    python -m benchmarks.guard_full_runs --out runs/guard_small --seed 300

Train, adapt and evaluate as a user does it, on phantoms of a seed of its own: every method as `small.json`
has it, and as often made harmful (learning rate x20 and x100, lambda x1000). The guard judges each run as it
judges a user's; labels are read by evaluate.json alone, afterwards. Interrupted, it goes on with the same
command; what has run is in `results/guard_small.{json,md}`. Phantoms: not for diagnosis.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.guard_plan import KINDS, LAMBDA, METHODS, TASKS
from benchmarks.guard_results import GAIN, HARM, interval
from benchmarks.guard_table import HERE
from monai_sfda.ablations import Arm
from monai_sfda.catalog import find_task
from monai_sfda.evaluation.summary import read_summary
from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard.calibration import shipped_calibration
from monai_sfda.guard.verdict import ACCEPT
from monai_sfda.methods import find_method
from monai_sfda.phantom import write_phantoms
from monai_sfda.release import package_versions
from monai_sfda.workflow.console import announcing, make_console
from monai_sfda.workflow.experiment import Experiment
from monai_sfda.workflow.results import machine

SUBJECTS = 20
"""Phantom subjects a domain: enough for several of the guard's."""
HARMFUL = ("rate_20", "rate_100", "lambda_1000")


class Judged(Experiment):
    """Runs with the guard and without the supervised bound, which no verdict needs."""

    def _train_bound(self, needs_source: bool) -> None:
        """None."""


def arms() -> list[Arm]:
    """Every method as it is, and one harm of each that takes steps; harms take turns."""
    found = [Arm(name, name, name) for name in METHODS]
    for number, name in enumerate(METHODS):
        settings = METHODS[name]
        if "learning_rate" not in settings:
            continue
        kind = HARMFUL[number % len(HARMFUL)]
        if kind == "lambda_1000" and name in LAMBDA:
            default = getattr(find_method(name).settings_class(), LAMBDA[name])
            overrides: dict[str, Any] = {"method_settings": {LAMBDA[name]: 1000 * default}}
        else:
            kind = "rate_100" if kind == "lambda_1000" else kind
            overrides = {"learning_rate": settings["learning_rate"] * float(kind.removeprefix("rate_"))}
        found.append(Arm(f"{name}, {KINDS[kind].title}", f"{name}_{kind}", name, overrides))
    return found


def rows_of(experiment: Experiment) -> list[dict[str, Any]]:
    """What the guard said of each run, and what is true of it."""
    rows = []
    for arm in experiment.arms:
        if not (experiment.published_folder(arm) / "summary.json").is_file():
            continue
        guard = experiment.guard_of(arm) or {}
        folders = (
            experiment.unadapted_folder(arm),
            experiment.test_folder(arm),
            experiment.published_folder(arm),
        )
        unadapted, last, published = (read_summary(f / "summary.json")["dice"]["mean"] for f in folders)
        rows.append(
            {
                "task": experiment.task,
                "seed": experiment.seed,
                "run": arm.title,
                "verdict": guard["verdict"],
                "chosen": guard["chosen"],
                "estimate": round(guard["estimates"][guard["best"]], 4),
                "unadapted": round(unadapted, 4),
                "last": round(last - unadapted, 4),
                "published": round(published - unadapted, 4),
            }
        )
    return rows


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, and what it comes to."""
    harmful = [row for row in rows if row["last"] < -HARM]
    gains = [row for row in rows if row["last"] >= GAIN]
    let_through = [row for row in rows if row["published"] < -HARM]
    accepted = [row for row in gains if row["verdict"] == ACCEPT]
    regret = [max(0.0, row["last"], row["published"]) - row["published"] for row in rows]

    def share(part: Sequence[Any], of: Sequence[Any]) -> str:
        low, high = interval(len(part), len(of))
        return f"{len(part)} of {len(of)} ({100 * low:.1f} to {100 * high:.1f}%)"

    lines = [
        "# The guard on runs of `small.json`, phantoms (not for diagnosis)",
        "",
        f"`python -m benchmarks.guard_full_runs`, {SUBJECTS} subjects a domain. The guard's thresholds have "
        "seen none of these phantoms, models or runs. Changes are of the mean Dice on unseen target "
        "subjects, in points. Of the checkpoints only the published one and the last were scored: regret is "
        "against the best of these and the unadapted model.",
        "",
        f"- {len(rows)} runs, {len(harmful)} harmful: the last weights lose over {100 * HARM:g} points.",
        f"- Harm let through: {share(let_through, harmful)}.",
        f"- Gains of {100 * GAIN:g} points or more accepted: {share(accepted, gains)}.",
    ]
    if rows:
        lines.append(f"- Mean regret {100 * fmean(regret):.2f} points.")
    lines += [
        "",
        "| task | seed | run | unadapted | last weights | verdict | published | estimate | its change |",
        "|" + "---|" * 9,
    ]
    for row in rows:
        cells = [row["task"], row["seed"], row["run"], f"{row['unadapted']:.3f}"]
        cells += [f"{100 * row['last']:+.1f}", row["verdict"], row["chosen"]]
        cells += [f"{100 * row['estimate']:+.1f}", f"{100 * row['published']:+.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seed", type=int, default=300, help="of phantoms, training and adaptation")
    parser.add_argument("--tasks", default="cardiac,spine,street,abdomen", help=f"of {', '.join(TASKS)}")
    given = parser.parse_args()
    console = make_console()
    rows: list[dict[str, Any]] = []
    for task in given.tasks.split(","):
        out = given.out.resolve() / task
        data = out / "phantoms"
        with announcing(console) as announce:
            experiment = Judged(
                task,
                data,
                out,
                seed=given.seed,
                arms=arms(),
                guard=True,
                announce=announce,
                prepare=partial(
                    write_phantoms, find_task(task).phantom_name, data, SUBJECTS, given.seed, workers=1
                ),
            )
            experiment.run()
        rows += rows_of(experiment)
        content = {
            "phantom": True,
            "intended_use": "research; not for diagnosis",
            "subjects": SUBJECTS,
            "calibration": dict(shipped_calibration().made_from),
            "rows": rows,
            "versions": package_versions(),
            "machine": machine(),
        }
        write_json(HERE / "guard_small.json", content)
        write_atomically(HERE / "guard_small.md", as_markdown(rows).encode())
    console.print(as_markdown(rows), highlight=False)


if __name__ == "__main__":
    main()
