"""A network that guesses the class ratio of a slice from its image alone.

AdaEnt's auxiliary network R (Bateson et al., "Source-Relaxed Domain Adaptation for Image Segmentation",
Section 3.1). The paper's is a ResNeXt101; ours is one of MONAI's networks for classification, of any width.
*Ours*: a softmax makes its output a ratio, which the paper does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from monai.networks.nets import ResNet, SEResNext101
from torch import Tensor, nn

from monai_sfda.errors import SettingError, nearest

RegressorBackbone = Literal["resnet10", "resnet18", "resnet34", "resnet50", "seresnext101"]
_BLOCKS: dict[str, tuple[str, list[int]]] = {
    "resnet10": ("basic", [1, 1, 1, 1]),
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
}


class ClassRatioRegressor(nn.Module):
    """Class ratio of each image, (B, C, H, W) -> (B, K), rows of sum 1.

    A release names the network by these four values, not by a class to import: whoever reads a release runs
    none of its code.

    Args:
        in_channels: C, the scan's channels times the slices of a stack.
        num_classes: K, background included.
        backbone: a ResNet, or `seresnext101`, in MONAI the nearest to the paper's.
        width: channels of a ResNet's first stage; its last has eight times as many. No matter to
            `seresnext101`.

    Raises:
        SettingError: for an unknown backbone or sizes that no network has.
    """

    def __init__(
        self, in_channels: int, num_classes: int, backbone: RegressorBackbone = "resnet18", width: int = 64
    ) -> None:
        super().__init__()
        names = get_args(RegressorBackbone)
        if backbone not in names:
            raise SettingError(
                f"backbone '{backbone}' of the class-ratio regressor is unknown",
                remedy=f"use one of {', '.join(nearest(str(backbone), names))}",
            )
        sizes = {"in_channels": (in_channels, 1), "num_classes": (num_classes, 2), "width": (width, 1)}
        for name, (value, least) in sizes.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SettingError(
                    f"{name} of the class-ratio regressor cannot be {value!r}",
                    remedy=f"use a whole number from {least}",
                )
        self.definition: dict[str, Any] = {
            "in_channels": in_channels,
            "num_classes": num_classes,
            "backbone": backbone,
            "width": width,
        }
        self.backbone = _make_backbone(in_channels, num_classes, backbone, width)

    @staticmethod
    def from_definition(definition: Mapping[str, Any]) -> ClassRatioRegressor:
        """The network that a release describes, with random weights."""
        return ClassRatioRegressor(**definition)

    def forward(self, image: Tensor) -> Tensor:
        """Ratios, computed in at least single precision."""
        return cast(Tensor, self.backbone(image)).float().softmax(1)


def _make_backbone(in_channels: int, num_classes: int, name: str, width: int) -> nn.Module:
    if name == "seresnext101":
        return SEResNext101(spatial_dims=2, in_channels=in_channels, num_classes=num_classes)
    block, layers = _BLOCKS[name]
    return ResNet(
        block,
        layers,
        [width * 2**stage for stage in range(4)],
        spatial_dims=2,
        n_input_channels=in_channels,
        conv1_t_stride=2,
        num_classes=num_classes,
    )
