"""How often a strange scan is told from a model's own, by kind of stranger: phantoms, development seeds.

Trains each task's source model with `small.json`, unless its folder holds one, takes the scans that it knows
from the release (or from the training scans, for a release without), and compares scans of its own domain
and strangers with it. A kind whose numbers are there is not run again.

    python -m benchmarks.familiarity --work runs/familiarity --tasks abdomen,spine
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from monai_sfda.catalog import Task, find_task
from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.data.scan import Scan
from monai_sfda.engines import SliceStackInferer
from monai_sfda.engines.reference_scans import profile_scan, reference_of_scans
from monai_sfda.errors import DataError
from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard import Reference, compare
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.phantom import write_phantoms
from monai_sfda.release import Release, package_versions
from monai_sfda.workflow.bundle_commands import BundleCommands
from monai_sfda.workflow.refit import network_of
from monai_sfda.workflow.results import machine

HERE = Path(__file__).parent / "results"
SEED, FRESH_SEED = 100, 120
OWN = "own domain, unseen subjects"
Scans = Iterator[Scan]
Row = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A released source model, and what it knows."""

    task: Task
    release: Release
    network: SegmentationNetwork
    reference: Reference

    def familiarity(self, scan: Scan) -> tuple[float, str, str]:
        """Score, verdict, and the aspect that deviates most."""
        preprocessing = self.release.preprocessing["source"]
        inferer = SliceStackInferer(preprocessing.stack_slices, 8, minimum_size=self.release.image_size)
        profile = profile_scan(scan, self.network, preprocessing, inferer, torch.device("cpu"))
        found = compare(profile, self.reference, self.task.labels)
        return found.score, found.verdict, max(found.aspects, key=lambda name: found.aspects[name])


def prepare(task: Task, folder: Path, subjects: int) -> Model:
    """The task's phantoms, its source model and its reference; what is there is kept."""
    data = phantoms(task, folder.parent, SEED, subjects)
    if not (folder / "train" / "release" / "release.json").is_file():
        commands = BundleCommands(
            task.name,
            data,
            folder,
            seed=SEED,
            bundles=None,
            configs=("small.json",),
            common={},
            announce=lambda title, seconds: print(f"{task.name}: {title}", flush=True),
            lock=None,
        )
        product = folder / "train" / "release" / "release.json"
        commands.run(
            "train on the source", ("train.json", "small.json"), product, output_dir=folder / "train"
        )
    release = Release.read(folder / "train" / "release")
    network = network_of(release)
    if release.reference_scans is not None:
        return Model(task, release, network, Reference.from_json(release.reference_scans))
    preprocessing = release.preprocessing["source"]
    reference = reference_of_scans(
        list_cases(task, "source", "train", data, labels=False).cases,
        task,
        "source",
        network,
        preprocessing,
        SliceStackInferer(preprocessing.stack_slices, 8, minimum_size=release.image_size),
        torch.device("cpu"),
        scans="training",
    )
    assert reference is not None  # phantoms have subjects enough
    return Model(task, release, network, reference)


def phantoms(task: Task, work: Path, seed: int, subjects: int) -> Path:
    """Phantoms of a seed; written when they are not there."""
    folder = work / "phantoms" / f"{task.phantom_name}_{seed}"
    if not (folder / "phantom.json").is_file():
        write_phantoms(task.phantom_name, folder, subjects, seed, matrix=None, workers=1)
    return folder


def scans_of(task: Task, domain: str, folder: Path, splits: tuple[str, ...], most: int) -> Scans:
    """Scans of the splits that are there, one after the other; the first channel of those with several."""
    cases: dict[str, Case] = {}
    for split in splits:
        try:
            found = list_cases(task, domain, split, folder, labels=False).cases
        except DataError:  # a split without subjects among the phantoms
            continue
        cases |= {case.subject: case for case in found}
    for case in list(cases.values())[:most]:
        scan, _ = read_case(case, task, domain, with_label=False)
        yield Scan(scan.array[:1], scan.affine)


def mirrored(scan: Scan, axis: int) -> Scan:
    """The scan with a wrong orientation in its header: mirrored along R (0), A (1) or S (2)."""
    stored = int(np.argmax(nib.orientations.io_orientation(scan.affine)[:, 0] == axis))
    return Scan(np.ascontiguousarray(np.flip(scan.array, stored + 1)), scan.affine)


