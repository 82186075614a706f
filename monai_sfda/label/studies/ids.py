"""Opaque names for images and subjects: the same every time, and of no use to whoever tries to guess.

A plain hash of a patient's name is found by hashing a list of names, so the hashes are keyed (BLAKE2b, RFC
7693) with random bytes that stay at the site.
"""

from __future__ import annotations

import os
import secrets
import time
from hashlib import blake2b
from pathlib import Path

from monai_sfda.errors import OutputError
from monai_sfda.files import cannot_write

_KEY_BYTES = 32


class Pseudonyms:
    """Names made of what must not be shown.

    Args:
        file: holds the key; made when it is missing.

    Raises:
        OutputError: when the key can neither be read nor written, or is none.
    """

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                file.touch(0o600, exist_ok=False)
                with file.open("wb") as stream:
                    stream.write(secrets.token_bytes(_KEY_BYTES))
                    stream.flush()
                    os.fsync(stream.fileno())
            except FileExistsError:
                _wait_for(file)  # of another process that was first
            self._key = file.read_bytes()
        except OSError as error:
            raise cannot_write(file, error) from error
        if len(self._key) != _KEY_BYTES:
            raise OutputError(
                "the key of the image ids is damaged",
                remedy="restore it from the backup; with a new one all images get new ids",
                path=file.name,
            )

    def name(self, kind: str, *parts: str) -> str:
        """`kind-` and 12 hexadecimal digits, which say nothing of the parts to who lacks the key."""
        text = "\0".join((kind, *parts)).encode("utf-8", "surrogateescape")
        return f"{kind}-{blake2b(text, key=self._key, digest_size=6).hexdigest()}"


def _wait_for(file: Path, seconds: float = 2.0) -> None:
    """Until the process that makes the key has written it."""
    end = time.monotonic() + seconds
    while file.stat().st_size < _KEY_BYTES and time.monotonic() < end:
        time.sleep(0.02)
