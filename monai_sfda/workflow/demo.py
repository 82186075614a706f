"""`monai-sfda demo`: the whole job on abdomen phantoms, from simulated scans to a report."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from monai_sfda.candidate_names import LAST, candidate_title
from monai_sfda.catalog import find_task
from monai_sfda.evaluation.comparison import UNADAPTED
from monai_sfda.files import write_json
from monai_sfda.phantom import write_phantoms
from monai_sfda.workflow.bundle_folder import find_bundle
from monai_sfda.workflow.console import announcing, make_console
from monai_sfda.workflow.experiment import Experiment
from monai_sfda.workflow.report import report_of_run
from monai_sfda.workflow.results import results_table

TASK = "abdomen"


def run_demo(out: Path, *, subjects: int, seed: int, bundles: Path | None = None) -> list[dict[str, Any]]:
    """Writes phantoms, trains on MR, adapts to CT three ways, trains the bound, prints a table, writes
    reports.

    An interrupted demonstration goes on where it stopped.

    Args:
        out: folder for everything.
        subjects: phantom subjects a domain.
        seed: of everything random.
        bundles: folder that holds the bundles.

    Returns:
        The table's rows.
    """
    console = make_console()
    started = time.monotonic()
    task = find_task(TASK)
    find_bundle(task, bundles)
    console.print(
        "[bold]monai_sfda demo[/bold]: abdomen phantoms, MR to CT. Phantom results, not for diagnosis."
    )
    data = out / "phantoms"
    begun = time.monotonic()
    with console.status(f"writing {subjects} + {subjects} phantom scans"):
        write_phantoms(TASK, data, subjects, seed, matrix=None, workers=2)
    console.print(f"  {time.monotonic() - begun:6.0f} s  write {subjects} MR and {subjects} CT phantoms")
    with announcing(console) as announce:
        experiment = Experiment(TASK, data, out, seed=seed, bundles=bundles, announce=announce, guard=True)
        experiment.run()
    rows = [
        row
        for row in results_table(experiment, experiment.arms)
        if row.get("guard", {}).get("chosen") != LAST
    ]
    for arm in experiment.arms:
        report_of_run(experiment.run_folder(arm), experiment.results_for(arm), phantom=True)
    write_json(
        out / "results.json",
        {"task": TASK, "subjects": subjects, "seed": seed, "phantom": True, "rows": rows},
    )
    console.print(as_table(rows, [s.name for s in task.structures]))
    for arm in experiment.arms:
        console.print(f"{arm.title}: {decision_in_words(experiment.guard_of(arm))}", highlight=False)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    console.print(
        f"{time.monotonic() - started:.0f} s in all, peak memory of a step {peak:.1f} GiB; "
        f"report: {out / 'sfs_predicted' / 'report.html'}"
    )
    return rows


def decision_in_words(guard: Mapping[str, Any] | None) -> str:
    """Verdict of the guard, its first reason, and what is in model.pt.

    Args:
        guard: the entry of `adaptation.json`; None where the guard did not judge.
    """
    if guard is None:
        return "not judged"
    what = {UNADAPTED: "the unadapted model", LAST: "the method's last weights"}
    published = what.get(guard["chosen"], candidate_title(guard["chosen"]))
    return f"verdict {guard['verdict']} ({guard['reasons'][0]}); published: {published}"


def as_table(rows: list[dict[str, Any]], structures: list[str]) -> Table:
    """The comparison as a table for the terminal."""
    cases = rows[0]["cases"]
    table = Table(
        title=f"Dice on {cases} target test subjects that no training or adaptation has seen (phantoms)"
    )
    table.add_column("")
    for name in (*structures, "mean"):
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("gap closed", justify="right")
    for row in rows:
        values = [row["dice_per_structure"][name] for name in structures] + [row["dice"]]
        gap = "" if row["gap_closed"] is None else f"{row['gap_closed']:.0%}"
        table.add_row(row["title"], *("-" if v is None else f"{v:.3f}" for v in values), gap)
    return table
