"""Crops with the very same pixels: one that is trained on says nothing when its double is tested."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cellseg.images.crops.crops import Crops, LeftOut, read_each


def pixel_digest(pixels: NDArray[Any]) -> bytes:
    """Return 16 bytes that are the same for the same shape, type and pixels.

    Examples
    --------
    >>> pixel_digest(np.zeros((1, 2, 3))) == pixel_digest(np.zeros((1, 3, 2)))
    False
    """
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def duplicate_groups(digests: Sequence[bytes]) -> list[NDArray[np.intp]]:
    """Return the indices of those that are equal, group by group; empty digests are left out.

    Examples
    --------
    >>> [group.tolist() for group in duplicate_groups([b"a", b"b", b"a", b"", b""])]
    [[0, 2]]
    """
    groups: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests):
        groups.setdefault(digest, []).append(index)
    return [np.array(group) for digest, group in groups.items() if digest and len(group) > 1]


def find_duplicates(crops: Crops) -> list[NDArray[np.intp]]:
    """Return groups of indices of crops with identical pixels, each of two or more.

    Reads every crop once. Crops that cannot be read are in no group.

    Examples
    --------
    >>> cells = Crops.from_arrays([np.zeros((2, 2)), np.ones((2, 2)), np.zeros((2, 2))])
    >>> [group.tolist() for group in find_duplicates(cells)]
    [[0, 2]]
    """
    each = read_each(crops)
    return duplicate_groups([b"" if isinstance(one, LeftOut) else pixel_digest(one) for one in each])
