"""What the MONAI Label app is made of: models, segmentation, correction, adaptation, studies, server.

Imports nothing heavy by itself; `monailabel` is reached through `monai_sfda.label.stock` alone.
"""
