"""The way to the `monailabel` package: its environment, and a torchvision that cannot be loaded otherwise.

Every module that imports `monailabel` calls `prepare` first:

    from monai_sfda.label.stock import prepare

    prepare()

    from monailabel.interfaces.app import MONAILabelApp  # noqa: E402
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import torch

ENVIRONMENT = {
    "MONAI_LABEL_TRACKING_ENABLED": "false",
    "MONAI_LABEL_DICOMWEB_SEARCH_FILTER": "{}",
    "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
    "MONAI_ZOO_SOURCE": "local",
}
"""What MONAI Label reads when it is imported, where the administrator has not said otherwise.

Its tracking needs mlflow 2; its search filter hides MR; its scoring of every study after each request would
start a process that loads the application again; its zoo is on the internet.
"""

_lock = threading.Lock()
_done = False


def prepare() -> None:
    """Sets the environment and makes torchvision importable; may be called any number of times.

    Must run before `monailabel` is imported: its settings are read then, once.
    """
    global _done
    with _lock:
        if _done:
            return
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        _import_torchvision()
        _done = True


def _import_torchvision() -> None:
    """Imports torchvision, without the shapes of its compiled operators where it has none for this torch.

    MONAI Label uses torchvision for pictures of pathology, which the app has none of. A torchvision that was
    built for another torch has no compiled operators, and registering their shapes fails its whole import.
    """
    register = torch.library.register_fake

    def register_known(op: Any, *args: Any, **kwargs: Any) -> Any:
        if not (isinstance(op, str) and op.startswith("torchvision::")):
            return register(op, *args, **kwargs)

        def keep(function: Callable[..., Any]) -> Any:
            try:
                return register(op, *args, **kwargs)(function)
            except RuntimeError:
                return function

        return keep

    torch.library.register_fake = register_known
    try:
        import torchvision  # type: ignore[import-untyped]  # noqa: F401
    finally:
        torch.library.register_fake = register
