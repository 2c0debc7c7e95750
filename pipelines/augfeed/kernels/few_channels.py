"""Some channels of some images, as images of their own."""

from augfeed.kernels import compiled
from augfeed.kernels.place import U
from augfeed.kernels.types import Array, Ints


@compiled()
def take_channels(images: Array, places: Ints, first: int, out: Array) -> None:
    """Write channels from `first` on of images `[N, h, w, C]` at `places` to `out` `[n, h, w, K]`.

    Both are C-contiguous, and of one type.
    """
    count, height, width, few = out.shape
    every, pixels = images.shape[3], height * width
    step = U(every)
    for k in range(count):
        source, target = images[places[k]].reshape(pixels * every), out[k].reshape(pixels * few)
        if few == 3:
            at = U(first)
            for i in range(U(pixels)):
                target[U(3) * i] = source[at]
                target[U(3) * i + U(1)] = source[at + U(1)]
                target[U(3) * i + U(2)] = source[at + U(2)]
                at += step
        else:
            for c in range(few):
                for i in range(U(pixels)):
                    target[i * U(few) + U(c)] = source[i * step + U(first + c)]
