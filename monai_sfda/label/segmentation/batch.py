"""Segmentation of many studies, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from monai_sfda.errors import SfdaError
from monai_sfda.label.stock import prepare
from monai_sfda.label.values import Options, as_list, read_options

prepare()

from monailabel.interfaces.tasks.batch_infer import BatchInferTask  # noqa: E402

logger = logging.getLogger(__name__)

WHICH = ("all", "labeled", "unlabeled")


class BatchOptions(Options):
    """Of a batch.

    Attributes:
        images: `all`, `labeled`, `unlabeled`, or ids.
        max_batch_size: at most so many; 0: all.
        label_tag: that the labels are saved under.
    """

    images: Annotated[list[str], BeforeValidator(as_list), Field(max_length=100_000)] = Field(default=["all"])
    max_batch_size: int = Field(default=0, ge=0)
    label_tag: Literal["original", "final"] = "original"


class BatchSegmentation(BatchInferTask):
    """Segments the studies one after the other and saves the labels; a bad one does not stop the others.

    MONAI Label's own task divides by the number of GPUs, of which there may be none.
    """

    def __call__(
        self, request: Mapping[str, Any], datastore: Any, infer: Callable[..., dict[str, Any]]
    ) -> dict[str, Any]:
        """What `infer` says of each study by its id; of a bad one, `error` and `remedy`.

        Args:
            request: `model`, the fields of `BatchOptions`, and the options of the model's task.
            datastore: of the studies.
            infer: the app's.

        Raises:
            SettingError: for an option that cannot be had.
        """
        options = read_options(BatchOptions, request)
        which = options.images[0] if len(options.images) == 1 else None
        named = {**request, "images": which if which in WHICH else options.images}
        images = sorted(self.get_images(named, datastore))
        if options.max_batch_size:
            images = images[: options.max_batch_size]
        found: dict[str, Any] = {}
        for done, image in enumerate(images, start=1):
            one = {**request, "image": image, "save_label": True, "label_tag": options.label_tag}
            one.pop("images", None)
            try:
                result = infer(one, datastore)
                if file := result.pop("file", None):
                    Path(file).unlink(missing_ok=True)
                found[image] = result
            except SfdaError as error:
                found[image] = {"error": error.what, "remedy": error.remedy}
            except Exception as error:
                logger.exception("a study of a batch could not be segmented")
                found[image] = {"error": f"unexpected ({type(error).__name__})", "remedy": "see the log"}
            logger.info("batch of '%s': %d of %d studies", request.get("model"), done, len(images))
        return found
