"""Abdomen phantoms beside real scans: contrast, texture, edges and spectra, measured alike.

The real scans are read from a folder beside the checkout; nothing of them is copied but the two pictures that
their licences allow. Masks of the real abdomen are a model's output (pseudo labels), not manual.

    python -m benchmarks.phantom_realism --data ../shared/data --seed 200 --subjects 8
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks import realism_figures, realism_scans
from benchmarks import realism_measures as measures
from monai_sfda.catalog import find_task
from monai_sfda.files import write_atomically, write_json
from monai_sfda.release import package_versions
from monai_sfda.transforms.intensity import normalise
from monai_sfda.workflow.results import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "phantom_realism"
COMMAND = "python -m benchmarks.phantom_realism"
IMAGES = HERE.parent / "docs" / "images"
_MINIMUM_CONTRAST = {"CT": 40.0, "MR": 25.0}
_STEEP = 0.12  # per mm, of the normalised image: an edge that a network sees
Values = dict[str, float]


def normalised(scan: realism_scans.Scan) -> Any:
    """What a network would see: the abdomen task's own normalisation of that modality."""
    task = find_task("abdomen")
    intensity = (task.target if scan.kind == "CT" else task.source).intensity
    return normalise(torch.as_tensor(np.ascontiguousarray(scan.image)), intensity).numpy()


def measure_tissues(scan: realism_scans.Scan) -> Values:
    """Level, texture and edges of each tissue, and its contrast with what surrounds it."""
    found: Values = {}
    for name, mask in scan.tissues.items():
        inner = measures.eroded(mask, max(3.0, scan.pixel_mm), scan.pixel_mm)
        if "fat" in name and scan.pixel_mm > 2:
            inner = mask
        if inner.sum() < 100:
            continue
        values = scan.image[inner]
        texture = measures.residual(scan.image, inner, scan.pixel_mm)[inner]
        found[f"{name}: mean"] = float(values.mean())
        # robust, as vessels and the sinus are no texture
        found[f"{name}: texture"] = 1.4826 * float(np.median(np.abs(texture - np.median(texture))))
        distance, correlation = measures.autocorrelation(scan.image, inner, scan.pixel_mm)
        found[f"{name}: correlation length, mm"] = measures.correlation_length(distance, correlation)
        if "fat" not in name and name != "muscle":
            around = measures.shell(mask, 5.0, scan.pixel_mm) & scan.body
            contrast = float(values.mean() - np.median(scan.image[around]))
            found[f"{name}: contrast with the 5 mm around"] = contrast
            found[f"{name}: contrast to noise"] = contrast / found[f"{name}: texture"]
        edges = find_edges(scan, name)
        if edges is not None:
            found[f"{name}: edge width, mm"] = float(np.median(edges.width_mm))
    return found


def find_edges(scan: realism_scans.Scan, name: str) -> measures.Edges | None:
    """Edges along the outline of a tissue; None where there are too few."""
    mask = scan.tissues[name]
    if name in ("muscle", "visceral fat"):
        return None  # its outline is the fat's
    reach = 9.0 if scan.pixel_mm > 2 else 6.0
    profiles = measures.edge_profiles(scan.image, mask, scan.body, scan.pixel_mm, reach)
    edges = measures.fit_edges(*profiles, _MINIMUM_CONTRAST[scan.kind])
    return edges if len(edges.width_mm) >= 60 else None


def measure_slices(scan: realism_scans.Scan) -> Values:
    """Whole slices: what fills the body, spectrum, and how much there is to see beside the organs."""
    image = normalised(scan)
    found: Values = {}
    inside = scan.image[scan.body]
    if scan.kind == "CT":
        parts = {"gas": (-2000, -300), "fat": (-150, -30), "soft tissue": (-30, 110), "bone": (200, 4000)}
        for name, (low, high) in parts.items():
            found[f"share of the body: {name}"] = float(((inside > low) & (inside < high)).mean())
        found["share of the body: above 400 HU"] = float((inside > 400).mean())
    else:
        found["share of the body: fat"] = float((inside > 60).mean())
    spectrum = measures.radial_spectrum(np.where(scan.body, image, image.min()), scan.pixel_mm)
    found["spectrum: exponent from 0.015 to 0.12 per mm"] = measures.spectrum_slope(*spectrum)
    steep = measures.gradient_magnitude(image, scan.pixel_mm)
    organs = np.any([scan.tissues[name] for name in realism_scans.ORGANS], axis=0)
    elsewhere = measures.eroded(scan.body, 6.0, scan.pixel_mm) & ~organs
    found["area beside the organs that is edges"] = float((steep[elsewhere] > _STEEP).mean())
    for share in (25, 50, 90):
        found[f"gradient magnitude, {share}th percentile"] = float(np.percentile(steep[scan.body], share))
    return found


