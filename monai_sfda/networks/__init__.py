"""Networks as features plus classifier."""

from monai_sfda.networks.segmentation import SegmentationNetwork

__all__ = ["SegmentationNetwork"]
