"""`/infer/{model}`: a segmentation of a scan of the datastore, of a session, or of an uploaded file.

Answers as MONAI Label does. Each request has a thread of its own from a small pool: what downloads from a
PACS does not hold up what computes, and when the pool is full the answer is "busy", not a growing queue.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from fastapi.responses import FileResponse, Response
from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]
from starlette.background import BackgroundTask

from monai_sfda.errors import DataError, SettingError, SfdaError
from monai_sfda.label.server.answers import BusyError, NotThereError
from monai_sfda.label.server.received import received
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.server.sessions import session_image
from monai_sfda.label.server.stock_app import app_of, known_image, media_type
from monai_sfda.label.server.strict_json import parse_json
from monai_sfda.label.studies.grids import grid_of, read_saved_label
from monai_sfda.label.values import flag

SERVERS_OWN = frozenset(
    {"model", "image", "images", "file", "label_file", "session", "session_id", "user", "description"}
    | {"output", "image_path", "path", "cache", "local_rank"}
)
"""Keys of an inference that only the server sets; a client's are dropped."""


NOT_CORRECTED = "original"
"""Tag of a model's own segmentation; only people save labels as final."""


class Output(str, Enum):
    """What the client wants back."""

    image = "image"
    json = "json"
    all = "all"
    dicom_seg = "dicom_seg"


class Turns:
    """So many inferences in hand, waiting ones included; one user has at most half of them.

    Args:
        most: of them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.of_user: Counter[str] = Counter()
        self.threads = ThreadPoolExecutor(most, thread_name_prefix="infer")

    def enter(self, user: str) -> None:
        """Takes a place.

        Raises:
            BusyError: when there is none, or the user has enough.
        """
        if self.taken >= self.most or self.of_user[user] >= max(1, self.most // 2):
            raise BusyError("too many segmentations are waiting", remedy="try again in a while")
        self.taken += 1
        self.of_user[user] += 1

    def leave(self, user: str) -> None:
        """Gives the place back."""
        self.taken -= 1
        self.of_user -= Counter({user: 1})

    def close(self) -> None:
        """Takes no more; what runs goes on."""
        self.threads.shutdown(wait=False, cancel_futures=True)


def inference_router(turns: Turns) -> APIRouter:
    """The endpoint of inference."""
    router = APIRouter(prefix="/infer", tags=["Infer"])

    @router.post("/{model}", summary="Segment a scan, or correct a segmentation")
    async def infer(
        model: str,
        user: Annotated[User, Depends(current_user)],
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: Output | None = None,
    ) -> Any:
        """The mask as `output` says: file, parameters or both; options as JSON in `params`."""
        turns.enter(user.name)
        work = asyncio.get_running_loop().run_in_executor(
            turns.threads, run_inference, model, user, image, session_id, params, file, label, output
        )
        work.add_done_callback(lambda done: turns.leave(user.name))
        return await asyncio.shield(work)

    return router


def run_inference(
    model: str,
    user: User,
    image: str,
    session_id: str,
    params: str,
    file: UploadFile | None,
    label: UploadFile | None,
    output: Output | None,
) -> Any:
    """One inference; see `inference_router`.

    Raises:
        NotThereError: for a model, an image or a session that is not there.
        DataError: when no scan is named, or its upload cannot be used.
    """
    app = app_of()
    if model not in app._infers:
        raise NotThereError(f"there is no model '{model[:80]}'", remedy="ask /info/ for the models")
    given = parse_json(params, "params")
    request = {key: value for key, value in given.items() if key not in SERVERS_OWN}
    save = flag("save_label", given.get("save_label"))
    request.update(model=model, user=user.name, save_label=save, label_tag=NOT_CORRECTED)
    with ExitStack() as stack:
        scan = stack.enter_context(received(file))
        drawn = stack.enter_context(received(label))
        if session_id:
            request["image"] = session_image(app, session_id, user)
        elif scan is not None:
            request["image"] = scan
        elif image:
            request["image"] = known_image(app, image)
        else:
            raise DataError("no scan is named", remedy="give image, session_id or a file")
        if drawn is not None:
            if drawn.suffix == ".bin":
                drawn = _from_binary(app, request["image"], drawn)
            request["label_file"] = drawn
        result = app.infer(request)
        if not result:
            raise SfdaError("the segmentation came to nothing", remedy="tell the server's administrator")
        return _answer(app, request, result, output)


def _from_binary(app: Any, image: str | Path, drawn: Path) -> Path:
    """OHIF's scribbles, which come as voxels alone (one byte each, first axis fastest), on the scan's grid.

    Raises:
        DataError: when there are not as many voxels as the scan has.
    """
    from nibabel.nifti1 import Nifti1Image

    place = image if isinstance(image, Path) else app.datastore().image_file(image)
    try:
        grid = grid_of(place)
    except DataError as error:  # without the file's name, which may be a patient's
        raise DataError(error.what, remedy=error.remedy) from None
    path = drawn.with_name("scribbles.nii.gz")
    Nifti1Image(read_saved_label(drawn, grid), grid.affine).to_filename(path)
    return path


def _answer(app: Any, request: Mapping[str, Any], result: Mapping[str, Any], output: Output | None) -> Any:
    """The result as the client wants it: JSON, a file, or both in a multipart body."""
    found: dict[str, Any] = dict(result.get("params") or {})
    file = result.get("file") or result.get("label")
    path = Path(str(file)) if file else None
    if path is not None and not path.exists():
        path = Path(app.datastore().get_label_uri(str(file), result.get("tag")))
    own = path is not None and bool(result.get("file"))
    if output is Output.json or path is None or not path.is_file():
        if own and path is not None:
            _remove(path)
        return found
    if output is Output.dicom_seg:
        try:
            made = _dicom_seg(app, request, path, found)
        finally:
            if own:
                _remove(path)
        return FileResponse(
            made, media_type="application/dicom", filename=made.name, background=BackgroundTask(_remove, made)
        )
    task = BackgroundTask(_remove, path) if own else None
    if output is Output.image:
        return FileResponse(path, media_type=media_type(path), filename=path.name, background=task)
    with path.open("rb") as stream:
        fields = {
            "params": (None, json.dumps(found), "application/json"),
            "image": (path.name, stream, media_type(path)),
        }
        encoder = MultipartEncoder(fields=fields)
        return Response(encoder.to_string(), media_type=encoder.content_type, background=task)


def _dicom_seg(app: Any, request: Mapping[str, Any], path: Path, found: Mapping[str, Any]) -> Path:
    """A result as DICOM SEG.

    Raises:
        SettingError: for a scan that is not the datastore's.
    """
    model = str(found.get("model") or getattr(app._infers[request["model"]], "name", request["model"]))
    if isinstance(request["image"], Path):
        raise SettingError(
            "DICOM SEG needs a scan of the datastore", remedy="name it by image, or take another output"
        )
    return Path(app.datastore().dicom_seg(request["image"], path, {**request, **found, "model": model}))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
