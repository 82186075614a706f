"""The files of a source release: their names, their hashes, and what does not belong. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_sfda.errors import ReleaseError
from monai_sfda.files import file_sha256

MODEL, PROTOTYPES, MANIFEST = "model.pt", "prototypes.safetensors", "release.json"
CLASS_RATIO, ATLAS = "class_ratio.pt", "atlas.safetensors"
SIGNATURE = "signature.json"
"""Beside the manifest, where the source site signed it; see `signing`."""
ASK_AGAIN = "ask the source site for the release again"


def manifest_bytes(folder: Path) -> bytes:
    """The manifest as it is on disk.

    Raises:
        ReleaseError: when there is none.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ReleaseError(
            f"no source release: {MANIFEST} is missing",
            path=folder,
            remedy="give the folder 'release' that train.json wrote",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReleaseError(
            f"the file cannot be read ({error.strerror or error})", path=path, remedy=ASK_AGAIN
        ) from error


def listed_files(manifest: bytes, folder: Path) -> dict[str, str]:
    """Names and hashes of the files that a manifest lists.

    Raises:
        ReleaseError: when it cannot be read, or names a file outside the folder.
    """
    try:
        content: dict[str, Any] = json.loads(manifest)
        files = {str(name): str(value) for name, value in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(
            f"{MANIFEST} cannot be read ({type(error).__name__}: {error})", path=folder, remedy=ASK_AGAIN
        ) from error
    for name in files:
        if Path(name).name != name:
            raise ReleaseError(
                f"{MANIFEST} names '{name}', which is no file of the release", path=folder, remedy=ASK_AGAIN
            )
    return files


def check_hashes(folder: Path, files: Mapping[str, str]) -> None:
    """Refuses files that are missing or are not those of the manifest.

    Raises:
        ReleaseError: naming the file.
    """
    for name, expected in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise ReleaseError(f"'{name}' of the release is missing", path=folder, remedy=ASK_AGAIN)
        if file_sha256(path) != expected:
            raise ReleaseError(
                "the file was altered: its SHA-256 is not the release's", path=path, remedy=ASK_AGAIN
            )


def unexpected(folder: Path, files: Mapping[str, str]) -> list[str]:
    """What lies in the folder and is neither listed nor the manifest or its signature: files, hidden ones
    too, folders and links, by name.
    """
    known = {MANIFEST, SIGNATURE, *files}
    return sorted(path.name for path in folder.iterdir() if path.name not in known or path.is_dir())


def check_nothing_unexpected(folder: Path, files: Mapping[str, str]) -> None:
    """Refuses a folder that holds what no hash covers.

    Raises:
        ReleaseError: naming it.
    """
    found = unexpected(folder, files)
    if found:
        raise ReleaseError(
            f"the release does not list {', '.join(found)}",
            path=folder,
            remedy="look at what it is, take it away, and find out where it came from",
        )
