"""The guard's calibration as a table: `benchmarks/results/guard.{json,md,png}`, and its runs one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import guard_records as records
from benchmarks.guard_figure import draw
from benchmarks.guard_plan import KINDS, METHODS, PARTS, SIZES, TASKS
from benchmarks.guard_results import GAIN, HARM, Judged, correlations, counts, grouped, judged_runs
from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.guard.split import TWO_FROM
from monai_sfda.release import package_versions
from monai_sfda.workflow.results import machine

HERE = Path(__file__).parent / "results"
_PART_TITLES = {"development": "development worlds", "held_out": "held-out worlds"}

_GROUPS: dict[str, tuple[Callable[[Judged], Any], Sequence[Any]]] = {
    "task": (lambda run: run.run.task, TASKS),
    "method": (lambda run: run.run.method, tuple(METHODS)),
    "kind": (lambda run: run.run.kind, tuple(KINDS)),
    "target_subjects": (lambda run: run.run.subjects, sorted(set(SIZES))),
}


def write_table(out: Path, results: Path | None = None) -> str:
    """Judges all recorded runs, writes the four files and returns the text.

    Args:
        out: folder of the records.
        results: of the files; None for the repository's own results.
    """
    results = HERE if results is None else results
    runs = judged_runs(out)
    failed = [record for record in records.read(out / records.RUNS) if "failed" in record]
    parts = {part: [run for run in runs if run.run.part == part] for part in PARTS}
    content: dict[str, Any] = {
        "phantom": True,
        "intended_use": "research; not for diagnosis",
        "harm": HARM,
        "gain": GAIN,
        "failed": len(failed),
        "parts": {part: counts(mine) for part, mine in parts.items()},
        **{
            f"by_{name}": {part: grouped(mine, by, order) for part, mine in parts.items()}
            for name, (by, order) in _GROUPS.items()
        },
        "correlations": {part: correlations(mine) for part, mine in parts.items() if mine},
        "versions": package_versions(),
        "machine": machine(),
    }
    text = as_markdown(content)
    write_json(results / "guard.json", content)
    lines = "".join(json.dumps(run.to_json()) + "\n" for run in runs)
    write_atomically(results / "guard_runs.jsonl", lines.encode())
    write_atomically(results / "guard.md", text.encode())
    if runs:
        write_atomically(results / "guard.png", draw(runs, content["correlations"]))
    return text


def as_markdown(content: Mapping[str, Any]) -> str:
    """The tables, with what they are."""
    lines = [
        "# The guard on phantoms (not for diagnosis)",
        "",
        "Small adaptations (a U-Net of 64-pixel slices, 48 or 80 steps) judged without labels. A run is "
        f"harmful when the method's last weights lose more than {100 * HARM:g} Dice points against the "
        "unadapted model on unseen labelled target subjects; harm is let through when the guard publishes "
        f"weights that do. Gains are of {100 * GAIN:g} points or more, by runs of at least "
        f"{TWO_FROM} target subjects, as is the regret: Dice points lost against the checkpoint that "
        "the labels would choose, the unadapted model among them. Intervals: 95%, Clopper and Pearson. "
        "The estimate grew, and thresholds were chosen, on the development worlds, whose rows are therefore "
        "no test of them; the held-out worlds have other anatomies, scanners and imaging. "
        f"{content['failed']} further runs ended with an error (a loss or a weight "
        "that is not finite) and published nothing.",
        "",
        *_rows("worlds", {_PART_TITLES[part]: found for part, found in content["parts"].items()}),
    ]
    for part, title in _PART_TITLES.items():
        for name in _GROUPS:
            groups = content[f"by_{name}"].get(part)
            if groups:
                if name == "kind":
                    groups = {KINDS[kind].title: found for kind, found in groups.items()}
                words = name.replace("_", " ")
                lines += ["", f"## By {words}, {title}", "", *_rows(words, groups)]
    for part, found in content["correlations"].items():
        lines += ["", f"## Signals and the true change of Dice, {_PART_TITLES[part]}", ""]
        lines += [
            "Spearman's correlation of a signal's change with the change of Dice, candidates of methods that "
            "optimise the signal left out; bootstrap over runs.",
            "",
            *_signal_rows(found),
        ]
    return "\n".join(lines) + "\n"


def _rows(name: str, groups: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        f"| {name} | harmful | others | harm let through | of harmful with {TWO_FROM}+ subjects "
        "| gains accepted | unsure | regret: published | preferred | last | unadapted |",
        "|" + "---|" * 11,
    ]
    for title, found in groups.items():
        regret = found["regret"]
        points = [
            "" if regret[key] is None else f"{100 * regret[key]:.2f}"
            for key in ("published", "preferred", "last", "unadapted")
        ]
        cells = [
            title,
            str(found["harmful"]),
            str(found["others"]),
            _proportion(found["harmful_accepted"]),
            _proportion(found["harmful_enough_accepted"]),
            _proportion(found["gains_accepted"]),
            _proportion(found["unsure"], bounds=False),
            *points,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _proportion(found: Mapping[str, Any], bounds: bool = True) -> str:
    if found["share"] is None:
        return ""
    low, high = found["interval"]
    text = f"{found['count']} of {found['of']}, {100 * found['share']:.1f}%"
    return f"{text} ({100 * low:.1f} to {100 * high:.1f})" if bounds else text


def _signal_rows(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = ["| signal | better | all | within a task | candidates |", "|---|---|---|---|---|"]
    ranked: Sequence[str] = sorted(found, key=lambda name: -abs(found[name]["within_task"]))
    for name in ranked:
        entry = found[name]
        title = SIGNALS[name].title if name in SIGNALS else name
        values = [
            f"{entry[key]:.2f} ({entry[key + '_interval'][0]:.2f} to {entry[key + '_interval'][1]:.2f})"
            for key in ("pooled", "within_task")
        ]
        lines.append(f"| {title} | {entry['better']} | {values[0]} | {values[1]} | {entry['candidates']} |")
    return lines
