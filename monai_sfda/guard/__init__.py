"""Label-free signals of a network's use: is a scan like those that the model knows?"""

from __future__ import annotations

from monai_sfda.guard.familiarity import Familiarity, compare
from monai_sfda.guard.profile import ScanObserver, ScanProfile
from monai_sfda.guard.reference import Reference, fit_reference

__all__ = ["Familiarity", "Reference", "ScanObserver", "ScanProfile", "compare", "fit_reference"]
