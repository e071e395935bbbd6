"""Reading files of tensors, and their digest. Nothing but tensors is ever unpickled.

The digest does not depend on how or with which version of torch a file was written: sha256 over, for each name in
alphabetical order, the name, type and shape as text and the values as little-endian bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsff.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


def read_tensors(path: Path) -> dict[str, Any]:
    """A dictionary of tensors, on the CPU, from .safetensors or what torch saved (there, dictionaries may be nested).

    Raises WeightsError naming the file where it is missing, damaged, or holds other objects than tensors.
    """
    import torch

    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(path, "no such file", "nsff weights list shows what lies where") from None
    except Exception as error:  # torch and safetensors raise many kinds, all meaning the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(path, f"not readable as a file of tensors ({reason})", "get it again") from None
    if not isinstance(content, Mapping):
        raise WeightsError(path, f"holds a {type(content).__name__}, not tensors by name", "get it again")
    return dict(content)


def digest(state: Mapping[str, Tensor], prefix: str = "") -> str:
    """sha256 of the tensors whose names begin with ``prefix``."""
    import torch

    result = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith(prefix)):
        value = state[name].detach().contiguous()
        result.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        result.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return result.hexdigest()
