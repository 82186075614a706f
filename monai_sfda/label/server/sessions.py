"""`/session`: scans that a client uploads for a while, of bounded size, each its owner's alone."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, HTTPException, UploadFile
from fastapi.responses import FileResponse

from monai_sfda.errors import DataError, OutputError
from monai_sfda.files import write_atomically
from monai_sfda.label.server.answers import NotThereError, TooLargeError
from monai_sfda.label.server.config import Limits
from monai_sfda.label.server.logs import event
from monai_sfda.label.server.received import plain_name, store, unpack
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.server.stock_app import app_of, media_type
from monai_sfda.label.stock import prepare

prepare()

from monailabel.utils.sessions import SessionInfo, Sessions  # noqa: E402

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORTEST_S = 60
_UNUSABLE_S = 3600
_GIGABYTE = 2**30
META = "meta.info"
"""Name of the note in a session's folder, as MONAI Label has it."""


class BoundedSessions(Sessions):
    """MONAI Label's sessions in a folder of ours: ids cannot leave it, its disk and each life are bounded.

    Args:
        folder: made when it is not there.
        limits: of the server.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(str(folder), int(3600 * limits.session_hours))
        self.folder = folder
        self.limits = limits
        self.lock = threading.Lock()
        self._writing = threading.Lock()
        self._reserved: Counter[str] = Counter()

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> Any:
        """The session, or None: for an id that is none, one that is not there, and one whose time is over."""
        if not _ID.fullmatch(str(session_id)):
            return None
        info = _read(self.folder / session_id / META)
        if info is None:
            return None
        now = int(time.time())
        if info.last_access_ts + info.expiry < now:
            self.remove_session(session_id)
            return None
        if update_ts:
            info.last_access_ts = now
            self._write_meta_info(session_id, info)
        return info

    def _write_meta_info(self, session_id: str, session_info: Any) -> None:
        """Notes a session's use, wholly or not at all: who is killed here leaves it as it was.

        A full disk keeps nobody from reading what is there; the session ends a little earlier.
        """
        folder = self.folder / session_id
        with self._writing:
            if not folder.is_dir():
                return  # removed meanwhile
            try:
                write_atomically(folder / META, session_info.to_str().encode())
            except OutputError as error:
                event("session_not_noted", logging.WARNING, error=type(error).__name__)

    def remove_session(self, session_id: str) -> None:
        """Removes a session's files."""
        if _ID.fullmatch(str(session_id)):
            with self._writing:
                shutil.rmtree(self.folder / session_id, ignore_errors=True)
            self.pop(session_id, None)

    def remove_expired(self) -> int:
        """Removes what is over, and after an hour what nobody can use: half-received, or with a damaged note.

        Returns:
            How many.
        """
        count = 0
        for path in list(self.folder.iterdir()):
            if self.get_session(path.name, update_ts=False) is not None:
                continue
            with suppress(OSError):
                if path.exists() and time.time() - path.stat().st_mtime <= _UNUSABLE_S:
                    continue
            shutil.rmtree(path, ignore_errors=True)
            count += not path.exists()
        return count

    def owner(self, info: Any) -> str:
        """Who uploaded a session."""
        return str(info.meta.get("user", ""))

    def room_of(self, user: User) -> int:
        """Bytes that a user may still upload."""
        mine = total = 0
        for path in self.folder.iterdir():
            size = _size_of(path)
            info = self.get_session(path.name, update_ts=False)
            total += size
            mine += size if info is not None and self.owner(info) == user.name else 0
        left = min(self.limits.session_gb_user * _GIGABYTE - mine, self.limits.session_gb * _GIGABYTE - total)
        free = shutil.disk_usage(self.folder).free - self.limits.free_gb * _GIGABYTE
        return int(min(left, free))

    def add_files(self, files: list[UploadFile], user: User, expiry: int, uncompress: bool) -> Any:
        """A new session of one file, or of several that are one DICOM series.

        Raises:
            TooLargeError: when it does not fit into what is left.
            DataError: for files that cannot be used.
        """
        size = sum(file.size or 0 for file in files)
        with self.lock:
            room = self.room_of(user) - self._reserved.total()
            if size > room:
                raise _full()
            self._reserved[user.name] += size
        incoming = Path(tempfile.mkdtemp(dir=self.folder, prefix="incoming-"))
        try:
            info = self._fill(incoming, files, user, expiry, uncompress=uncompress, room=room)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
            with self.lock:
                self._reserved -= Counter({user.name: size})
        if self.room_of(user) < 0:  # several archives, each of which fitted before the others were unpacked
            self.remove_session(info.name)
            raise _full()
        return info

    def _fill(
        self, incoming: Path, files: list[UploadFile], user: User, expiry: int, *, uncompress: bool, room: int
    ) -> Any:
        content = incoming / "image"
        content.mkdir()
        for number, file in enumerate(files):
            store(file, content / plain_name(file.filename, number))
        names = sorted(content.iterdir())
        if len(names) == 1 and (uncompress or names[0].suffix == ".zip"):
            archive = names[0].rename(incoming / "archive.zip")
            unpack(archive, content, most_bytes=room)
            archive.unlink()
            names = sorted(content.iterdir())
        if not names:
            raise DataError("no file was sent", remedy="send the scan's file or files")
        identifier = str(uuid.uuid4())
        final = self.folder / identifier
        image = final / "image"
        info = SessionInfo()
        info.name, info.path = identifier, str(final)
        info.image = str(image / names[0].name if len(names) == 1 else image)
        info.meta = {"user": user.name}
        info.create_ts = info.last_access_ts = int(time.time())
        info.expiry = min(max(expiry, _SHORTEST_S), self.expiry) if expiry > 0 else self.expiry
        write_atomically(incoming / META, info.to_str().encode())
        incoming.rename(final)
        return info


