"""Networks as features plus classifier."""

from monai_sfda.networks.batchnorm import keeps_statistics, running_statistics_kept, synchronise_batchnorm
from monai_sfda.networks.blended_batchnorm import BlendedBatchNorm, blend_batchnorms
from monai_sfda.networks.class_ratio_regressor import ClassRatioRegressor
from monai_sfda.networks.cross_domain import CrossDomainAutoencoder, Posterior, fixed
from monai_sfda.networks.deeplab import DeepLabV3VGG16
from monai_sfda.networks.drn import DRN26
from monai_sfda.networks.enet import ENet
from monai_sfda.networks.latent_segmentation import LatentSegmentation
from monai_sfda.networks.segmentation import SegmentationNetwork

__all__ = [
    "DRN26",
    "BlendedBatchNorm",
    "ClassRatioRegressor",
    "CrossDomainAutoencoder",
    "DeepLabV3VGG16",
    "ENet",
    "LatentSegmentation",
    "Posterior",
    "SegmentationNetwork",
    "blend_batchnorms",
    "fixed",
    "keeps_statistics",
    "running_statistics_kept",
    "synchronise_batchnorm",
]
