"""The README picture, from a demo folder: a CT phantom under source model, adapted model, and the reference.

python benchmarks/before_after_picture.py runs/demo docs/images/before_after.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from monai.bundle import ConfigParser

from monai_sfda.catalog import find_task
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.scans import ScanDataset
from monai_sfda.engines import SliceStackInferer, segment_scan
from monai_sfda.evaluation.figures import as_ras, choose_slices, overlay_grid
from monai_sfda.files import write_atomically
from monai_sfda.release import Release


def main(run: Path, picture: Path) -> None:
    release = Release.read(run / "train_source" / "release")
    task = find_task(release.task)
    scans = ScanDataset(release.task, "target", run / "phantoms", split="test", labels=True)
    scan, reference = scans.read(scans.cases[0])
    assert reference is not None
    columns = {"CT phantom": None}
    for title, weights in (
        ("model trained on MR", release.state_dict),
        ("after SFS, no labels", load_weights(run / "sfs_predicted" / "adapted.pt")),
    ):
        network = ConfigParser({"network_def": release.network_def}).get_parsed_content("network_def")
        load_into(network, weights)
        preprocessing, inferer = (
            release.preprocessing["target"],
            SliceStackInferer(3, minimum_size=release.image_size),
        )
        columns[title] = segment_scan(scan, network.eval(), preprocessing, inferer, "cpu")
    columns["reference"] = reference
    image, spacing_mm = as_ras(scan.array[0], scan.affine)
    shown = {title: None if c is None else as_ras(c, scan.affine)[0] for title, c in columns.items()}
    slices = choose_slices(shown["reference"], 2)
    png = overlay_grid(
        [(t, [(image[..., s], None if c is None else c[..., s]) for s in slices]) for t, c in shown.items()],
        task.structures,
        pixel_size_mm=spacing_mm[:2],
        window=(-125.0, 275.0),
    )
    write_atomically(picture, png)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
