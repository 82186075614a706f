"""`/datastore`: MONAI Label's endpoints; what comes in is checked, what goes out is the datastore's."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from fastapi.responses import FileResponse

from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.server.answers import NotThereError
from monai_sfda.label.server.received import is_plain_name, received
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.server.stock_app import app_of, known_image, media_type
from monai_sfda.label.server.strict_json import parse_json
from monai_sfda.label.stock import prepare

prepare()

from monailabel.endpoints import datastore as stock  # noqa: E402

SERVERS_OWN = frozenset(
    {"sfda", "saved_by", "user", "subject", "name", "ts", "strategy", "path", "ext", "checksum"}
    | {"Manufacturer", "ManufacturerModelName", "Modality", "StudyInstanceUID", "SeriesInstanceUID"}
)
"""What an image's or a label's record says only by the server itself: an adaptation takes its word for it."""
SERVERS_OWN_OF_IMAGES = SERVERS_OWN | {"id", "next_study", "label_info"}
"""The same of an image, whose info MONAI Label puts over the answer to "which study comes next"."""
_TAGS = ("", "final", "original")

router = APIRouter(prefix="/datastore", tags=["Datastore"])
_User = Annotated[User, Depends(current_user)]
_Text = Annotated[str, Form()]


@router.get("/", summary="All images and labels, a list for training, or their numbers")
def look(output: stock.ResultType | None = None) -> Any:
    if output is stock.ResultType.train:
        return app_of().datastore().datalist(full_path=False)
    return stock.datastore(output)


@router.put("/", include_in_schema=False, deprecated=True)
@router.put("/image", summary="Add an image")
def add_image(
    user: _User, file: Annotated[UploadFile, File()], image: str | None = None, params: _Text = "{}"
) -> dict[str, Any]:
    """An uploaded scan becomes a study; nothing that is there is replaced."""
    given = own_keys_out(parse_json(params, "params"), SERVERS_OWN_OF_IMAGES)
    name = image or Path(file.filename or "").name.split(".")[0]
    if not is_plain_name(name):
        raise SettingError(
            "the image's id cannot be used", remedy="use up to 80 letters, digits and . _ -, a letter first"
        )
    with received(file) as path:
        store = app_of().datastore()
        return {"image": store.add_image(name, str(path), {**given, "user": user.name})}


@router.delete("/", include_in_schema=False, deprecated=True)
@router.delete("/image", summary="Remove an image and its labels")
def remove_image(id: str) -> dict[str, Any]:
    app = app_of()
    app.datastore().remove_image(known_image(app, id))
    return {}


@router.head("/image", summary="Whether an image is there")
def check_image(image: str, check_sum: str | None = None) -> dict[str, Any]:
    path = _image_file(image)
    if check_sum is not None and not _has_sum(path, check_sum):
        raise NotThereError("the image is another", remedy="download it again")
    return {}


@router.get("/image", summary="Download an image")
def download_image(image: str) -> FileResponse:
    path = _image_file(image)
    return FileResponse(path, media_type=media_type(path), filename=path.name)


@router.get("/image/info", summary="What is known of an image")
def image_info(image: str) -> Any:
    app = app_of()
    return app.datastore().get_image_info(known_image(app, image))


@router.put("/image/info", summary="Add to what is known of an image")
def put_image_info(image: str, user: _User, info: _Text = "{}") -> Any:
    app = app_of()
    given = own_keys_out(parse_json(info, "info"), SERVERS_OWN_OF_IMAGES)
    return app.datastore().update_image_info(known_image(app, image), {**given, "user": user.name})


@router.put("/label", summary="Save a label")
def save_label(
    user: _User,
    image: str,
    label: Annotated[UploadFile, File()],
    params: _Text = "{}",
    tag: str = "final",
) -> dict[str, Any]:
    """A label of a study, checked against its grid and its model's structures."""
    app = app_of()
    given = {**own_keys_out(parse_json(params, "params")), "saved_by": user.name}
    with received(label) as path:
        identifier = app.datastore().save_label(image, str(path), _tag(tag) or "final", given)
    told = app.on_save_label(image, identifier)
    return {**(told or {}), "image": image, "label": identifier}


@router.delete("/label", summary="Remove a label")
def remove_label(id: str, tag: str) -> dict[str, Any]:
    _label_file(id, tag)
    app_of().datastore().remove_label(id, _tag(tag))
    return {}


@router.head("/label", summary="Whether a label is there")
def check_label(tag: str, image: str = "", label: str = "") -> dict[str, Any]:
    _label_file(label or image, tag)
    return {}


@router.get("/label", summary="Download a label")
def download_label(label: str, tag: str) -> FileResponse:
    path = _label_file(label, tag)
    return FileResponse(path, media_type=media_type(path), filename=path.name)


@router.get("/label/info", summary="What is known of a label")
def label_info(label: str, tag: str) -> Any:
    _label_file(label, tag)
    return app_of().datastore().get_label_info(label, _tag(tag))


@router.put("/label/info", summary="Add to what is known of a label")
def put_label_info(label: str, tag: str, user: _User, info: _Text = "{}") -> Any:
    return _update_label(label, tag, user, parse_json(info, "info"))


@router.put("/updatelabelinfo", include_in_schema=False, deprecated=True)
def update_label_info(label: str, tag: str, user: _User, params: _Text = "{}") -> Any:
    return _update_label(label, tag, user, parse_json(params, "params"))


@router.get("/dataset", summary="All images and labels as a ZIP file")
def dataset(limit_cases: int | None = None) -> FileResponse:
    return stock.download_dataset(limit_cases)  # type: ignore[no-any-return]


def own_keys_out(given: Mapping[str, Any], own: Set[str] = SERVERS_OWN) -> dict[str, Any]:
    """What a client may add to a record: all but what only the server says."""
    return {key: value for key, value in given.items() if key not in own}


def _update_label(label: str, tag: str, user: User, given: Mapping[str, Any]) -> Any:
    _label_file(label, tag)
    content = {**own_keys_out(given), "user": user.name}
    return app_of().datastore().update_label_info(label, _tag(tag), content)


def _tag(tag: str) -> str:
    if tag not in _TAGS and not is_plain_name(tag):
        raise SettingError("the tag cannot be used", remedy="use final or original")
    return tag


def _image_file(identifier: str) -> Path:
    """One file with an image: the file itself, or what a DICOM series is converted to."""
    app = app_of()
    store = app.datastore()
    known_image(app, identifier)
    found = store.image_file(identifier) if hasattr(store, "image_file") else store.get_image(identifier)
    path = Path(str(found))
    if not path.is_file():
        raise NotThereError("there is no such image in the datastore", remedy="look at /datastore/ again")
    return path


def _label_file(identifier: str, tag: str) -> Path:
    if not identifier:
        raise DataError("no label is named", remedy="give its id")
    found = app_of().datastore().get_label_uri(identifier, _tag(tag))
    path = Path(str(found)) if found else None
    if path is None or not path.is_file():
        raise NotThereError("there is no such label in the datastore", remedy="look at /datastore/ again")
    return path


def _has_sum(path: Path, wanted: str) -> bool:
    from monailabel.utils.others.generic import file_checksum

    algorithm, _, digest = wanted.rpartition(":")
    try:
        own = str(file_checksum(str(path), algo=algorithm or "SHA256"))
    except ValueError as error:
        raise SettingError(f"'{algorithm[:20]}' is no check sum", remedy="use SHA256") from error
    return own.rpartition(":")[2] == digest
