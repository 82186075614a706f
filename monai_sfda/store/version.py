"""One version of a model: a folder that holds all of it, and a manifest with the hash of every file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_sfda.errors import StoreError
from monai_sfda.files import file_sha256
from monai_sfda.store.change_log import Change
from monai_sfda.store.run import REJECT, REPORT, SOURCE, ModelRun

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Version:
    """A version that is in the store.

    Attributes:
        folder: of the version; `bundle` inside it runs by itself.
        model: name of the model.
        number: from 1, never given twice.
        manifest: as it was written.
        manifest_sha256: of its file, which holds the hashes of all others; identifies the version.
    """

    folder: Path
    model: str
    number: int
    manifest: dict[str, Any] = field(repr=False)
    manifest_sha256: str

    @property
    def bundle(self) -> Path:
        """The bundle, to run or to load weights from."""
        return self.folder / "bundle"

    @property
    def report(self) -> Path | None:
        """The report of an adaptation; None for a source model."""
        path = self.folder / REPORT
        return path if path.is_file() else None

    @property
    def kind(self) -> str:
        """`source` or `adapted`."""
        return str(self.manifest["kind"])

    @property
    def is_source(self) -> bool:
        """Whether it is a source model."""
        return self.kind == SOURCE

    @property
    def parent(self) -> int | None:
        """The version that was adapted; None for a source model."""
        parent: int | None = self.manifest["parent"]
        return parent

    @property
    def verdict(self) -> str | None:
        """Of the label-free guard: `accept`, `reject` or `unsure`; None for a source model."""
        verdict: str | None = self.manifest["verdict"]
        return verdict

    @property
    def is_unadapted(self) -> bool:
        """Whether it is an adaptation whose unadapted model stayed: its weights are those of its source."""
        return bool(self.manifest["model_sha256"] == self.manifest["source_model_sha256"])

    @property
    def rejected(self) -> bool:
        """Whether the guard rejected it."""
        return self.verdict == REJECT

    @property
    def published(self) -> Change:
        """Who published it when, as the log has it."""
        return dict(self.manifest["published"])

    @staticmethod
    def read(folder: Path, model: str) -> Version:
        """Reads the manifest; the files are not looked at.

        Raises:
            FileNotFoundError: when there is no such version.
            StoreError: when the manifest cannot be read.
        """
        try:
            text = (folder / MANIFEST).read_bytes()
            manifest = json.loads(text)
            if manifest["schema_version"] != SCHEMA_VERSION or manifest["version"] != int(folder.name):
                raise ValueError("of another version or schema")
            version = Version(folder, model, int(folder.name), manifest, hashlib.sha256(text).hexdigest())
            _ = version.kind, version.parent, version.verdict, version.published["id"], manifest["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{MANIFEST} cannot be read ({type(error).__name__}: {error})",
                path=f"{model}/versions/{folder.name}",
                remedy="put the version's folder back from a backup, or take it away and roll back",
            ) from error
        return version

    def faults(self) -> list[str]:
        """What is missing, altered or too much, by the hashes of the manifest; empty for a whole version."""
        # Not rglob, which fails when another process prunes the version meanwhile.
        there = {
            (Path(parent) / name).relative_to(self.folder).as_posix()
            for parent, _, names in os.walk(self.folder)
            for name in names
        } - {MANIFEST}
        recorded: dict[str, str] = self.manifest["files"]
        found = [f"{name} is missing" for name in sorted(recorded.keys() - there)]
        found += [f"{name} was added" for name in sorted(there - recorded.keys())]
        for name in sorted(there & recorded.keys()):
            try:
                if file_sha256(self.folder / name) != recorded[name]:
                    found.append(f"{name} was altered")
            except OSError as error:
                found.append(f"{name} cannot be read ({error.strerror or error})")
        return found


def copy_run(run: ModelRun, folder: Path) -> dict[str, str]:
    """Copies a run's files and waits until they are on the disk; returns their hashes by path.

    Raises:
        StoreError: when a file cannot be read, or is not the one that the run recorded.
        OSError: when a file cannot be written.
    """
    hashes = {name: _copy(source, folder / name) for name, source in run.files.items()}
    for name, expected in run.expected.items():
        if hashes.get(name) != expected:
            raise StoreError(
                "the file is missing"
                if name not in hashes
                else "the file is not the one that the run recorded",
                path=name,
                remedy="make the run again; nothing was published",
            )
    for parent in {(folder / name).parent for name in hashes}:
        sync_folder(parent)
    return hashes


def write_manifest(
    folder: Path,
    run: ModelRun,
    hashes: Mapping[str, str],
    *,
    model: str,
    parent: int | None,
    published: Change,
) -> None:
    """Writes the manifest of a version that is being made.

    Raises:
        OSError: when it cannot be written.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "format": "monai_sfda model version",
        "model": model,
        "version": published["version"],
        "kind": run.kind,
        "task": run.task,
        "parent": parent,
        "source_model_sha256": run.source_model_sha256,
        **run.about,
        "published": published,
        "files": dict(sorted(hashes.items())),
        "intended_use": "research; not for diagnosis",
    }
    write_synced(folder / MANIFEST, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    sync_folder(folder)


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until a folder's names are on the disk, where the system can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        reader = source.open("rb")
    except OSError as error:
        raise StoreError(
            f"the file cannot be read ({error.strerror or error})",
            path=source,
            remedy="check that it is there and may be read",
        ) from error
    with reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()
