"""Scans and labels that are there under two names: found by their values, whatever files and headers say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.case import Case
from monai_sfda.errors import DataError

_LOOKED_AT = 1 << 20


def content_of(values: NDArray[Any], *, every_value: bool = False) -> str:
    """A hash of an array's shape and values.

    Args:
        values: a scan's or a label's.
        every_value: look at every value; otherwise at about a million, evenly spread. Those of two scans that
            were measured differ by their noise; labels need all.
    """
    flat = values.ravel(order="C" if every_value else "K")  # large arrays as they lie in memory, uncopied
    if not every_value and flat.size > _LOOKED_AT:
        # a step that shares no factor with the rows, which would look at a few columns alone
        flat = flat[:: flat.size // _LOOKED_AT | 1]
    digest = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(flat).data)
    return digest.hexdigest()


def copies(contents: Iterable[tuple[Case, str]]) -> list[tuple[Case, Case]]:
    """The cases whose content another case before them has, each with that one.

    A file that is listed twice is no copy.
    """
    first: dict[str, Case] = {}
    pairs = []
    for case, content in contents:
        original = first.setdefault(content, case)
        if original.identity != case.identity:
            pairs.append((original, case))
    return pairs


def copy_fault(original: Case, copy: Case) -> DataError:
    """Why a scan with the content of another cannot be used."""
    return DataError(
        f"the same scan as {place(original.image[0], original.root)}, voxel for voxel",
        remedy="download both again, and keep one scan a subject",
        path=copy.image[0],
        root=copy.root,
    )


def refuse_copies(contents: Iterable[tuple[Case, str]]) -> None:
    """No two scans have the same values.

    Raises:
        DataError: for the first that are, with how many more there are.
    """
    pairs = copies(contents)
    if pairs:
        error = copy_fault(*pairs[0])
        more = f" ({len(pairs) - 1} more scans are copies too)" if len(pairs) > 1 else ""
        raise DataError(error.what + more, remedy=error.remedy, path=error.path, root=error.root)


def place(path: Path, root: Path | None) -> str:
    """A path for messages: relative to the folder that the user gave, else its name."""
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else path.name
