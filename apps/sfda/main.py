"""The app as MONAI Label finds it: in `main.py`, a class made from its own; all of it is in `monai_sfda.label`."""

from __future__ import annotations

from monai_sfda.label.app import SfdaApp

__all__ = ["SfdaApp"]
