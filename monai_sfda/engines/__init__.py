"""Training, adaptation and inference on MONAI and ignite."""

from monai_sfda.engines.adaptation import AdaptationTrainer
from monai_sfda.engines.evaluator import VolumeEvaluator
from monai_sfda.engines.inference import SliceStackInferer, segment_scan
from monai_sfda.engines.supervised import SupervisedTrainer
from monai_sfda.engines.volumes import VolumeSegmentation

__all__ = [
    "AdaptationTrainer",
    "SliceStackInferer",
    "SupervisedTrainer",
    "VolumeEvaluator",
    "VolumeSegmentation",
    "segment_scan",
]
