"""Brain phantoms beside real scans: contrasts of the four sequences, noise, spectra, measured alike.

The real scans are two people with multiple sclerosis (open_ms; lesions are left out), read from a folder
beside the checkout; nothing of them is copied but the picture that their licence allows.

    python -m benchmarks.brain_realism --data ../shared/data --seed 300 --subjects 8
"""

from __future__ import annotations

import argparse
import io
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from benchmarks import realism_measures as measures
from monai_sfda.files import write_atomically, write_json
from monai_sfda.phantom import brats_grid, brats_subjects, draw_brain_scanner, image_brain, make_brain
from monai_sfda.phantom.brain_mr import SEQUENCES
from monai_sfda.phantom.jobs import SubjectSeeds
from monai_sfda.release import package_versions
from monai_sfda.workflow.results import machine

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "brain_realism"
PICTURE = HERE.parent / "docs" / "images" / "phantoms_brain.png"
COMMAND = "python -m benchmarks.brain_realism"
_REAL_NAMES = {"t1": "T1", "t1ce": "T1POST", "t2": "T2", "flair": "FLAIR"}
_TITLES = {"t1": "T1", "t1ce": "T1 after contrast agent", "t2": "T2", "flair": "FLAIR"}
_CREDIT = (
    "Real: Lesjak et al. 2018, doi 10.1007/s12021-017-9348-7, CC BY, cut to one slice and windowed. "
    "Others: phantoms, not patients. Not for diagnosis."
)


@dataclass(frozen=True)
class BrainScan:
    """Four images of one head in 1 mm voxels, X to the right, Y to the front; what to leave out."""

    title: str
    images: dict[str, NDArray[np.float32]]
    lesions: NDArray[np.bool_]


def real_brains(data: Path) -> Iterator[BrainScan]:
    """The two heads of open_ms, numbered."""
    for number, folder in enumerate(sorted((data / "open_ms").glob("patient*")), start=1):
        images = {name: _read(folder / f"{file}.nii.gz") for name, file in _REAL_NAMES.items()}
        lesions = _read(folder / "lesion_mask.nii.gz") > 0
        yield BrainScan(f"real {number}", images, ndimage.binary_dilation(lesions, iterations=3))


def phantom_brains(seed: int, subjects: int) -> Iterator[BrainScan]:
    """Phantoms as `write_phantoms` would make them; high- and low-grade take turns."""
    for number in range(subjects):
        grade = "HGG" if number % 2 == 0 else "LGG"
        subject = brats_subjects(grade, number + 1)[-1]
        brain = make_brain(SubjectSeeds.of(seed, grade, subject.id).anatomy, grade)
        seeds = SubjectSeeds.of(seed, grade, subject.cases()[0])
        scanner = draw_brain_scanner(seeds.scanner, subject.older)
        shown = image_brain(brain, brats_grid(240), scanner, seeds.imaging)
        turned = {name: image[::-1, ::-1].astype(np.float32) for name, image in shown.arrays.items()}
        tumour = ndimage.binary_dilation(shown.labels[::-1, ::-1] > 0, iterations=3)
        yield BrainScan(f"phantom, {grade}", turned, tumour)


def measure(scan: BrainScan) -> dict[str, float]:
    """Levels of grey matter and fluid relative to white matter, variation in white matter, spectrum.

    The three tissues are found alike in real scans and phantoms: the clusters of the intensities of T1 and
    T2, each divided by its median, 2 voxels inside of the stripped brain.
    """
    brain = (scan.images["t1"] > 0) & (scan.images["t2"] > 0)
    box = ndimage.find_objects(brain)[0]
    inside = ndimage.binary_erosion(brain, iterations=2) & ~scan.lesions
    samples = np.stack([scan.images[name][inside] for name in ("t1", "t2")], axis=1)
    samples = np.minimum(samples / np.median(samples, axis=0), 4.0)
    start = np.stack([np.percentile(samples, share, axis=0) for share in (3, 40, 80)])
    start[:, 1] = np.percentile(samples[:, 1], (97, 60, 20))
    _, cluster = kmeans2(samples, start, minit="matrix", iter=40)
    found: dict[str, float] = {}
    for name in SEQUENCES:
        image = scan.images[name]
        values = image[inside]
        white = float(np.median(values[cluster == 2]))
        found[f"{_TITLES[name]}: grey / white"] = float(np.median(values[cluster == 1])) / white
        found[f"{_TITLES[name]}: fluid / white"] = float(np.median(values[cluster == 0])) / white
        spread = np.median(np.abs(values[cluster == 2] - white))
        found[f"{_TITLES[name]}: variation in white"] = 1.4826 * float(spread) / white
        slices = np.where(brain, image / white, 0.0)[box][:, :, 60:100]
        spectrum = measures.radial_spectrum(slices, 1.0)
        found[f"{_TITLES[name]}: exponent of the spectrum"] = measures.spectrum_slope(*spectrum, 0.02, 0.25)
    for index, name in enumerate(("fluid", "grey", "white")):
        found[f"share of the brain: {name}"] = float((cluster == index).mean())
    return found


