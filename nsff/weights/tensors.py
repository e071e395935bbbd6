"""Reading files of tensors, and their digest. Nothing but tensors is ever unpickled.

The digest does not depend on how or with which version of torch a file was written: sha256 over, for each name in
alphabetical order, the name, type and shape as text and the values as little-endian bytes.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsff.errors import WeightsError
from nsff.files.checksums import verify
from nsff.files.reading import check_file, check_unpacked, reading

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def read_tensors(path: Path) -> dict[str, Any]:
    """A dictionary of tensors, on the CPU, from .safetensors or what torch saved (there, dictionaries may be nested).

    Raises WeightsError naming the file where it is missing, damaged, or holds other objects than tensors.
    """
    message = "not readable as a file of tensors"
    with reading(path, "get it again", WeightsError, "nsff weights list shows what lies where", message):
        content = load_safetensors(path) if Path(path).suffix == ".safetensors" else load_torch(path)
    if not isinstance(content, Mapping):
        raise WeightsError(path, f"holds a {type(content).__name__}, not tensors by name", "get it again")
    return dict(content)


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, which is checked first to be one. To be called within nsff.files.reading.reading."""
    from safetensors.torch import load_file

    check_file(path)
    verify(path)
    return load_file(path)


def load_torch(path: Path, device: torch.device | str = "cpu") -> Any:
    """Tensors and plain values that torch saved; nothing else is unpickled. Call it within nsff.files.reading.reading.

    An archive is compared with its own checksums first, which torch does not do.
    """
    import torch

    check_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                check_unpacked(entry.file_size, entry.compress_size)
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of its part {damaged}")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        # The message of torch ends in advice to switch its safety off.
        raise ValueError("damaged, or holds more than tensors and plain values") from None


def digest(state: Mapping[str, Tensor], prefix: str = "") -> str:
    """sha256 of the tensors whose names begin with ``prefix``."""
    import torch

    result = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith(prefix)):
        value = state[name].detach().contiguous()
        result.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        result.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return result.hexdigest()
