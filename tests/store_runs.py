"""Run folders as train.json and adapt.json leave them, of a few bytes: the store copies and hashes files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

VERSIONS = {"python": "3.11.7", "monai_sfda": "0.1.0"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_bundle(folder: Path, weights: bytes) -> None:
    for name in ("configs", "docs", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    (folder / "configs" / "inference.json").write_text("{}", encoding="utf-8")
    (folder / "docs" / "README.md").write_text("A model.", encoding="utf-8")
    (folder / "LICENSE").write_text("Apache", encoding="utf-8")
    (folder / "models" / "model.pt").write_bytes(weights)


def write_source_run(folder: Path, weights: bytes = b"source", domain: str = "source") -> Path:
    write_bundle(folder / "bundle", weights)
    release = {
        "task": "abdomen",
        "domain": domain,
        "files": {"model.pt": sha256(weights)},
        "versions": VERSIONS,
    }
    (folder / "bundle" / "models" / "release.json").write_text(json.dumps(release), encoding="utf-8")
    return folder


def write_adapted_run(
    folder: Path,
    weights: bytes = b"adapted",
    source: bytes = b"source",
    verdict: str = "accept",
    **more: object,
) -> Path:
    write_bundle(folder / "bundle", weights)
    record = {
        "task": "abdomen",
        "method": "sfs",
        "title": "SFS",
        "verdict": verdict,
        "model_sha256": sha256(weights),
        "source_model_sha256": sha256(source),
        "phantom": True,
        "target_labels_read": False,
        "versions": VERSIONS,
        **more,
    }
    (folder / "adaptation.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "report.html").write_text("<p>not for diagnosis</p>", encoding="utf-8")
    (folder / "cases.csv").write_text("1,/scans/name_of_a_patient.nii.gz\n", encoding="utf-8")
    return folder
