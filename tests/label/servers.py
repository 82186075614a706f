"""The app's server as a real process, with users of every role; and in the test's own process, without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from monai_sfda.label.demo.serving import Server, serving
from monai_sfda.label.server.application import Server as Application
from monai_sfda.label.server.config import ServerSettings
from monai_sfda.label.server.roles import Role
from monai_sfda.label.server.users import UserFile

PASSWORDS = {
    "reader": "a plain reader's pass phrase",
    "adapter": "one who may start adaptations",
    "approver": "one who signs versions off",
    "admin": "one who may do everything",
}
"""User names, each with the role of that name (the reader with `user` alone), and their passwords."""
ROLES: dict[str, tuple[Role, ...]] = {
    "reader": ("user",),
    "adapter": ("user", "adapter"),
    "approver": ("user", "approver"),
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


@contextmanager
def in_process(studies: Path, store: Path, home: Path) -> Iterator[tuple[Application, TestClient]]:
    """The application without logins in this process, and a client of it.

    Args:
        studies: folder.
        store: of the models; not to be changed.
        home: folder of the server.
    """
    made = Application(ServerSettings(str(studies), home=home, conf={"store": str(store), "device": "cpu"}))
    try:
        yield (
            made,
            TestClient(made.asgi, base_url="http://127.0.0.1:8000", raise_server_exceptions=False),
        )
    finally:
        made.close()


def add_users(file: Path, names: Sequence[str] = tuple(PASSWORDS)) -> Path:
    """A file of users with the passwords and roles above."""
    users = UserFile(file, create=True)
    for name in names:
        users.add(name, PASSWORDS[name], ROLES[name])
    return file
