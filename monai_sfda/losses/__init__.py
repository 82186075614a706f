"""Losses, one idea a file: pure functions of tensors."""

from monai_sfda.losses.adversarial import discriminator_loss, generator_loss
from monai_sfda.losses.batchnorm_consistency import batchnorm_consistency, channel_distance, transferability
from monai_sfda.losses.class_ratio import class_ratio_divergence, label_class_ratio, predicted_class_ratio
from monai_sfda.losses.cross_entropy import segmentation_cross_entropy
from monai_sfda.losses.entropy import mean_entropy, pixel_entropy
from monai_sfda.losses.sliced_wasserstein import draw_projections, sliced_wasserstein_distance
from monai_sfda.losses.soft_dice import soft_dice_loss
from monai_sfda.losses.standard_normal import standard_normal_divergence

__all__ = [
    "batchnorm_consistency",
    "channel_distance",
    "class_ratio_divergence",
    "discriminator_loss",
    "draw_projections",
    "generator_loss",
    "label_class_ratio",
    "mean_entropy",
    "pixel_entropy",
    "predicted_class_ratio",
    "segmentation_cross_entropy",
    "sliced_wasserstein_distance",
    "soft_dice_loss",
    "standard_normal_divergence",
    "transferability",
]
