"""Fixtures of the MONAI Label app's tests."""

from __future__ import annotations

from tests.label.installed import installed

__all__ = ["installed"]
