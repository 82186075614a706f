"""Networks as features plus classifier."""

from monai_sfda.networks.batchnorm import synchronise_batchnorm
from monai_sfda.networks.deeplab import DeepLabV3VGG16
from monai_sfda.networks.enet import ENet
from monai_sfda.networks.segmentation import SegmentationNetwork

__all__ = ["DeepLabV3VGG16", "ENet", "SegmentationNetwork", "synchronise_batchnorm"]
