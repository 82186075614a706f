"""A lock between processes that the operating system releases when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_sfda.errors import StoreError
from monai_sfda.files import cannot_write

_POLL_SECONDS = 0.01

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Releases a lock of `try_lock`."""
        os.close(descriptor)
else:
    import fcntl

    def _try(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Releases a lock of `try_lock`."""
        # Closing alone would leave it with a process that was forked meanwhile, such as a data loader's.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def try_lock(path: Path, *, create: bool = True) -> int | None:
    """The descriptor of a lock on `path`, for `unlock`; None while another holds it.

    It excludes other processes and other threads of this one. The file stays empty; that it is there says
    nothing.

    Raises:
        OSError: when the file cannot be opened, or is not there and `create` is false.
    """
    descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
    try:
        held = _try(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if held:
        return descriptor
    os.close(descriptor)
    return None


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Holds the lock on `path` inside the block.

    Args:
        path: of the lock's file.
        patience: seconds to wait for another holder.

    Raises:
        StoreError: when another holds it for longer.
        OutputError: when the file cannot be opened for writing.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            descriptor = try_lock(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        if descriptor is not None:
            break
        if time.monotonic() > deadline:
            raise StoreError(
                f"another process has held the store for {patience:g} seconds",
                path=path.name,
                remedy="try again; if it lasts, end the process that holds it",
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        unlock(descriptor)
