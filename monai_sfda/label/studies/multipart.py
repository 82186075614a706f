"""Multipart messages (RFC 2046) of DICOMweb: read in blocks of any size, written whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from pathlib import Path

_LARGEST_HEADER = 64 << 10
DICOM = "application/dicom"


class MultipartError(ValueError):
    """A message that ends too early or is none."""


def boundary_of(content_type: str) -> str | None:
    """The boundary that a Content-Type names; None for a message of one part."""
    message = Message()
    message["content-type"] = content_type
    found = message.get_param("boundary")
    return found if isinstance(found, str) and found else None


class MultipartReader:
    """Cuts a stream of bytes into the bodies of its parts; holds one block at a time.

    Args:
        blocks: of the message.
        boundary: between its parts.
    """

    def __init__(self, blocks: Iterable[bytes], boundary: str) -> None:
        self._blocks = iter(blocks)
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._buffer = b"\r\n"  # the first delimiter may begin the message

    def parts(self) -> Iterator[Iterator[bytes]]:
        """The bodies, one after the other, each in blocks.

        Raises:
            MultipartError: when the message ends before its last delimiter.
        """
        for _ in self._until(self._delimiter):
            pass
        while (rest := self._line()) is not None:
            if rest:
                raise MultipartError("a delimiter is followed by something else")
            body = self._body()
            yield body
            for _ in body:  # what the caller has not read
                pass

    def _line(self) -> bytes | None:
        """What follows a delimiter on its line, blanks aside; None where it is the last one."""
        if self._peek(2) == b"--":
            return None
        return b"".join(self._until(b"\r\n")).strip(b" \t")

    def _body(self) -> Iterator[bytes]:
        size = 0
        while line := b"".join(self._until(b"\r\n")):
            size += len(line)
            if size > _LARGEST_HEADER:
                raise MultipartError("a part's header does not end")
        yield from self._until(self._delimiter)

    def _until(self, delimiter: bytes) -> Iterator[bytes]:
        """Bytes up to the delimiter, which is taken away."""
        keep = len(delimiter) - 1
        while True:
            found = self._buffer.find(delimiter)
            if found >= 0:
                if found:
                    yield self._buffer[:found]
                self._buffer = self._buffer[found + len(delimiter) :]
                return
            if len(self._buffer) > keep:
                yield self._buffer[: len(self._buffer) - keep]
                self._buffer = self._buffer[len(self._buffer) - keep :]
            self._more()

    def _peek(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        return self._buffer[:count]

    def _more(self) -> None:
        for block in self._blocks:
            if block:
                self._buffer += block
                return
        raise MultipartError("the message ends too early")


def dicom_message(files: Sequence[Path]) -> tuple[bytes, str]:
    """DICOM files as one message of STOW-RS, and its Content-Type."""
    boundary = f"monai-sfda-{secrets.token_hex(16)}"
    parts = [
        f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode() + file.read_bytes() + b"\r\n"
        for file in files
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, f'multipart/related; type="{DICOM}"; boundary={boundary}'
