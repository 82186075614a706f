"""What a server of the MONAI Label app needs: memory, disk, seconds a scan; for docs of administrators.

    python -m benchmarks.label_sizing --work runs/label
    python -m benchmarks.label_sizing --work runs/try --epochs 1 --shapes 128x128x32 --networks small

Every number is of a process of its own, as the system counts it: resident memory after the application was
imported, after a model was loaded, and at its highest while a scan was segmented, on 1 and 2 threads. A job
is an adaptation of `small.json` on the site's scans. Files are counted as they lie there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.label_site import MODEL, bundle_command, make_site

RESULT = Path(__file__).parent / "results" / "label_sizing.json"
SHAPES = "128x128x32,256x256x60,512x512x120"
_MB = 1024**2


def resident_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


def peak_mb() -> float:
    """Memory of this process at its highest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def disk_mb(place: Path) -> float:
    """Of a file, or of all files below a folder."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return round(sum(path.stat().st_size for path in files) / 1e6, 2)


def look(store: Path, image: Path | None, threads: int) -> dict[str, float]:
    """Memory of the application, of a model, and of a scan; in this process."""
    import torch

    import monai_sfda.label.app
    import monai_sfda.label.server.application  # noqa: F401
    from monai_sfda.label.models import Models
    from monai_sfda.label.segmentation import UncertaintyMaps
    from monai_sfda.label.segmentation.task import SegmentationTask
    from monai_sfda.store import ModelStore

    torch.set_num_threads(threads)
    found = {"application_mb": resident_mb()}
    models = Models(ModelStore(store), device="cpu")
    models.load(MODEL)
    found["with_model_mb"] = resident_mb()
    if image is not None:
        task = SegmentationTask(models, MODEL, UncertaintyMaps())
        request = {"image": str(image), "model": MODEL, "device": "cpu"}
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            file, _ = task(dict(request))
            seconds.append(time.perf_counter() - start)
            Path(file).unlink(missing_ok=True)
        found |= {"peak_mb": peak_mb(), "seconds": min(seconds), "after_mb": resident_mb()}
    return {name: round(value, 2) for name, value in found.items()}


def in_process(store: Path, image: Path | None, threads: int) -> dict[str, float]:
    """`look` in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.label_sizing", "--look", str(store), "--threads", str(threads)]
    words += ["--image", str(image)] if image is not None else []
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def job(work: Path, epochs: int | None) -> dict[str, float]:
    """An adaptation as the app runs it: seconds, memory, disk."""
    out = work / "job"
    release = work / "small" / "source" / "release"
    images = next((work / "data").rglob("img"))
    overrides = ["--release", str(release), "--target_images", str(images)]
    overrides += [] if epochs is None else ["--max_epochs", str(epochs)]
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    process = subprocess.Popen(bundle_command(("adapt", "small"), out, *overrides))
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit("the adaptation failed")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
        "disk_mb": disk_mb(out),
        "scans": len(list(images.glob("*.nii.gz"))),
    }


def main() -> None:
    """Measures, prints a table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for models and scans; used again")
    parser.add_argument("--shapes", default=SHAPES, help="sizes of the scan, X x Y x Z")
    parser.add_argument("--networks", default="small,full")
    parser.add_argument("--epochs", type=int, default=None, help="of trainings; default: small.json's")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look is not None:
        print(json.dumps(look(options.look, options.image, options.threads)))
        return
    if options.work is None:
        parser.error("--work is missing")
    from monai_sfda.files import write_json
    from monai_sfda.release import package_versions
    from monai_sfda.workflow.results import machine

    networks: dict[str, Any] = {}
    made: dict[str, float] = {}
    for network in options.networks.split(","):
        site = make_site(options.work, epochs=options.epochs, full=network == "full")
        about: dict[str, Any] = in_process(site.store, None, 1)
        about["model_mb"] = round(about["with_model_mb"] - about["application_mb"], 1)
        about["version_disk_mb"] = disk_mb(site.store / MODEL / "versions" / "0001")
        print(f"{network}: {about}", flush=True)
        about["scans"] = {}
        for text in options.shapes.split(","):
            x, y, z = map(int, text.split("x"))
            image = site.scan_of((x, y, z))
            made[text] = disk_mb(image)
            about["scans"][text] = {f"threads_{n}": in_process(site.store, image, n) for n in (1, 2)}
            for threads, row in about["scans"][text].items():
                print(
                    f"  {text:<13}{threads:<11}{row['seconds']:>8.2f} s{row['peak_mb']:>9.0f} MB", flush=True
                )
        networks[network] = about
    small_job = job(options.work, options.epochs)
    print(f"job: {small_job}", flush=True)
    content = {
        "what": "memory (MiB, resident), disk (MB) and seconds of a server without GPU",
        "networks": networks,
        "job": small_job,
        "study_disk_mb": {
            "nifti": made,
            "dicom, 16 bit, without headers": {
                text: round(2e-6 * float(x * y * z), 1)
                for text, (x, y, z) in ((t, tuple(map(int, t.split("x")))) for t in made)
            },
        },
        "versions": package_versions(),
        "machine": machine(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, content)


if __name__ == "__main__":
    main()
