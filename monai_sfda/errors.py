"""The package's own errors: what is wrong, in which file, and what to do about it.

An error is raised where its cause is known. Its text names a file only relative to the folder that the user
gave, so that a message never carries a path of the machine; `report_errors_relative_to` fills that folder in
on the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class SfdaError(Exception):
    """Base of all errors that a user can mend.

    Args:
        what: what is wrong, with the offending value, in a few words and without a full stop.
        remedy: what the user can do about it.
        path: the file or folder at fault, if there is one.
        root: the folder that the user gave; `path` is printed relative to it.
    """

    def __init__(
        self, what: str, *, remedy: str, path: Path | str | None = None, root: Path | str | None = None
    ) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.path = None if path is None else Path(path)
        self.root = None if root is None else Path(root)

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes."""
        return _again, (type(self), self.what, self.remedy, self.path, self.root)

    def where(self) -> str | None:
        """The file at fault, relative to the user's folder; its bare name when it lies elsewhere."""
        if self.path is None:
            return None
        if self.root is not None:
            for path, root in ((self.path, self.root), (self.path.resolve(), self.root.resolve())):
                if path.is_relative_to(root):
                    relative = path.relative_to(root)
                    return str(relative) if relative.parts else self.path.name
            return self.path.name
        return self.path.name if self.path.is_absolute() else str(self.path)

    def __str__(self) -> str:
        where = self.where()
        return f"{self.what}{'' if where is None else f' in {where}'}: {self.remedy}"


def _again(kind: type[SfdaError], what: str, remedy: str, path: Path | None, root: Path | None) -> SfdaError:
    return kind(what, remedy=remedy, path=path, root=root)


class DataError(SfdaError):
    """A scan, a label, a datalist or a data folder cannot be used."""


class NoScansError(DataError):
    """A split that was asked for has no scan at all."""


class SettingError(SfdaError):
    """A setting is unknown, of the wrong kind, or does not fit the others."""


class ReleaseError(SfdaError):
    """A source release is incomplete, altered, or made for another task or network."""


class SignatureError(ReleaseError):
    """A release is not signed, signed by another key, or was altered since."""


class KeyFileError(SfdaError):
    """A key file is missing, damaged, of another kind, or locked by another passphrase."""


class CheckpointError(SfdaError):
    """A checkpoint cannot be read or belongs to another network or run."""


class OutputError(SfdaError):
    """A result cannot be written."""


class StoreError(SfdaError):
    """A model store, or a version in it, is missing or altered, or does not allow what was asked."""


@contextmanager
def report_errors_relative_to(root: Path | str) -> Iterator[None]:
    """Errors that leave this block name their file relative to `root`, unless they already have a root."""
    try:
        yield
    except SfdaError as error:
        if error.root is None:
            error.root = Path(root)
        raise


def nearest(name: str, options: Iterable[str], count: int = 3) -> list[str]:
    """The options that look most like `name`, best first; all of them when none is close.

    Those that go on where `name` ends come first: somebody typed the beginning.

    >>> nearest("methd", ["method", "seed"])
    ['method']
    >>> nearest("brain", ["brain_modality", "spine", "brain_grade"])
    ['brain_grade', 'brain_modality']
    """
    known = sorted(options)
    longer = [option for option in known if name and option.startswith(name)]
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.6)
    return list(dict.fromkeys([*longer, *close]))[: max(count, len(longer))] or known
