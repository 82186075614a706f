"""The manifest `phantom.json`: what a folder of phantoms holds, and whether one may write to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError

MANIFEST = "phantom.json"
NOTICE = "phantom data, not patient data"

_SETTINGS = ("task", "phantom_version", "seed", "matrix", "t1dual")


def describe(
    task: str,
    version: int,
    seed: int,
    matrix: int,
    t1dual: bool,
    subjects: dict[str, tuple[str, list[str]]],
) -> dict[str, Any]:
    """The manifest of a data set; `version` is its task's, `subjects` has data set and ids by domain name."""
    return {
        "notice": NOTICE,
        "phantom_version": version,
        "task": task,
        "seed": seed,
        "matrix": matrix,
        "t1dual": t1dual,
        "subjects": {name: {"dataset": dataset, "ids": ids} for name, (dataset, ids) in subjects.items()},
    }


def claim_folder(out: Path, manifest: dict[str, Any]) -> None:
    """Make a folder ours: absent, empty, or a phantom with the same settings and no more subjects.

    Raises:
        OutputError: when it holds something else or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(
            "a file stands where the phantoms are to go", remedy="choose another folder", path=out
        )
    if out.exists() and any(out.iterdir()):
        _compare(_read_manifest(out), manifest, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_json(out / MANIFEST, manifest | {"complete": False})
    except OSError as error:
        raise OutputError(
            f"the folder cannot be written ({error.strerror})", remedy="choose another folder", path=out
        ) from error


def _read_manifest(out: Path) -> dict[str, Any]:
    path = out / MANIFEST
    if not path.is_file():
        raise OutputError(
            "the folder is not empty and holds no phantom", remedy="choose an empty folder", path=out
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OutputError(
            "the file is no JSON", remedy="choose an empty folder", path=path, root=out
        ) from error
    if not isinstance(content, dict) or content.get("notice") != NOTICE:
        raise OutputError(
            "the file was not written with phantoms", remedy="choose an empty folder", path=path, root=out
        )
    return content


def _compare(found: dict[str, Any], asked: dict[str, Any], out: Path) -> None:
    """Refuse to mix phantoms of different settings, or to leave subjects there that were not asked for."""
    for key in _SETTINGS:
        if found.get(key) != asked[key]:
            raise OutputError(
                f"the folder holds phantoms with {key} {found.get(key)!r}, not {asked[key]!r}",
                remedy="choose an empty folder or the same settings",
                path=out,
            )
    for name, domain in asked["subjects"].items():
        there = _subjects(found, name, out)
        if not there <= set(domain["ids"]):
            raise OutputError(
                f"the folder holds {len(there)} {name} subjects, more than the {len(domain['ids'])} wanted",
                remedy="choose an empty folder or ask for more subjects",
                path=out,
            )


def _subjects(manifest: dict[str, Any], domain: str, out: Path) -> set[str]:
    try:
        return set(manifest["subjects"][domain]["ids"])
    except (KeyError, TypeError) as error:
        raise OutputError(
            f"there are no ids of domain '{domain}'",
            remedy="choose an empty folder",
            path=out / MANIFEST,
            root=out,
        ) from error


def mark_complete(out: Path, manifest: dict[str, Any]) -> None:
    """Say in the folder that every subject is there."""
    _write_json(out / MANIFEST, manifest | {"complete": True})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
