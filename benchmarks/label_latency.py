"""How long a segmentation takes in the MONAI Label app, beside MONAI Label's own `BasicInferTask`.

    python -m benchmarks.label_latency --work runs/label
    python -m benchmarks.label_latency --work runs/try --epochs 1 --rounds 2 --shapes 128x128x32

A whole request each: reading the scan, the network of `small.json`, the mask on the scan's grid written to a
file as 3D Slicer asks for it, volumes and confidence in ours. Same network, weights, device, scan and batches
of slices; the two take turns in one process, the first of each round in turn. Cold is a new task whose
network is not in memory yet, warm every later request. Medians of wall time and of the processor time of all
threads. As both resample in their own ways their masks are not the same: how well they agree stands beside,
and the mean Dice of each with the phantom's truth, so that nobody is fast by being worse.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch
from numpy.typing import NDArray

from benchmarks.label_site import MODEL, Site, make_site
from benchmarks.label_stock import StockSegmentation
from monai_sfda.files import write_json
from monai_sfda.label.models import LoadedModel, Models
from monai_sfda.label.segmentation import UncertaintyMaps
from monai_sfda.label.segmentation.task import SegmentationTask
from monai_sfda.release import package_versions
from monai_sfda.store import ModelStore
from monai_sfda.workflow.results import machine

RESULT = Path(__file__).parent / "results" / "label_latency.json"
SHAPES = "128x128x32,512x512x120"
SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
"""What 3D Slicer's panel asks for."""
OURS, STOCK = "monai_sfda", "BasicInferTask"
Task = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]


def our_task(store: Path, device: str) -> Task:
    """Ours, without a network in memory."""
    return SegmentationTask(Models(ModelStore(store), device=device), MODEL, UncertaintyMaps())


def stock_task(loaded: LoadedModel) -> Task:
    """MONAI Label's, without a network in memory."""
    segmenter = loaded.segmenter
    weights = loaded.version.bundle / "models" / "model.pt"
    network, labels = segmenter.network.cpu(), loaded.installed.labels
    return StockSegmentation(weights, network, segmenter.preprocessing, segmenter.inferer, labels)


def request(task: Task, image: Path, device: str) -> tuple[float, float, Path]:
    """Wall seconds, processor seconds, and the file of a request."""
    gc.collect()
    wall, processor = time.perf_counter(), time.process_time()
    file, _ = task({"image": str(image), "device": device, "model": MODEL, **SLICER})
    seconds = time.perf_counter() - wall, time.process_time() - processor
    return *seconds, Path(file)


def mean_dice(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    """Over the structures that are there."""
    indices = [index for index in np.unique(truth) if index]
    return float(
        np.mean(
            [
                2 * ((mask == i) & (truth == i)).sum() / ((mask == i).sum() + (truth == i).sum())
                for i in indices
            ]
        )
    )


def measure(
    site: Site, loaded: LoadedModel, shape: tuple[int, int, int], device: str, rounds: int
) -> dict[str, Any]:
    """Medians of cold and warm requests of both, how well their masks agree, and how right they are."""
    store, image, truth = site.store, site.scan_of(shape), site.truth_of(shape)
    found: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {"cold": [], "warm": []} for name in (OURS, STOCK)
    }
    masks: dict[str, Any] = {}
    for number in range(rounds):
        tasks = {OURS: our_task(store, device), STOCK: stock_task(loaded)}
        names = [OURS, STOCK] if number % 2 == 0 else [STOCK, OURS]
        for kind in ("cold", "warm"):
            for name in names:
                wall, processor, file = request(tasks[name], image, device)
                found[name][kind].append((wall, processor))
                masks[name] = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
                file.unlink(missing_ok=True)
    both = [masks[OURS] > 0, masks[STOCK] > 0]
    foreground = float(sum(mask.sum() for mask in both))
    return {
        name: {
            kind: {
                "wall_s": round(statistics.median(wall for wall, _ in times), 3),
                "processor_s": round(statistics.median(processor for _, processor in times), 3),
                "fastest_wall_s": round(min(wall for wall, _ in times), 3),
            }
            for kind, times in kinds.items()
        }
        for name, kinds in found.items()
    } | {
        "dice": {name: round(mean_dice(mask.transpose(2, 1, 0), truth), 4) for name, mask in masks.items()},
        "same_grid": masks[OURS].shape == masks[STOCK].shape,
        "same_voxels": round(float((masks[OURS] == masks[STOCK]).mean()), 5),
        "dice_of_foregrounds": round(2 * float((both[0] & both[1]).sum()) / foreground, 4)
        if foreground
        else None,
    }


def main() -> None:
    """Measures all sizes, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for model and scans; used again")
    parser.add_argument("--shapes", default=SHAPES, help="sizes of the scan, X x Y x Z")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=None, help="of the training; default: small.json's")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    site = make_site(options.work, epochs=options.epochs)
    loaded = Models(ModelStore(site.store), device="cpu").load(MODEL)
    scans: dict[str, Any] = {}
    print(f"{'scan':<14}{'request':<8}{'':<16}{'wall s':>9}{'processor s':>13}")
    for text in options.shapes.split(","):
        x, y, z = map(int, text.split("x"))
        scans[text] = measure(site, loaded, (x, y, z), options.device, options.rounds)
        for kind in ("cold", "warm"):
            for name in (OURS, STOCK):
                row = scans[text][name][kind]
                print(
                    f"{text:<14}{kind:<8}{name:<16}{row['wall_s']:>9.3f}{row['processor_s']:>13.3f}",
                    flush=True,
                )
        print(
            f"{text:<14}same voxels {scans[text]['same_voxels']:.4f}, Dice {scans[text]['dice']}", flush=True
        )
    content = {
        "what": "median seconds of a whole segmentation request",
        "network": "small.json",
        "device": options.device if options.device == "cpu" else torch.cuda.get_device_name(),
        "threads": options.threads,
        "rounds": options.rounds,
        "request": SLICER,
        "scans": scans,
        "versions": package_versions(),
        "machine": machine(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, content)


if __name__ == "__main__":
    main()
