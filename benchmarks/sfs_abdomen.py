"""SFS on abdomen phantoms: unadapted, three kinds of class proportions, supervised bound; several seeds.

Each seed has its own phantoms (anatomy and imaging), training and adaptation. Every step is the bundle's own
command with small.json; an interrupted benchmark goes on. Phantom results, not results on patients.

    python benchmarks/sfs_abdomen.py --seeds 0 1 2 --out runs/benchmark_sfs
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from monai_sfda.catalog import find_task
from monai_sfda.files import write_atomically, write_json
from monai_sfda.phantom import write_phantoms
from monai_sfda.release import package_versions
from monai_sfda.workflow.experiment import Experiment, machine

RESULTS = Path(__file__).parent / "results" / "sfs_abdomen"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_sfs"))
    arguments = parser.parse_args()
    per_seed: dict[int, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        folder = arguments.out / f"seed{seed}"
        write_phantoms("abdomen", folder / "phantoms", arguments.subjects, seed, workers=2)

        def announce(title: str, seconds: float | None, seed: int = seed) -> None:
            if seconds is not None:
                print(f"seed {seed}: {seconds:6.0f} s  {title}", flush=True)

        per_seed[seed] = Experiment(
            "abdomen", folder / "phantoms", folder, seed=seed, announce=announce
        ).run()
    rows = [_mean(title, per_seed) for title in [row["title"] for row in per_seed[arguments.seeds[0]]]]
    content = {
        "what": "abdomen phantoms (simulated MR and CT), small.json, Dice on target test subjects never seen",
        "command": f"python benchmarks/sfs_abdomen.py --seeds {' '.join(map(str, arguments.seeds))}",
        "phantom": True,
        "subjects_a_domain": arguments.subjects,
        "rows": rows,
        "seeds": {str(seed): table for seed, table in per_seed.items()},
        "versions": package_versions(),
        "machine": machine(),
    }
    write_json(RESULTS.with_suffix(".json"), content)
    text = as_markdown(rows, [s.name for s in find_task("abdomen").structures], content["command"])
    write_atomically(RESULTS.with_suffix(".md"), text.encode())
    print(text)


def _mean(title: str, per_seed: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    rows = [next(row for row in table if row["title"] == title) for table in per_seed.values()]
    dice, gaps = [r["dice"] for r in rows], [r["gap_closed"] for r in rows if r["gap_closed"] is not None]
    return {
        "title": title,
        "dice_mean": statistics.mean(dice),
        "dice_std": statistics.stdev(dice) if len(dice) > 1 else None,
        "dice_per_structure": {
            name: statistics.mean(r["dice_per_structure"][name] or 0.0 for r in rows)
            for name in rows[0]["dice_per_structure"]
        },
        "assd_mm": [r["assd_mm"] for r in rows],
        "gap_closed_mean": statistics.mean(gaps) if gaps else None,
        "gap_closed_per_seed": gaps,
        "seeds": len(rows),
    }


def as_markdown(rows: list[dict[str, Any]], structures: list[str], command: str) -> str:
    """The table for people."""
    head = ["", *[s.replace("_", " ") for s in structures], "mean Dice (std over seeds)", "gap closed"]
    lines = [
        "# SFS on abdomen phantoms, MR to CT",
        "",
        "Phantom results: simulated scans, not patients. `small.json`, 12 subjects a domain (9 to train or",
        f"adapt, 3 to test), whole volumes, {rows[0]['seeds']} seeds of phantoms, training and adaptation.",
        f"Made by `{command}`.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for row in rows:
        spread = "" if row["dice_std"] is None else f" ({row['dice_std']:.3f})"
        per_seed = ", ".join(f"{g:.0%}" for g in row["gap_closed_per_seed"])
        gap = "" if row["gap_closed_mean"] is None else f"{row['gap_closed_mean']:.0%} ({per_seed})"
        values = [f"{row['dice_per_structure'][s]:.3f}" for s in structures]
        lines.append(f"| {row['title']} | {' | '.join(values)} | {row['dice_mean']:.3f}{spread} | {gap} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