def cut(scan: Scan, side_mm: float = 60.0) -> Scan:
    """The middle of a scan, in its first two axes."""
    parts: list[slice] = [slice(None)]
    for size, spacing in zip(scan.shape[:2], scan.spacing_mm[:2], strict=True):
        half = max(1, round(side_mm / spacing / 2))
        parts.append(slice(max(0, size // 2 - half), size // 2 + half))
    return Scan(np.ascontiguousarray(scan.array[tuple(parts)]), scan.affine)


def with_values(scan: Scan, values: NDArray[np.float64]) -> Scan:
    """A scan of other values on the same grid."""
    return Scan(values.astype(np.float32), scan.affine)


def kinds(
    task: Task, work: Path, subjects: int, others: list[Task], most: int
) -> dict[str, Callable[[], Scans]]:
    """What is compared, by name; read when it is called."""
    data, fresh = phantoms(task, work, SEED, subjects), phantoms(task, work, FRESH_SEED, subjects)
    everything = ("train", "val", "test")

    def own(count: int) -> Scans:
        yield from scans_of(task, "source", fresh, everything, count)

    def changed(change: Callable[[Scan], Scan]) -> Callable[[], Scans]:
        return lambda: (change(scan) for scan in own(most))

    rng = np.random.default_rng(SEED)
    found: dict[str, Callable[[], Scans]] = {
        OWN: lambda: own(6 * most),
        f"other domain ({task.target.title})": lambda: scans_of(
            task, "target", data, ("test", "train"), most
        ),
    }
    for other in others:
        for domain in ("source", "target"):
            folder = phantoms(other, work, SEED, subjects)
            title = f"other body part ({other.name}, {other.domain(domain).title})"
            found[title] = lambda o=other, d=domain, f=folder: scans_of(o, d, f, everything, most)  # type: ignore[misc]
    return found | {
        "header: left for right": changed(lambda scan: mirrored(scan, 0)),
        "header: front for back": changed(lambda scan: mirrored(scan, 1)),
        "header: head for foot": changed(lambda scan: mirrored(scan, 2)),
        "header: axes exchanged": changed(
            lambda scan: Scan(np.ascontiguousarray(scan.array.transpose(0, 3, 1, 2)), scan.affine)
        ),
        "header: voxels of twice the size": changed(
            lambda scan: Scan(scan.array, scan.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))
        ),
        "cut to 60 mm": changed(cut),
        "values inverted": changed(lambda scan: Scan(-scan.array, scan.affine)),
        "constant": changed(lambda scan: with_values(scan, np.full(scan.array.shape, 7.0))),
        "noise": changed(lambda scan: with_values(scan, rng.normal(100, 30, scan.array.shape))),
    }


def area_under_curve(own: list[float], strange: list[float]) -> float:
    """Probability that a stranger scores higher than an own scan; a tie counts half."""
    pairs = np.subtract.outer(np.array(strange), np.array(own))
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def rows_of(task: Task, found: dict[str, list[tuple[float, str, str]]]) -> list[Row]:
    """A row a kind: how many scans, how many were warned of, the area under the curve against own scans."""
    own = [score for score, _, _ in found[OWN]]
    rows = []
    for kind, scans in found.items():
        scores = [score for score, _, _ in scans]
        aspects = [aspect for _, _, aspect in scans]
        rows.append(
            {
                "task": task.name,
                "kind": kind,
                "scans": len(scans),
                "warned": sum(verdict != "familiar" for _, verdict, _ in scans),
                "unlike": sum(verdict == "unlike" for _, verdict, _ in scans),
                "lowest_score": min(scores),
                "highest_score": max(scores),
                "auc": None if kind == OWN else area_under_curve(own, scores),
                "farthest_aspect": max(set(aspects), key=aspects.count),
            }
        )
    return rows


def as_markdown(rows: list[Row]) -> str:
    """The table, with what it is."""
    lines = [
        "# Strange scans told from a model's own (phantoms, not for diagnosis)",
        "",
        f"Source models of `small.json`, trained on phantoms of seed {SEED}; own scans of seed {FRESH_SEED}.",
        "`warned`: verdict `unusual` or `unlike`. AUC against the own scans.",
        "",
        "| task | scans | number | warned | of these unlike | scores | AUC | farthest aspect |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        auc = "" if row["auc"] is None else f"{row['auc']:.2f}"
        scores = f"{row['lowest_score']:.2f} to {row['highest_score']:.2f}"
        counts = f"{row['scans']} | {row['warned']} | {row['unlike']}"
        lines.append(
            f"| {row['task']} | {row['kind']} | {counts} | {scores} | {auc} | {row['farthest_aspect']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for phantoms, models and numbers")
    parser.add_argument("--tasks", default="abdomen,spine", help="by comma")
    parser.add_argument("--others", default="abdomen,cardiac,brain_modality,spine", help="other body parts")
    parser.add_argument("--subjects", type=int, default=16, help="phantom subjects a domain")
    parser.add_argument("--scans", type=int, default=3, help="scans of each kind; six times as many own ones")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name in given.tasks.split(","):
        task = find_task(name)
        record = given.work / name / "found.json"
        found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        others = [find_task(other) for other in given.others.split(",") if other != name]
        model = prepare(task, given.work / name, given.subjects)
        for kind, scans in kinds(task, given.work, given.subjects, others, given.scans).items():
            if kind not in found:
                found[kind] = [model.familiarity(scan) for scan in scans()]
                write_json(record, found)
                print(f"{name}: {kind}: {[(round(s, 2), v) for s, v, _ in found[kind]]}", flush=True)
        rows += rows_of(task, found)
    print(as_markdown(rows))
    write_atomically(HERE / "familiarity.md", as_markdown(rows).encode())
    content = {"phantom": True, "seeds": [SEED, FRESH_SEED], "rows": rows}
    write_json(HERE / "familiarity.json", content | {"versions": package_versions(), "machine": machine()})


if __name__ == "__main__":
    main()