def distances(real: realism_scans.Scan, phantoms: Sequence[realism_scans.Scan]) -> dict[str, list[float]]:
    """Wasserstein-1 distances of normalised intensities and gradients inside the body."""
    samples = []
    for scan in (real, *phantoms):
        image = normalised(scan)
        samples.append((image[scan.body], measures.gradient_magnitude(image, scan.pixel_mm)[scan.body]))
    found: dict[str, list[float]] = {}
    for which, name in enumerate(("intensity", "gradient magnitude")):
        w1 = [[stats.wasserstein_distance(a[which], b[which]) for b in samples] for a in samples]
        found[f"{name}: phantom to real"] = w1[0][1:]
        found[f"{name}: phantom to phantom"] = [
            w1[i][j] for i in range(1, len(samples)) for j in range(i + 1, len(samples))
        ]
    return found


def collect(real: Sequence[Values], phantoms: Sequence[Values]) -> dict[str, dict[str, list[float]]]:
    """By measure the values of all real scans and of all phantoms."""
    names = dict.fromkeys(name for values in real for name in values)
    groups = {"real": real, "phantom": phantoms}
    return {
        name: {group: [v[name] for v in scans if name in v] for group, scans in groups.items()}
        for name in names
    }


def as_markdown(content: dict[str, Any]) -> str:
    """The tables for people."""
    lines = [
        "# Phantoms beside real scans",
        "",
        f"Made by `{content['command']}`. Medians and ranges over scans; masks of the real abdomen are",
        "pseudo labels. *In range*: the phantoms' median lies in the range of the real scans, or, with",
        "one real scan, that one lies in the range of the phantoms. What it means: "
        "[docs/phantoms.md](../../docs/phantoms.md).",
    ]
    for title, table in content["tables"].items():
        lines += ["", f"## {title}", "", "| measure | real | phantoms | in range |", "|---|---|---|---|"]
        for name, row in table.items():
            lines.append(f"| {name} | {_range(row['real'])} | {_range(row['phantom'])} | {_inside(row)} |")
    lines += ["", "## Wasserstein-1 distances of normalised images, inside the body", ""]
    lines += ["| | median (range) |", "|---|---|"]
    for kind, rows in content["distances"].items():
        lines += [f"| {kind} {name} | {_range(values)} |" for name, values in rows.items()]
    return "\n".join(lines) + "\n"


def _range(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


def _inside(row: dict[str, list[float]]) -> str:
    """Whether the phantoms' median lies in the range of several real scans, or one real scan in theirs."""
    real, phantom = row["real"], row["phantom"]
    if not phantom:
        return "not measurable"
    if len(real) > 1:
        inside = min(real) <= statistics.median(phantom) <= max(real)
    else:
        inside = min(phantom) <= real[0] <= max(phantom)
    return "yes" if inside else "**no**"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=200)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--no-files", action="store_true", help="print the tables, write nothing")
    arguments = parser.parse_args()
    content: dict[str, Any] = {
        "what": "abdomen phantoms (simulated) and real scans, measured alike; real abdomen: pseudo labels",
        "command": f"{COMMAND} --seed {arguments.seed} --subjects {arguments.subjects}",
        "phantom": True,
        "tables": {},
        "distances": {},
        "versions": package_versions(),
        "machine": machine(),
    }
    scans: dict[str, list[realism_scans.Scan]] = {}
    for kind, how in (("CT", "unenhanced"), ("MR", "fat image, per cent of subcutaneous fat")):
        real = realism_scans.real_abdomen(arguments.data, kind)
        phantoms = list(realism_scans.phantom_abdomens(kind, arguments.seed, arguments.subjects, real))
        scans[f"abdomen {kind}"] = [real, *phantoms]
        found = [measure_tissues(scan) | measure_slices(scan) for scan in (real, *phantoms)]
        content["tables"][f"Abdomen {kind} ({how}), 3 mm voxels"] = collect(found[:1], found[1:])
        content["distances"][kind] = distances(real, phantoms)
        thighs = list(realism_scans.real_thighs(arguments.data, kind))
        trunks = list(realism_scans.phantom_trunks(kind, arguments.seed, arguments.subjects))
        scans[f"soft tissue {kind}"] = [*thighs, *trunks]
        title = f"Fat and muscle in {kind}, 0.98 mm pixels: {len(thighs)} real limbs, phantoms of the trunk"
        content["tables"][title] = collect(
            [measure_tissues(scan) for scan in thighs], [measure_tissues(scan) for scan in trunks]
        )
    text = as_markdown(content)
    print(text)
    if not arguments.no_files:
        write_json(RESULTS.with_suffix(".json"), content)
        write_atomically(RESULTS.with_suffix(".md"), text.encode())
        realism_figures.draw(scans, IMAGES, normalised, find_edges)


if __name__ == "__main__":
    main()
