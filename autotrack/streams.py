"""Files and other streams of bytes, read piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 1024 * 1024
"""Bytes in a piece."""


def blocks(stream: Any) -> Iterator[bytes]:
    """What is left in anything with a `read`, in pieces of `BLOCK` bytes at most."""
    while block := stream.read(BLOCK):
        yield block


def sha256_of_bytes(data: bytes) -> str:
    """Hash of some content, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(file: Path) -> str:
    """Hash of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        for block in blocks(source):
            digest.update(block)
    return digest.hexdigest()
