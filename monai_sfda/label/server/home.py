"""The server's own folder: one server at a time, private, with the temporary files in it."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_sfda.errors import OutputError, SettingError


@contextmanager
def own_home(home: Path) -> Iterator[None]:
    """The folder is this process's for as long as the block lasts.

    Uploads and results in passing are written into `home/tmp`, which is on the disk whose space the server
    watches (`/tmp` may be memory), and is emptied at the start: what a killed server left in it goes.

    Raises:
        SettingError: when another server uses the folder.
        OutputError: when it cannot be written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise OutputError(
            f"the server's folder cannot be written ({error.strerror})",
            remedy="give the server's account the right to, or choose another --home",
            path=home.name,
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingError(
                "another server uses this --home", remedy="end it, or choose another folder"
            ) from error
        passing = home / "tmp"
        shutil.rmtree(passing, ignore_errors=True)
        passing.mkdir(mode=0o700, exist_ok=True)
        before, tempfile.tempdir = tempfile.tempdir, str(passing.resolve())
        try:
            yield
        finally:
            tempfile.tempdir = before
            shutil.rmtree(passing, ignore_errors=True)
