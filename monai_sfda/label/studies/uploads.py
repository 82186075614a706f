"""What a client sends is checked before anything reads it."""

from __future__ import annotations

from pathlib import Path

_HEADER_BYTES = 1 << 16


def check_upload(path: Path) -> None:
    """An uploaded volume is one whole file: its header names no other file of the server.

    Args:
        path: where the upload was stored; its ending is the one that the client gave.

    Raises:
        DataError: for NRRD and MetaImage headers with a detached data file, and for `.nhdr` and `.mhd`.
    """
