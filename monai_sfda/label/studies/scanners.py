"""Which studies are of one scanner, and which have no label yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


class Studies(Protocol):
    """What is asked of a datastore here."""

    def list_images(self) -> list[str]:
        """Ids of all images."""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of an image."""

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids by tag."""


@runtime_checkable
class Labelled(Protocol):
    """A datastore that knows at once what is labelled."""

    def labelled(self, tag: str, model: str | None = None) -> set[str]:
        """Ids of images that have a label with that tag, of any model or of one."""


def scanner_of(info: Mapping[str, Any]) -> tuple[str, str] | None:
    """DICOM manufacturer and model of the scanner, from an image's info; None where it has neither.

    Spaces at the ends and doubled ones are dropped, as scanners of one kind write them differently.

    >>> scanner_of({"Manufacturer": "GE ", "ManufacturerModelName": "Signa  HDxt"})
    ('GE', 'Signa HDxt')
    >>> scanner_of({"Modality": "MR"}) is None
    True
    """
    manufacturer, model = (
        " ".join(str(info.get(key) or "").split()) for key in ("Manufacturer", "ManufacturerModelName")
    )
    return (manufacturer, model) if manufacturer or model else None


def scanners(datastore: Studies) -> dict[tuple[str, str], int]:
    """The scanners of a datastore's images with the number of images of each, most first."""
    found = Counter(
        scanner
        for scanner in (scanner_of(datastore.get_image_info(i)) for i in datastore.list_images())
        if scanner is not None
    )
    return dict(found.most_common())


def images_of_scanner(datastore: Studies, manufacturer: str, model: str) -> list[str]:
    """The images of one scanner, by DICOM manufacturer and model; case and spaces do not count."""
    wanted = scanner_of({"Manufacturer": manufacturer.casefold(), "ManufacturerModelName": model.casefold()})
    found = []
    for image_id in datastore.list_images():
        scanner = scanner_of(datastore.get_image_info(image_id))
        if scanner is not None and (scanner[0].casefold(), scanner[1].casefold()) == wanted:
            found.append(image_id)
    return found


def unlabelled_images(datastore: Studies, model: str | None = None) -> list[str]:
    """The images without a final label.

    Args:
        datastore: of the app.
        model: only labels of this model count, so that an image that is labelled for another task still is
            unlabelled for this one; None: any final label counts.
    """
    images = datastore.list_images()
    if isinstance(datastore, Labelled):
        done = datastore.labelled("final", model)
    else:  # another of MONAI Label's datastores, which knows no models
        done = {i for i in images if "final" in datastore.get_labels_by_image_id(i)}
    return [image_id for image_id in images if image_id not in done]
