"""Where a model's reference is kept: in the record beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_sfda.files import file_sha256
from monai_sfda.guard.reference import Reference
from monai_sfda.release import MANIFEST, MODEL

REFERENCE_FILE = "reference_scans.json"
"""Of an adapted model: its reference and the hash of the weights that it belongs to."""
REFERENCE_KEY = "reference_scans"


def reference_file(reference: Reference, model_sha256: str) -> dict[str, Any]:
    """The content of `reference_scans.json`."""
    return {
        "schema_version": 1,
        "kind": "monai_sfda reference of the scans that a model knows",
        "model_sha256": model_sha256,
        REFERENCE_KEY: reference.to_json(),
        "intended_use": "research; not for diagnosis",
    }


def find_reference(checkpoint: Path) -> tuple[Reference | None, str]:
    """The reference that belongs to a weights file, or why there is none.

    Looked for beside the weights, and taken only from a record that names their hash: in a release's
    `release.json`, in the `reference_scans.json` of a run or an adapted bundle.

    Args:
        checkpoint: the weights.

    Returns:
        The reference and an empty text, or None and the reason in words.
    """
    sha256 = file_sha256(checkpoint)
    reason = "no release or reference of this model lies beside its weights"
    for name in (MANIFEST, REFERENCE_FILE):
        path = checkpoint.parent / name
        if not path.is_file():
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if sha256 not in _hashes(record):
                continue
            data = record.get(REFERENCE_KEY)
            if data is not None:
                return Reference.from_json(data), ""
            reason = f"{name} has no reference level: it is of an earlier version, or of too few subjects"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{name} cannot be read ({type(error).__name__})"
    return None, reason


def _hashes(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return (record.get("files", {}).get(MODEL), record.get("model_sha256"))
