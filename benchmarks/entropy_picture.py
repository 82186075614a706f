"""The picture of docs/how_to_uncertainty.md: phantoms of both domains, masks of a source model, entropy maps.

python -m benchmarks.entropy_picture RELEASE DATA docs/images/entropy_map.png

RELEASE is the source release of an abdomen model, DATA phantoms that it has not seen.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from monai_sfda.catalog import find_task
from monai_sfda.data.scans import ScanDataset
from monai_sfda.engines import SliceStackInferer
from monai_sfda.engines.uncertainty import predict_scan
from monai_sfda.evaluation.charts import INK, png
from monai_sfda.evaluation.figures import as_ras, choose_slices, color_of
from monai_sfda.evaluation.slices import radiological
from monai_sfda.files import write_atomically
from monai_sfda.release import Release
from monai_sfda.workflow.refit import network_of


def main(release_folder: Path, data: Path, picture: Path) -> None:
    torch.set_num_threads(1)
    release = Release.read(release_folder)
    task, network = find_task(release.task), network_of(release)
    figure = Figure(figsize=(10.5, 5.2), facecolor="white", layout="constrained")
    panels = figure.subplots(2, 4)
    for row, domain in enumerate(("source", "target")):
        scans = ScanDataset(release.task, domain, data, split="test", labels=True)
        scan, reference = scans.read(scans.cases[0])
        assert reference is not None
        preprocessing = release.preprocessing[domain]
        inferer = SliceStackInferer(preprocessing.stack_slices, minimum_size=release.image_size)
        found = predict_scan(scan, network, preprocessing, inferer, "cpu", release.labels, entropy=True)
        assert found.entropy is not None
        grey, classes, truth, entropy = (
            as_ras(array, scan.affine)[0]
            for array in (scan.array[0], found.classes, reference, found.entropy)
        )
        chosen = choose_slices(truth, 1)[0]
        spacing = as_ras(scan.array[0], scan.affine)[1]
        shape = {"aspect": spacing[1] / spacing[0]}
        low, high = (-125, 275) if domain == "target" else (0, float(grey.max()) * 0.6)
        image = radiological(grey[..., chosen])
        for panel, title in zip(panels[row], ("scan", "mask", "reference", "entropy, nats"), strict=True):
            panel.imshow(image, cmap="gray", vmin=low, vmax=high, **shape)
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_title(title if row == 0 else "", fontsize=10, color=INK)
        for panel, shown in zip(panels[row][1:3], (classes, truth), strict=True):
            plane = radiological(shown[..., chosen])
            for structure in task.structures:
                if (plane == structure.index).any():
                    color = [c / 255 for c in color_of(structure.index, task.structures)]
                    panel.contourf(plane == structure.index, [0.5, 1.5], colors=[color], alpha=0.55)
        panels[row][0].set_ylabel(f"{task.domain(domain).title} (phantom)", fontsize=10, color=INK)
        lit = panels[row][3].imshow(
            radiological(entropy[..., chosen]),
            cmap="inferno",
            vmin=0,
            vmax=math.log(len(task.labels)),
            **shape,
        )
    figure.colorbar(lit, ax=panels[:, 3].tolist(), shrink=0.8)
    write_atomically(picture, png(figure))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
