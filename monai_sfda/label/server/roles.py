"""Who asks, and what they may do.

Four roles, each a plain word in the user file:

- ``user``: look, segment, correct, save labels;
- ``adapter``: start and stop adaptations, fine-tunings, scoring and batch inference;
- ``approver``: activate an accepted version, roll back;
- ``admin``: delete images, labels and versions, read logs, free an address, and everything else.

Every account may do what a ``user`` may, and an ``admin`` may do everything; ``adapter`` and ``approver`` do
not include each other, so that whoever starts an adaptation and whoever signs it off can be two people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Receive, Scope, Send

Role = Literal["user", "adapter", "approver", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
_STATE = "sfda_user"


@dataclass(frozen=True)
class User:
    """Somebody who is logged in.

    Attributes:
        name: of the account; never a patient's.
        roles: what the account was given.
    """

    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Whether this user may do what `role` allows."""
        return role == "user" or role in self.roles or "admin" in self.roles

    @property
    def username(self) -> str:
        """The name, under the attribute that MONAI Label's endpoints read."""
        return self.name


LOCAL = User("local", frozenset(ROLES))


def remember_user(scope: Scope, user: User) -> None:
    """Notes in a request's scope who asks; the login middleware calls it once a request."""
    scope.setdefault("state", {})[_STATE] = user


def current_user(request: Request) -> User:
    """Who asks. Usable as a FastAPI dependency.

    Raises:
        HTTPException: 401 when no login was checked for this request.
    """
    user = request.scope.get("state", {}).get(_STATE)
    if not isinstance(user, User):
        raise HTTPException(401, "log in first", headers={"WWW-Authenticate": "Bearer"})
    return user


def require(role: Role) -> Callable[[Request], User]:
    """A FastAPI dependency that lets only users with `role` (or ``admin``) pass and returns the user.

    Example::

        @router.post("/sfda/models/{name}/activate")
        def activate(name: str, user: Annotated[User, Depends(require("approver"))]) -> ...:

    Raises (when called):
        HTTPException: 401 without a login, 403 without the role.
    """

    def checked(request: Request) -> User:
        user = current_user(request)
        if not user.may(role):
            raise HTTPException(403, f"this needs the role '{role}'; ask the server's administrator for it")
        return user

    return checked


class EverybodyIsLocal:
    """ASGI middleware: every request comes from `LOCAL`, who may do everything.

    For a server without a user file, which answers on loopback only, and for tests of a single router.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            remember_user(scope, LOCAL)
        await self.app(scope, receive, send)


def parse_roles(text: str) -> frozenset[Role]:
    """Roles from a comma-separated text such as ``adapter,approver``.

    Raises:
        SettingError: for a word that is no role, with the nearest ones.
    """
    from monai_sfda.errors import SettingError, nearest

    words: list[Any] = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in ROLES:
            raise SettingError(
                f"there is no role '{word}'", remedy=f"did you mean {', '.join(nearest(word, ROLES))}?"
            )
    return frozenset(words) | {"user"}
