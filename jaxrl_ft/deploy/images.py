"""What a convolution sees of an image that is a vector."""

import numpy as np
from numpy.typing import NDArray


def windows(
    image: tuple[int, int, int], side: int, stride: int, same: bool
) -> tuple[NDArray[np.int32], tuple[int, int]]:
    """The numbers of the entries that a kernel sees at its places, and how many places there are down and across.

    Args:
        image: height, width and channels.
        side: of the kernel, in pixels.
        stride: pixels from one place to the next.
        same: pad with zeros so that with stride 1 the image keeps its size, the odd one behind it, as XLA does.

    Returns:
        The numbers, [places x side x side x channels]; that of no entry, where the padding is seen, is the size of the
        image. And the places.
    """
    height, width, channels = image
    pads = [max((-(-size // stride) - 1) * stride + side - size, 0) if same else 0 for size in (height, width)]
    padded = np.full((height + pads[0], width + pads[1], channels), height * width * channels, np.int32)
    top, left = pads[0] // 2, pads[1] // 2
    padded[top : top + height, left : left + width] = np.arange(height * width * channels).reshape(image)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))[::stride, ::stride]
    return np.moveaxis(seen, 2, -1).ravel().astype(np.int32), (seen.shape[0], seen.shape[1])
