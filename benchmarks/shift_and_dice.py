"""How well the domain-shift score, and other label-free numbers of a scan, rank scans by their true Dice.

For each task the source model of `benchmarks.familiarity`, and the same adapted to target phantoms, segment
target phantoms that neither has seen, as they are and degraded. What is correlated with the mean Dice of a
scan: its score, its mean entropy, and the mean over its structures of both confidences. A prediction that is
there is not made again.

    python -m benchmarks.shift_and_dice --work runs/familiarity --tasks abdomen,cardiac,spine
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from benchmarks.familiarity import FRESH_SEED, HERE, SEED, Model, phantoms, prepare
from monai_sfda.catalog import Task, find_task, without_background
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.data.scan import Scan
from monai_sfda.engines import SliceStackInferer
from monai_sfda.engines.uncertainty import predict_scan
from monai_sfda.errors import DataError
from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard import Reference, ScanObserver, compare
from monai_sfda.guard.reference_file import find_reference
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import package_versions
from monai_sfda.workflow.bundle_commands import BundleCommands
from monai_sfda.workflow.refit import network_of
from monai_sfda.workflow.results import machine

SIGNALS = {
    "score": "domain-shift score",
    "entropy": "mean entropy",
    "mean_probability": "mean probability of the structures",
    "soft_dice": "soft Dice confidence",
}
RISES_WITH_DICE = {"score": False, "entropy": False, "mean_probability": True, "soft_dice": True}
RESAMPLES = 2000
Row = dict[str, Any]


def noisy(scan: Scan, share: float) -> Scan:
    """Gaussian noise of a share of the standard deviation of the values above the median."""
    spread = float(scan.array[scan.array > np.median(scan.array)].std())
    noise = np.random.default_rng(SEED).normal(0, share * spread, scan.array.shape)
    return Scan((scan.array + noise).astype(np.float32), scan.affine)


def blurred(scan: Scan, sigma_mm: float) -> Scan:
    """Blurred in all directions."""
    sigma = [0.0, *(sigma_mm / spacing for spacing in scan.spacing_mm)]
    return Scan(ndimage.gaussian_filter(scan.array, sigma).astype(np.float32), scan.affine)


def shaded(scan: Scan, share: float) -> Scan:
    """Values above the lowest multiplied by 1 - share to 1 + share along the first stored axis."""
    lowest = float(np.percentile(scan.array, 1))
    ramp = np.linspace(1 - share, 1 + share, scan.shape[0])[None, :, None, None]
    return Scan((lowest + (scan.array - lowest) * ramp).astype(np.float32), scan.affine)


AS_IT_IS = "as it is"
DEGRADED: dict[str, Callable[[Scan], Scan]] = {
    AS_IT_IS: lambda scan: scan,
    "noise": lambda scan: noisy(scan, 0.5),
    "blur of 4 mm": lambda scan: blurred(scan, 4.0),
    "shading of 50%": lambda scan: shaded(scan, 0.5),
}


def adapted(model: Model, folder: Path, data: Path, method: str) -> tuple[SegmentationNetwork, Reference]:
    """The model adapted to the target phantoms of its own data set, and what it knows then."""
    commands = BundleCommands(
        model.task.name,
        data,
        folder,
        seed=SEED,
        bundles=None,
        configs=("small.json",),
        common={},
        announce=lambda title, seconds: print(f"{model.task.name}: {title}", flush=True),
        lock=None,
    )
    out = folder / method
    commands.run(
        f"adapt by {method}",
        ("adapt.json", "small.json"),
        out / "adaptation.json",
        method=method,
        release=folder / "train" / "release",
        output_dir=out,
    )
    network = network_of(model.release)
    load_into(network, load_weights(out / "adapted.pt"))
    reference, missing = find_reference(out / "adapted.pt")
    assert reference is not None, missing
    return network, reference


def mean_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8], labels: dict[str, int]) -> float:
    """Over the structures that are in either."""
    scores = []
    for index in without_background(labels).values():
        a, b = found == index, truth == index
        if a.any() or b.any():
            scores.append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return float(np.mean(scores))


def look(model: Model, network: SegmentationNetwork, reference: Reference, scan: Scan, label: Any) -> Row:
    """Dice and label-free numbers of one scan, from one walk of the network."""
    preprocessing, labels = model.release.preprocessing["target"], model.task.labels
    inferer = SliceStackInferer(preprocessing.stack_slices, 8, minimum_size=model.release.image_size)
    observer = ScanObserver(network, preprocessing.grid(scan.shape, scan.affine))
    with observer.watching():
        found = predict_scan(scan, network, preprocessing, inferer, "cpu", labels)
    profile = observer.profile()
    familiarity = compare(profile, reference, labels)
    # A structure that is not predicted has no confidence: 0 where all are asked for one number.
    sure = [(c.mean_probability, c.soft_dice) if c else (0.0, 0.0) for c in found.confidence.values()]
    return {
        "dice": mean_dice(found.classes, label, labels),
        "score": familiarity.score,
        "verdict": familiarity.verdict,
        "entropy": profile.entropy,
        "mean_probability": float(np.mean([p for p, _ in sure])),
        "soft_dice": float(np.mean([d for _, d in sure])),
    }


def rank_correlation(
    values: NDArray[np.float64], dice: NDArray[np.float64], subjects: NDArray[np.int_]
) -> tuple[float, float, float] | None:
    """Spearman's rho and its 95% interval, by resampling subjects with all their scans; None where one of the
    two is the same for all.
    """
    rng = np.random.default_rng(0)
    people = np.unique(subjects)
    members = {person: np.flatnonzero(subjects == person) for person in people}

    def rho(index: NDArray[np.int_]) -> float:
        if np.ptp(values[index]) == 0 or np.ptp(dice[index]) == 0:
            return float("nan")
        return float(stats.spearmanr(values[index], dice[index]).statistic)

    whole = rho(np.arange(len(dice)))
    if np.isnan(whole):
        return None
    drawn = [
        rho(np.concatenate([members[p] for p in rng.choice(people, len(people))])) for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return whole, float(low), float(high)


def summarise(task: str, model: str, rows: list[Row]) -> list[Row]:
    """Rank correlations of every signal, over the scans as they are and over all, signed so that 1 is
    perfect.
    """
    found = []
    for title, chosen in (
        (AS_IT_IS, [row for row in rows if row["variant"] == AS_IT_IS]),
        ("with degraded ones", rows),
    ):
        dice = np.array([row["dice"] for row in chosen])
        subjects = np.array([row["subject"] for row in chosen])
        entry: Row = {
            "task": task,
            "model": model,
            "scans": title,
            "number": len(chosen),
            "subjects": len(set(subjects.tolist())),
            "dice": [float(dice.min()), float(dice.mean()), float(dice.max())],
            "warned": sum(row["verdict"] != "familiar" for row in chosen),
            "mean_soft_dice": float(np.mean([row["soft_dice"] for row in chosen])),
        }
        for signal in SIGNALS:
            values = np.array([row[signal] for row in chosen])
            entry[signal] = rank_correlation(values if RISES_WITH_DICE[signal] else -values, dice, subjects)
        found.append(entry)
    return found


def as_markdown(rows: list[Row]) -> str:
    """The table, with what it is."""
    lines = [
        "# Label-free numbers of a scan beside its true Dice (phantoms, not for diagnosis)",
        "",
        f"Source models of `small.json`, trained on phantoms of seed {SEED}, unadapted and adapted to target "
        f"phantoms of the same seed; target scans of seed {FRESH_SEED}, which neither has seen, as they are "
        f"and with each of {', '.join(list(DEGRADED)[1:])}. Numbers are Spearman's rank correlation with the "
        "mean Dice of a scan, signed so that 1 is a perfect ranking, 0 none, below 0 the wrong way round; in "
        f"brackets 95% intervals ({RESAMPLES} resamples of subjects with all their scans). `warned`: verdict "
        "`unusual` or `unlike`.",
        "",
        "| task | model | scans | number | Dice (lowest, mean, highest) | mean soft Dice | warned | "
        + " | ".join(SIGNALS.values())
        + " |",
        "|" + "---|" * (7 + len(SIGNALS)),
    ]
    for row in rows:
        low, mean, high = row["dice"]
        cells = [
            row["task"],
            row["model"],
            row["scans"],
            f"{row['number']} of {row['subjects']} subjects",
            f"{low:.2f}, {mean:.2f}, {high:.2f}",
            f"{row['mean_soft_dice']:.2f}",
            f"{row['warned']}",
            *(
                "none" if row[s] is None else f"{row[s][0]:.2f} ({row[s][1]:.2f} to {row[s][2]:.2f})"
                for s in SIGNALS
            ),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def fresh_cases(task: Task, folder: Path, most: int) -> list[Any]:
    """Target scans with labels, of any split, one a subject."""
    cases = {}
    for split in ("train", "val", "test"):
        try:
            found = list_cases(task, "target", split, folder, labels=True).cases
        except DataError:  # a split without subjects among the phantoms
            continue
        cases |= {case.subject: case for case in found}
    return [cases[subject] for subject in sorted(cases)][:most]


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for phantoms, models and numbers")
    parser.add_argument("--tasks", default="abdomen,cardiac,spine", help="by comma")
    parser.add_argument("--method", default="adabn", help="of the adapted models")
    parser.add_argument("--subjects", type=int, default=16, help="phantom subjects a domain")
    parser.add_argument("--scans", type=int, default=12, help="target scans")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name in given.tasks.split(","):
        task, folder = find_task(name), given.work / name
        model = prepare(task, folder, given.subjects)
        data = phantoms(task, given.work, SEED, given.subjects)
        fresh = phantoms(task, given.work, FRESH_SEED, given.subjects)
        models = {
            "unadapted": (model.network, model.reference),
            given.method: adapted(model, folder, data, given.method),
        }
        record = folder / "dice.json"
        found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        for number, case in enumerate(fresh_cases(task, fresh, given.scans)):
            scan, label = read_case(case, task, "target", with_label=True)
            for variant, degrade in DEGRADED.items():
                for title, (network, reference) in models.items():
                    key = f"{title}, {number}, {variant}"
                    if key not in found:
                        found[key] = look(model, network, reference, degrade(scan), label)
                        write_json(record, found)
            print(f"{name}: scan {number}: {found[f'{given.method}, {number}, {AS_IT_IS}']}", flush=True)
        for title in models:
            mine = []
            for key, row in found.items():
                of, number, variant = key.split(", ", 2)
                if of == title:
                    mine.append(row | {"subject": int(number), "variant": variant})
            rows += summarise(name, title, mine)
    print(as_markdown(rows))
    write_atomically(HERE / "shift_and_dice.md", as_markdown(rows).encode())
    content = {"phantom": True, "seeds": [SEED, FRESH_SEED], "rows": rows}
    write_json(HERE / "shift_and_dice.json", content | {"versions": package_versions(), "machine": machine()})


if __name__ == "__main__":
    main()