def as_markdown(table: dict[str, dict[str, list[float]]], command: str) -> str:
    """The table for people."""
    lines = [
        "# Brain phantoms beside real scans",
        "",
        f"Made by `{command}`. Real: two people with multiple sclerosis.",
        "Phantoms: median (range). *In range*: the phantoms' range holds at least one real scan. Phantom",
        "results; not for diagnosis. What it means: [docs/phantoms.md](../../docs/phantoms.md).",
        "",
        "| measure | real | phantoms | in range |",
        "|---|---|---|---|",
    ]
    for name, row in table.items():
        real, phantom = row["real"], row["phantom"]
        inside = any(min(phantom) <= value <= max(phantom) for value in real)
        shown = f"{statistics.median(phantom):.2f} ({min(phantom):.2f} to {max(phantom):.2f})"
        lines.append(
            f"| {name} | {', '.join(f'{v:.2f}' for v in real)} | {shown} | {'yes' if inside else '**no**'} |"
        )
    return "\n".join(lines) + "\n"


def draw(scans: list[BrainScan]) -> bytes:
    """One real head and two phantoms, four sequences each, as a PNG."""
    figure, axes = plt.subplots(len(scans), 4, figsize=(8.2, 2.75 * len(scans)))
    for row, scan in zip(axes, scans, strict=True):
        brain = scan.images["t1"] > 0
        tumour = np.argwhere(scan.lesions) if scan.title.startswith("phantom") else np.empty((0, 3))
        z = int(tumour[:, 2].mean()) if len(tumour) else _middle(brain) + 12
        x, y = (slice(int(s.start) - 4, int(s.stop) + 4) for s in ndimage.find_objects(brain)[0][:2])
        for axis, name in zip(row, SEQUENCES, strict=True):
            image = scan.images[name]
            axis.imshow(
                image[x, y, z].T, cmap="gray", origin="lower", vmin=0, vmax=np.percentile(image[brain], 99.5)
            )
            axis.set_title(f"{scan.title}: {_TITLES[name]}", fontsize=6.5)
            axis.axis("off")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.text(0.5, 0.01, _CREDIT, ha="center", fontsize=6)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": ""})
    plt.close(figure)
    return stream.getvalue()


def _read(path: Path) -> NDArray[np.float32]:
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj, np.float32)


def _middle(brain: NDArray[np.bool_]) -> int:
    return int(np.median(np.nonzero(brain)[2]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--no-files", action="store_true", help="print the table, write nothing")
    arguments = parser.parse_args()
    real = list(real_brains(arguments.data))
    phantoms = list(phantom_brains(arguments.seed, arguments.subjects))
    found = {"real": [measure(s) for s in real], "phantom": [measure(s) for s in phantoms]}
    table = {name: {g: [v[name] for v in values] for g, values in found.items()} for name in found["real"][0]}
    command = f"{COMMAND} --seed {arguments.seed} --subjects {arguments.subjects}"
    text = as_markdown(table, command)
    print(text)
    if not arguments.no_files:
        content = {
            "what": "brain phantoms (simulated) and real scans, measured alike; not for diagnosis",
            "command": command,
            "phantom": True,
            "table": table,
            "versions": package_versions(),
            "machine": machine(),
        }
        write_json(RESULTS.with_suffix(".json"), content)
        write_atomically(RESULTS.with_suffix(".md"), text.encode())
        write_atomically(PICTURE, draw([real[0], *phantoms[:2]]))


if __name__ == "__main__":
    main()
