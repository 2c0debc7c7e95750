"""TIFF files of any depth, written sample by sample, for the tests."""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
COMPRESSIONS = {"raw": 1, "deflate": 8, "packbits": 32773}
_TYPES = {1: "B", 3: "H", 4: "I"}
TILE = 16


@dataclass(frozen=True)
class Tiff:
    """What a file states of its samples; `order` is that of bytes, "<" or ">"."""

    photometric: int | None = BLACK_IS_ZERO
    bits: int = 8
    kind: int = UNSIGNED
    order: str = "<"
    extra: tuple[int, ...] = ()
    compression: str = "raw"
    layout: str = "one"
    separate: bool = False
    reversed: bool = False
    tags: dict[int, tuple[int, list[int]]] = field(default_factory=dict)

    def __str__(self) -> str:
        about = self.photometric, self.bits, self.kind, self.order, self.extra, self.compression
        return f"{about} {self.layout} {self.separate} {self.reversed}"

    def holding(self, values: NDArray[Any]) -> bytes:
        """Return the file with samples `[h, w, n]`."""
        height, width, count = values.shape
        planes = np.split(values, count, axis=2) if self.separate else [values]
        blocks = [self._packed(block) for plane in planes for block in self._blocks(plane)]
        places = 8 + np.cumsum([0, *map(len, blocks)])
        sizes = [len(block) for block in blocks]
        tags: dict[int, tuple[int, list[int]]] = {
            256: (4, [width]), 257: (4, [height]), 258: (3, [self.bits] * count),
            259: (3, [COMPRESSIONS[self.compression]]), 277: (3, [count]),
            284: (3, [2 if self.separate else 1]), 339: (3, [self.kind] * count),
        }  # fmt: skip
        if self.photometric is not None:
            tags[262] = 3, [self.photometric]
        if self.reversed:
            tags[266] = 3, [2]
        if self.extra:
            tags[338] = 3, list(self.extra)
        if self.layout == "tiles":
            tags |= {322: (4, [TILE]), 323: (4, [TILE])}
            tags |= {324: (4, places[:-1].tolist()), 325: (4, sizes)}
        else:
            tags |= {273: (4, places[:-1].tolist()), 279: (4, sizes)}
            tags[278] = 4, [5 if self.layout == "strips" else height]
        return self._file(b"".join(blocks), tags | self.tags)

    def _blocks(self, plane: NDArray[Any]) -> list[NDArray[Any]]:
        height, width, _ = plane.shape
        if self.layout != "tiles":
            step = 5 if self.layout == "strips" else height
            return [plane[top : top + step] for top in range(0, height, step)]
        whole = np.pad(plane, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
        return [whole[top : top + TILE, left : left + TILE]
                for top in range(0, height, TILE) for left in range(0, width, TILE)]  # fmt: skip

    def _packed(self, block: NDArray[Any]) -> bytes:
        if self.bits in (8, 16, 32, 64):
            letter = "f" if self.kind == FLOAT else "i" if self.kind == SIGNED else "u"
            data = block.astype(f"{self.order}{letter}{self.bits // 8}").tobytes()
        else:
            bits = (block[..., None] >> np.arange(self.bits - 1, -1, -1)) & 1
            lines = bits.reshape(len(block), -1).astype(np.uint8)
            data = np.packbits(lines, axis=1).tobytes()
        if self.compression == "deflate":
            data = zlib.compress(data)
        elif self.compression == "packbits":
            parts = [data[at : at + 128] for at in range(0, len(data), 128)]
            data = b"".join(bytes([len(part) - 1]) + part for part in parts)
        if self.reversed:
            turned = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
            data = np.packbits(turned).tobytes()
        return data

    def _file(self, data: bytes, tags: dict[int, tuple[int, list[int]]]) -> bytes:
        start, behind, entries = 8 + len(data), b"", b""
        far = start + 2 + 12 * len(tags) + 4
        for tag, (kind, values) in sorted(tags.items()):
            packed = struct.pack(f"{self.order}{len(values)}{_TYPES[kind]}", *values)
            entries += struct.pack(self.order + "HHI", tag, kind, len(values))
            if len(packed) > 4:
                entries += struct.pack(self.order + "I", far + len(behind))
                behind += packed
            else:
                entries += packed.ljust(4, b"\0")
        head = b"II*\0" if self.order == "<" else b"MM\0*"
        number = struct.pack(self.order + "H", len(tags))
        return (
            head
            + struct.pack(self.order + "I", start)
            + data
            + number
            + entries
            + bytes(4)
            + behind
        )
