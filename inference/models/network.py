"""EfficientNet-Lite for inference: its trained layers, with batch norm folded into the convolutions."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


@dataclass(frozen=True, slots=True)
class Network:
    """The parts of a Classifier; `backbone` ends before pooling."""

    backbone: nn.Module
    head: nn.Linear
    mean: float
    scale: float


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out + x


def fold(model: Any) -> nn.Module:
    """The layers before pooling of `efficientnet_lite_pytorch.EfficientNet`, for inference only."""
    layers: list[nn.Module] = [_conv(model._conv_stem, model._bn0), nn.ReLU6(inplace=True)]
    layers += [_block(block) for block in model._blocks]
    layers += [_conv(model._conv_head, model._bn1), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


def _block(block: Any) -> nn.Module:
    layers: list[nn.Module] = []
    if hasattr(block, "_expand_conv"):
        layers += [_conv(block._expand_conv, block._bn0), nn.ReLU6(inplace=True)]
    layers += [_conv(block._depthwise_conv, block._bn1), nn.ReLU6(inplace=True)]
    layers += [_conv(block._project_conv, block._bn2)]
    body = nn.Sequential(*layers)
    arguments = block._block_args
    stride = arguments.stride[0] if isinstance(arguments.stride, list) else arguments.stride
    keeps_shape = stride == 1 and arguments.input_filters == arguments.output_filters
    return Residual(body) if block.id_skip and keeps_shape else body


def _conv(conv: Any, norm: nn.BatchNorm2d) -> nn.Module:
    """TensorFlow's SAME padding is uneven where the stride is 2; even padding becomes a part of the convolution."""
    left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
    even = left == right and top == bottom
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=tuple(conv.stride),
        padding=(top, left) if even else 0,
        groups=conv.groups,
    )
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without statistics cannot be folded")
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    with torch.no_grad():
        folded.weight.copy_(weight)
        folded.bias.copy_(bias) if folded.bias is not None else None
    return folded if even else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), folded)
