"""The app's server as a real process, with users of every role."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from monai_sfda.label.demo.serving import Server, serving

PASSWORDS = {
    "reader": "a plain reader's pass phrase",
    "adapter": "one who may start adaptations",
    "approver": "one who signs versions off",
    "admin": "one who may do everything",
}
"""User names, which are those of the highest role each has, and their passwords."""
ROLES = {
    "reader": ("user",),
    "adapter": ("user", "adapter"),
    "approver": ("user", "adapter", "approver"),
    "admin": ("admin",),
}


@contextmanager
def started(studies: str | Path, home: Path, *options: str) -> Iterator[Server]:
    """A server for as long as the block lasts; when the block fails the end of its log is printed.

    Args:
        studies: folder or DICOMweb address.
        home: folder of the server; kept, so that a second server can go on with it.
        options: further words of `monai-sfda serve`.
    """
    try:
        with serving(studies, home, options=options) as server:
            yield server
    except BaseException:
        log = home / "server.log"
        if log.is_file():
            print(*log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:], sep="\n")
        raise


def add_users(file: Path, names: Sequence[str] = tuple(PASSWORDS)) -> Path:
    """A file of users with the passwords and roles above, made by the command that administrators use."""
    for name in names:
        words = [sys.executable, "-m", "monai_sfda", "users", "add", str(file), name]
        words += [word for role in ROLES[name] for word in ("--role", role)]
        subprocess.run(
            words, input=f"{PASSWORDS[name]}\n{PASSWORDS[name]}\n", text=True, check=True, timeout=120
        )
    return file
