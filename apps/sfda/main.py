"""Where MONAI Label looks for an app; all of it is in `monai_sfda.label`."""

from __future__ import annotations

from monai_sfda.label.app import SfdaApp

__all__ = ["SfdaApp"]
