"""Result files and folders appear under their name only when they are whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` when the block ends well, removed when it does not.

    A reader sees the old file or the new one, never a part of either. The temporary name keeps the file's
    extension(s), since many writers choose the format by it.

    Raises:
        OutputError: when the folder or the file cannot be written (no permission, no space).
    """
    beside = path.with_name(f".{secrets.token_hex(4)}.tmp.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            with beside.open("rb") as stream:
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to fill; takes the place of `path` when the block ends well, removed when it
    does not.

    Raises:
        OutputError: when it cannot be written.
    """
    token = secrets.token_hex(4)
    beside, old = path.with_name(f".{path.name}.{token}.tmp"), path.with_name(f".{path.name}.{token}.old")
    try:
        try:
            beside.mkdir(parents=True)
            yield beside
            if path.exists():
                path.rename(old)
            try:
                beside.rename(path)
            except BaseException:
                if old.exists():
                    old.rename(path)
                raise
        finally:
            for leftover in (beside, old):
                if leftover.exists() and path.exists():
                    shutil.rmtree(leftover)
            if beside.exists():
                shutil.rmtree(beside)
    except OSError as error:
        raise cannot_write(path, error) from error


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process left half-written in a run folder; whole files have other names."""
    for leftover in folder.glob(".*.tmp*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def tensor_file(content: dict[str, Any]) -> bytes:
    """What `torch.save` writes, as bytes: a full disk is then an `OSError`, which torch's writer hides."""
    import torch  # the command line starts without it

    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a whole file or none; see `whole_file`."""
    with whole_file(path) as beside:
        beside.write_bytes(data)


def write_json(path: Path, content: Any) -> None:
    """Writes strict JSON (no NaN, no infinity), whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Our error for one of the operating system's while `path` was written."""
    return OutputError(
        f"cannot be written ({error.strerror or error})",
        remedy="check that the output folder may be written to and has space left",
        path=path.name,
    )
