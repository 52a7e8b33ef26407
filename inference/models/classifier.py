"""All the work of the device as one torch module: uint8 pixels in; top-k classes, probabilities and embedding out.

The pixels are sent to the device as bytes: 1.5 per pixel for I420, where float32 RGB would need 12.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.models.base import Calibration, InputSpec, RawEncoding
from inference.models.network import Network
from schemas.records import PixelEncoding

# BT.601, limited range: what cv2.COLOR_YUV2RGB_I420 computes (inference/image/color.py).
LUMA_SCALE = 1.164
RED_V = 1.596
GREEN_V, GREEN_U = -0.813, -0.391
BLUE_U = 2.018


def i420_to_rgb(pixels: Tensor, width: int, height: int) -> Tensor:
    """uint8 [N, bytes of an I420 image] -> float32 [N, 3, h, w] in 0..255, clipped, not rounded.

    Each chroma sample is repeated for its four pixels: bilinear interpolation was measured to change no label. At the
    edge of an odd side it stands for fewer.
    """
    area, rows, columns = width * height, (height + 1) // 2, (width + 1) // 2
    luma = pixels[:, :area].reshape(-1, 1, height, width).float()
    chroma = pixels[:, area : area + 2 * rows * columns].reshape(-1, 2, rows, columns).float() - 128.0
    # [u, v] -> their share of r, g and b, computed before the upsampling, on a quarter of the pixels
    u, v = chroma[:, 0:1], chroma[:, 1:2]
    tint = torch.cat((v * RED_V, v * GREEN_V + u * GREEN_U, u * BLUE_U), dim=1)
    tint = F.interpolate(tint, scale_factor=2.0, mode="nearest")[:, :, :height, :width]
    return ((luma - 16.0) * LUMA_SCALE + tint).clamp(0.0, 255.0)


def rgb24_to_rgb(pixels: Tensor, width: int, height: int) -> Tensor:
    """uint8 [N, h*w*3], interleaved -> float32 [N, 3, h, w]."""
    return pixels.reshape(-1, height, width, 3).permute(0, 3, 1, 2).float()


READERS: dict[RawEncoding, Callable[[Tensor, int, int], Tensor]] = {
    PixelEncoding.I420: i420_to_rgb,
    PixelEncoding.RGB24: rgb24_to_rgb,
}


class Classifier(nn.Module):
    """From pixels of one encoding to (class_index i32 [N,k], probability f32 [N,k], embedding f16 [N,d])."""

    def __init__(
        self,
        network: Network,
        spec: InputSpec,
        encoding: RawEncoding,
        top_k: int,
        calibration: Calibration,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.backbone, self.head = network.backbone, network.head
        self.mean, self.scale = network.mean, network.scale
        self.spec, self.encoding, self.dtype = spec, encoding, dtype
        self.top_k, self.temperature = top_k, calibration.temperature
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # float32 until normalised: bfloat16 is exact for whole numbers only up to 256
        rgb = READERS[self.encoding](pixels, self.spec.width, self.spec.height)
        image = ((rgb - self.mean) * (1.0 / self.scale)).to(self.dtype).contiguous(memory_format=torch.channels_last)
        embedding = self.backbone(image).mean(dim=(2, 3), dtype=torch.float32)
        logits = self.head(embedding) / self.temperature
        probability, class_index = F.softmax(logits, dim=1).topk(self.top_k, dim=1)
        return class_index.to(torch.int32), probability, embedding.to(torch.float16)
