"""Logins as signed tokens: short-lived, bound to the account as it is now, and revocable."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

import jwt

from monai_sfda.label.server.roles import User
from monai_sfda.label.server.users import UserFile

_ALGORITHM = "HS256"


class Tokens:
    """Makes and checks tokens (JSON Web Tokens, RFC 7519, HMAC with SHA-256).

    The key lives in this process alone: a restart ends all logins. A token carries the account's stamp: it
    dies with the account, a new password or new roles.

    Args:
        users: the accounts.
        hours: life of a token.
        clock: seconds since 1970.
    """

    def __init__(self, users: UserFile, *, hours: float, clock: Callable[[], float] = time.time) -> None:
        self.users = users
        self.seconds = int(3600 * hours)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def issue(self, user: User) -> str:
        """A token for somebody whose password was checked."""
        now = int(self._clock())
        claims = {
            "sub": user.name,
            "stamp": self.users.stamp(user.name),
            "iat": now,
            "exp": now + self.seconds,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def check(self, token: str) -> User | None:
        """Whose token it is; None when it is not ours, too old, ended, or of an account that has changed."""
        claims = self._claims(token)
        if claims is None:
            return None
        name, stamp = claims["sub"], self.users.stamp(claims["sub"])
        if stamp is None or not secrets.compare_digest(stamp, str(claims["stamp"])):
            return None
        return self.users.find(name)

    def end(self, token: str) -> None:
        """Ends a token before its time (logging out)."""
        claims = self._claims(token)
        if claims is None:
            return
        with self._lock:
            now = self._clock()
            self._ended = {key: until for key, until in self._ended.items() if until > now}
            self._ended[claims["jti"]] = float(claims["exp"])

    def _claims(self, token: str) -> dict[str, str] | None:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                options={"require": ["sub", "stamp", "exp", "jti"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        if float(claims["exp"]) <= self._clock():
            return None
        with self._lock:
            return None if claims["jti"] in self._ended else dict(claims)
