"""Read a config drive: the files of a small ISO 9660 image with Joliet names, as `mkisofs -J` writes it.

Ironic hands a config drive to the deploy ramdisk as base64 of a gzipped image; a real machine would have its
kernel mount it. Only what config drives use is read: directories and whole files.
"""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from market.errors import InvalidInput

__all__ = ["files_of", "unpack_config_drive"]

_SECTOR = 2048
_FIRST_DESCRIPTOR = 16
_JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")
_DIRECTORY = 0x02


def _joliet_root(image: bytes) -> tuple[int, int]:
    """Extent and byte length of the root directory of the Joliet tree."""
    for number in range(_FIRST_DESCRIPTOR, len(image) // _SECTOR):
        sector = image[number * _SECTOR : (number + 1) * _SECTOR]
        if sector[1:6] != b"CD001" or sector[0] == 255:
            break
        if sector[0] == 2 and sector[88:91] in _JOLIET_ESCAPES:
            extent, length = struct.unpack_from("<I4xI", sector, 156 + 2)
            return extent, length
    raise InvalidInput("this is not an ISO 9660 image with Joliet names")


def _records(data: bytes) -> Iterator[tuple[str, int, int, bool]]:
    """Name, extent, byte length and whether it is a directory, of each entry but `.` and `..`."""
    offset = 0
    while offset < len(data):
        size = data[offset]
        if size == 0:  # entries do not cross sectors; the rest of this one is empty
            offset = (offset // _SECTOR + 1) * _SECTOR
            continue
        extent, length = struct.unpack_from("<I4xI", data, offset + 2)
        raw = data[offset + 33 : offset + 33 + data[offset + 32]]
        if raw not in (b"\0", b"\1"):
            name = raw.decode("utf-16-be").partition(";")[0]
            yield name, extent, length, bool(data[offset + 25] & _DIRECTORY)
        offset += size


def files_of(image: bytes) -> dict[PurePosixPath, bytes]:
    """All files of the image by path. Raises `InvalidInput` if it is not an image with Joliet names."""
    result: dict[PurePosixPath, bytes] = {}
    folders = [(PurePosixPath(), *_joliet_root(image))]
    while folders:
        folder, extent, length = folders.pop()
        start = extent * _SECTOR
        for name, child, size, is_folder in _records(image[start : start + length]):
            if is_folder:
                folders.append((folder / name, child, size))
            else:
                result[folder / name] = image[child * _SECTOR : child * _SECTOR + size]
    return result


def unpack_config_drive(encoded: str, folder: Path) -> None:
    """Write the files of a config drive, as Ironic encodes it, below `folder`."""
    for path, content in files_of(gzip.decompress(base64.b64decode(encoded))).items():
        if ".." in path.parts:
            raise InvalidInput(f"the config drive has a path that leaves it: {path}")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
