"""A torch module's weights in the safetensors format: numbers and nothing else, whichever version reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autotrack.errors import ModelFormatError
from autotrack.models.safety import UNREADABLE

_ALIASES = "autotrack.aliases"
"""Key of the file's own metadata: names that stand for the tensor of another name (tied weights), as JSON."""


def encode(state_dict: dict[str, Any]) -> bytes | None:
    """A state dict as a safetensors file; None where it holds something else than dense tensors."""
    import torch
    from safetensors.torch import save

    kept: dict[str, Any] = {}
    names: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, value in state_dict.items():
        if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
            return None
        place = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride(), value.device)
        if value.numel() and place in names:
            aliases[name] = names[place]
        else:
            names[place] = name
            # Copied where tensors share part of their memory, which the format does not hold.
            kept[name] = value.detach().cpu().contiguous().clone()
    try:
        return bytes(save(kept, metadata={_ALIASES: json.dumps(aliases, sort_keys=True)}))
    except (ValueError, TypeError, KeyError):
        # A type of numbers that this version of the format has no name for.
        return None


def decode(data: bytes, file: Path) -> dict[str, Any]:
    """The state dict of a safetensors file, on the CPU.

    Raises:
        ModelFormatError: It is damaged, or no such file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = dict(load(data))
        size = int.from_bytes(data[:8], "little")
        notes = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        aliases = json.loads(notes.get(_ALIASES, "{}"))
        tensors.update({name: tensors[source] for name, source in aliases.items()})
    except (*UNREADABLE, SafetensorError) as error:
        raise ModelFormatError(f"{file}: not a readable safetensors file: {error}") from None
    return tensors
