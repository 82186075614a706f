"""Source-free domain adaptation of medical segmentation models, as a plugin for MONAI."""

__version__ = "0.1.0"
