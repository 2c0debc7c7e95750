"""Numbers that plans, compiled loops and kernels agree on, each written once."""

LUMA = (0.299, 0.587, 0.114)  # gray of a pixel, ITU-R 601
# RGB -> YIQ (NTSC 1953); hue turns the plane of the last two rows.
YIQ = (LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
FROM_YIQ = (  # its inverse, as NumPy finds it
    (1.0000000000000002, 0.9562957197589487, 0.6210244164652611),
    (1.0000000000000002, -0.27212209931851056, -0.647380596825695),
    (1.0, -1.1069890167364902, 1.7046149983646481),
)

NONE, MIXUP, CUTMIX = 0, 1, 2  # modes of mixing; the kernel has a bit for each

CONSTANT, EDGE, REFLECT = 0, 1, 2  # what lies outside an image
EDGES = {"constant": CONSTANT, "edge": EDGE, "reflect": REFLECT}

NEAREST, BILINEAR, BICUBIC = 0, 1, 2  # filters
FILTERS = {"nearest": NEAREST, "bilinear": BILINEAR, "bicubic": BICUBIC}
FILTER_NAMES = tuple(FILTERS)
# The parameter of the cubic filter where images are resized, and where their pixels move: Pillow's.
RESIZE_CUBIC, WARP_CUBIC = -0.5, -1.0

# Hues, of 255, that Pillow's float32 puts one below where they are whole: all other fractions are
# cut to what whole numbers give.
HUES_BELOW = tuple(
    1 <= hue <= 31
    or hue in (176, 184)
    or (88 <= hue <= 104 and hue % 4 == 0)
    or (129 <= hue <= 147 and hue % 2 == 1)
    or (149 <= hue <= 209 and hue % 4 == 1)
    for hue in range(256)
)
