"""Networks as features plus classifier."""

from monai_sfda.networks.batchnorm import keeps_statistics, synchronise_batchnorm
from monai_sfda.networks.blended_batchnorm import BlendedBatchNorm, blend_batchnorms
from monai_sfda.networks.class_ratio_regressor import ClassRatioRegressor
from monai_sfda.networks.deeplab import DeepLabV3VGG16
from monai_sfda.networks.enet import ENet
from monai_sfda.networks.segmentation import SegmentationNetwork

__all__ = [
    "BlendedBatchNorm",
    "ClassRatioRegressor",
    "DeepLabV3VGG16",
    "ENet",
    "SegmentationNetwork",
    "blend_batchnorms",
    "keeps_statistics",
    "synchronise_batchnorm",
]
