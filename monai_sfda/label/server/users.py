"""The file of users: names, roles and password hashes, read again whenever it changes.

JSON, readable by its owner only. A password is stored as scrypt (RFC 7914) with its own salt and cost, by
default N = 2^15, r = 8, p = 3 (32 MiB; the OWASP password storage cheat sheet): the cost can be raised later
without locking anybody out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monai_sfda.errors import DataError, SettingError, nearest
from monai_sfda.files import whole_file
from monai_sfda.label.server.roles import Role, User

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MIN_PASSWORD, MAX_PASSWORD = 10, 256


class PasswordHash(BaseModel):
    """scrypt of a password.

    Attributes:
        n, r, p: the cost; memory is 128 n r bytes.
        salt, digest: hexadecimal, 16 and 32 bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    n: int = Field(default=2**15, ge=2**14, le=2**18)
    r: int = Field(default=8, ge=8, le=16)
    p: int = Field(default=3, ge=1, le=8)
    salt: str = Field(pattern="^[0-9a-f]{32}$")
    digest: str = Field(pattern="^[0-9a-f]{64}$")

    @classmethod
    def of(cls, password: str) -> PasswordHash:
        """The hash of a new password, with a fresh salt."""
        empty = cls(salt=secrets.token_hex(16), digest="0" * 64)
        return empty.model_copy(update={"digest": empty._digest(password).hex()})

    def matches(self, password: str) -> bool:
        """Whether `password` is the one; compared in constant time."""
        return hmac.compare_digest(self._digest(password), bytes.fromhex(self.digest))

    def _digest(self, password: str) -> bytes:
        return hashlib.scrypt(
            password.encode()[: 4 * MAX_PASSWORD],
            salt=bytes.fromhex(self.salt),
            n=self.n,
            r=self.r,
            p=self.p,
            maxmem=256 * self.n * self.r + 2**20,
            dklen=32,
        )


class Account(BaseModel):
    """One user of the file.

    Attributes:
        roles: what the user may do.
        password: its hash.
        stamp: a random word, new with every change, that tokens carry: a change ends the account's sessions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    roles: frozenset[Role]
    password: PasswordHash
    stamp: str = Field(min_length=8, max_length=64)


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: int = Field(default=1, ge=1, le=1)
    users: dict[str, Account] = {}


class UserFileError(DataError):
    """The file of users cannot be used: nobody gets in until it can."""

    http_status = 503


class UserFile:
    """The accounts of a file. Safe for several threads; several processes see each other's changes.

    Args:
        path: of the file; `create` makes a new one, otherwise it must be there.

    Raises:
        UserFileError: when the file is missing, unreadable, damaged, or open to other accounts.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._content = _Content()
        self._nobody = PasswordHash.of(secrets.token_hex(16))
        if not path.exists() and not create:
            raise UserFileError(
                "the file of users is missing",
                remedy="make one with `monai-sfda users add FILE NAME`",
                path=path.name,
            )
        self._read()

    def names(self) -> list[str]:
        """All accounts, sorted."""
        return sorted(self._read())

    def find(self, name: str) -> User | None:
        """The user, or None."""
        account = self._read().get(name)
        return None if account is None else User(name, account.roles)

    def stamp(self, name: str) -> str | None:
        """The word that a token of this account must carry; None when there is no such account (any more)."""
        account = self._read().get(name)
        return None if account is None else account.stamp

    def check(self, name: str, password: str) -> User | None:
        """The user when the password is right. An unknown name takes as long as a wrong password."""
        account = self._read().get(name)
        right = (self._nobody if account is None else account.password).matches(password)
        return User(name, account.roles) if account is not None and right else None

    def add(self, name: str, password: str, roles: Iterable[Role]) -> None:
        """Adds a user, or replaces the user's password and roles (which ends the user's sessions).

        Raises:
            SettingError: for a name or a password that cannot be used.
            OutputError: when the file cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise SettingError(
                f"'{name}' cannot be a user's name",
                remedy="use up to 64 letters, digits and . _ - @, a letter or digit first",
            )
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise SettingError(
                f"a password of {len(password)} characters is not taken",
                remedy=f"use {MIN_PASSWORD} to {MAX_PASSWORD} characters",
            )
        account = Account(
            roles=frozenset(roles) | {"user"}, password=PasswordHash.of(password), stamp=secrets.token_hex(8)
        )
        with self._lock:
            self._load()
            self._content.users[name] = account
            self._write()

    def remove(self, name: str) -> None:
        """Removes a user; tokens of that user stop working at once.

        Raises:
            SettingError: when there is no such user.
        """
        with self._lock:
            self._load()
            if name not in self._content.users:
                raise SettingError(
                    f"there is no user '{name}'",
                    remedy=f"did you mean {', '.join(nearest(name, self._content.users)) or 'another file'}?",
                )
            del self._content.users[name]
            self._write()

    def _read(self) -> dict[str, Account]:
        with self._lock:
            self._load()
            return dict(self._content.users)

    def _load(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._content, self._seen = _Content(), None
            return
        except OSError as error:
            raise self._unreadable(error.strerror or "no access") from error
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen == self._seen:
            return
        if os.name == "posix" and status.st_mode & 0o077:
            raise UserFileError(
                "the file of users can be read by other accounts of this machine",
                remedy="run `chmod 600` on it",
                path=self.path.name,
            )
        try:
            self._content = _Content.model_validate_json(self.path.read_bytes())
        except OSError as error:
            raise self._unreadable(error.strerror or "no access") from error
        except ValidationError as error:
            raise self._unreadable("it is no file of users, or damaged") from error
        self._seen = seen

    def _unreadable(self, why: str) -> UserFileError:
        return UserFileError(
            f"the file of users cannot be read ({why})",
            remedy="restore it from the backup, or make a new one with `monai-sfda users add FILE NAME`",
            path=self.path.name,
        )

    def _write(self) -> None:
        text = json.dumps(self._content.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
        with whole_file(self.path) as beside:
            beside.touch(mode=0o600)
            beside.write_text(text)
        self._seen = None