def _read(file: Path) -> Any:
    """A session's note; None where it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        info = SessionInfo(content)
        usable = bool(content) and isinstance(info.meta, dict) and isinstance(info.image, str)
        return info if usable and isinstance(info.last_access_ts + info.expiry, int) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _full() -> TooLargeError:
    return TooLargeError(
        "the uploaded scans would take more disk than they may",
        remedy="delete sessions, wait until they end, or ask the server's administrator",
    )


def _size_of(folder: Path) -> int:
    """Bytes of a folder's files; a file that goes meanwhile has none."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def sessions_of(app: Any) -> BoundedSessions:
    """The application's sessions.

    Raises:
        HTTPException: 406, as MONAI Label, when it has none.
    """
    found = app.sessions()
    if not isinstance(found, BoundedSessions):
        raise HTTPException(406, "this server takes no sessions")
    return found


def session_of(app: Any, identifier: str, user: User, *, touch: bool = True) -> Any:
    """A session of the user's own; an administrator may see all.

    Raises:
        NotThereError: when there is none, its time is over, or it is somebody else's.
    """
    sessions = sessions_of(app)
    info = sessions.get_session(identifier, update_ts=touch)
    if info is None or (sessions.owner(info) != user.name and not user.may("admin")):
        raise NotThereError("there is no such session (any more)", remedy="upload the scan again")
    return info


def session_image(app: Any, identifier: str, user: User) -> Path:
    """The scan of a session: a file, or a folder with one DICOM series."""
    return Path(session_of(app, identifier, user).image)


def public_info(info: Any) -> dict[str, Any]:
    """A session as MONAI Label shows it, without the server's folders."""
    content: dict[str, Any] = info.to_json()
    return {**content, "path": info.name, "image": Path(info.image).name}


def sessions_router() -> APIRouter:
    """The endpoints of sessions."""
    router = APIRouter(prefix="/session", tags=["Session"])

    @router.put("/", summary="Upload a scan for a while")
    def create(
        user: Annotated[User, Depends(current_user)],
        files: Annotated[list[UploadFile], File()],
        uncompress: bool = False,
        expiry: int = 0,
    ) -> dict[str, Any]:
        """A session that holds the uploaded files: one scan, or the slices of one series."""
        info = sessions_of(app_of()).add_files(files, user, expiry, uncompress)
        return {"session_id": info.name, "session_info": public_info(info)}

    @router.get("/{session_id}", summary="What is known of a session, or its scan")
    def look(
        session_id: str,
        user: Annotated[User, Depends(current_user)],
        update_ts: bool = False,
        image: bool = False,
    ) -> Any:
        """The session's info, or with `image` its scan; `update_ts` makes it last longer."""
        info = session_of(app_of(), session_id, user, touch=update_ts)
        if not image:
            return public_info(info)
        path = Path(info.image)
        if not path.is_file():
            raise DataError("the session holds several files", remedy="ask for its info alone")
        return FileResponse(path, media_type=media_type(path), filename=path.name)

    @router.delete("/{session_id}", summary="Forget an uploaded scan")
    def remove(session_id: str, user: Annotated[User, Depends(current_user)]) -> dict[str, Any]:
        info = session_of(app_of(), session_id, user, touch=False)
        sessions_of(app_of()).remove_session(session_id)
        return public_info(info)

    return router
