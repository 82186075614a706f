"""What a run folder, or a bundle that was handed over, gives to the model store."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_sfda.errors import StoreError

SOURCE, ADAPTED = "source", "adapted"
REJECT = "reject"
RECORD, REPORT = "adaptation.json", "report.html"
# A bundle that was used may hold results, and they patients: only these of its parts are taken.
BUNDLE_FOLDERS = ("configs", "docs", "models")
BUNDLE_FILES = ("LICENSE",)
# Names of the source release and of a run's checkpoint; the modules that own them load torch.
_RELEASE, _CHECKPOINT = "release.json", "checkpoint.pt"
_LAST, _MODEL, _REFERENCE = "adapted.pt", "bundle/models/model.pt", "bundle/models/reference_scans.json"


@dataclass(frozen=True)
class ModelRun:
    """A model that can be published, not yet copied.

    Attributes:
        kind: `source` or `adapted`.
        task: name in the catalog.
        about: JSON-ready entries of the version's manifest: method, title, verdict (of an adapted model),
            what was read beside unlabelled target scans, versions of the packages that made it.
        source_model_sha256: weights that were adapted; None for a source model.
        files: what is copied, by the path in the version's folder.
        expected: SHA-256 that files must have, by the same path, as the run recorded them.
    """

    kind: str
    task: str
    about: dict[str, Any]
    source_model_sha256: str | None
    files: dict[str, Path] = field(repr=False)
    expected: dict[str, str] = field(repr=False)

    @property
    def rejected(self) -> bool:
        """Whether the guard rejected it."""
        return bool(self.about["verdict"] == REJECT)


def read_run(folder: Path, *, last_weights: bool = False) -> ModelRun:
    """Reads what train.json or adapt.json left, or a source bundle whose `models/` is the release.

    Args:
        folder: of the run or the bundle.
        last_weights: take the method's last weights, `adapted.pt`, instead of those that the guard chose.

    Raises:
        StoreError: when it is none of them, unfinished, or incomplete, or has no last weights.
    """
    if (folder / _CHECKPOINT).is_file():
        raise StoreError(
            "the run is unfinished", path=folder, remedy="run its command again, which goes on to the end"
        )
    try:
        if (folder / RECORD).is_file():
            return _adapted(folder, last_weights)
        if last_weights:
            raise StoreError(
                "only an adapted model has last weights",
                path=folder,
                remedy="give the output folder of adapt.json, or leave --last-weights out",
            )
        for bundle in (folder / "bundle", folder):
            if (bundle / "models" / _RELEASE).is_file():
                return _source(bundle)
    except OSError as error:
        raise StoreError(
            f"the run cannot be read ({error.strerror or error})",
            path=folder,
            remedy="check that it is there and may be read",
        ) from error
    raise StoreError(
        "no model to publish",
        path=folder,
        remedy="give the output folder of train.json (domain source) or adapt.json, or a source bundle whose "
        "models/ holds the release",
    )


def _adapted(folder: Path, last_weights: bool) -> ModelRun:
    record = _json(folder / RECORD)
    files = {**_bundle_files(folder / "bundle"), RECORD: folder / RECORD, REPORT: folder / REPORT}
    if not (folder / REPORT).is_file():
        raise StoreError(
            "the report is missing", path=folder / REPORT, remedy="write it by 'monai-sfda report RUN'"
        )
    if last_weights:
        if not (folder / _LAST).is_file():
            raise StoreError(
                "the method's last weights are missing", path=folder / _LAST, remedy="adapt again"
            )
        files[_MODEL] = folder / _LAST
        files.pop(_REFERENCE, None)  # of the weights that the guard chose
    try:
        sha256 = str(record["adapted_sha256" if last_weights else "model_sha256"])
        return ModelRun(
            kind=ADAPTED,
            task=str(record["task"]),
            about={
                "method": str(record["method"]),
                "title": str(record["title"]),
                "verdict": str(record["verdict"]),
                "model_sha256": sha256,
                "phantom": bool(record["phantom"]),
                "target_labels_read": bool(record["target_labels_read"]),
                "source_data_read": bool(record.get("source_data_read", False)),
                "versions": dict(record["versions"]),
            },
            source_model_sha256=str(record["source_model_sha256"]),
            files=files,
            expected={_MODEL: sha256},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder / RECORD, error) from error


def _source(bundle: Path) -> ModelRun:
    path = bundle / "models" / _RELEASE
    release = _json(path)
    try:
        if release["domain"] != SOURCE:
            raise StoreError(
                f"the model was trained on the {release['domain']} domain's labels",
                path=path,
                remedy="publish the run of train.json with --domain source",
            )
        hashes = {f"bundle/models/{name}": str(value) for name, value in release["files"].items()}
        return ModelRun(
            kind=SOURCE,
            task=str(release["task"]),
            about={
                "method": None,
                "title": "source model",
                "verdict": None,
                "model_sha256": hashes[_MODEL],
                "phantom": None,
                "target_labels_read": False,
                "source_data_read": True,
                "versions": dict(release["versions"]),
            },
            source_model_sha256=None,
            files=_bundle_files(bundle),
            expected=hashes,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(path, error) from error


def _bundle_files(bundle: Path) -> dict[str, Path]:
    for needed in ("configs/metadata.json", "configs/inference.json", "models/model.pt"):
        if not (bundle / needed).is_file():
            raise StoreError(
                f"the bundle has no {needed}", path=bundle, remedy="run the command that wrote it again"
            )
    found = [bundle / name for name in BUNDLE_FILES if (bundle / name).is_file()]
    for name in BUNDLE_FOLDERS:
        for path in sorted((bundle / name).rglob("*")):
            if path.is_symlink() and path.is_dir():
                raise StoreError(
                    "a linked folder would be left out",
                    path=path,
                    root=bundle,
                    remedy="put a copy in its place",
                )
            if path.is_file() and not path.name.startswith("."):
                found.append(path)
    return {f"bundle/{path.relative_to(bundle).as_posix()}": path for path in found}


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the record cannot be read ({type(error).__name__}: {error})",
        path=path,
        remedy="make the run again with this version of monai_sfda",
    )
