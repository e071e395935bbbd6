"""The entry of one set of pretrained weights: its files, where they come from, and whose they are.

A set is a single file, or a folder of files as Hugging Face's libraries read them, pinned to a revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TORCHVISION_PAGE = "https://docs.pytorch.org/vision/stable/models.html"
"""The page on which torchvision describes its weights."""


@dataclass(frozen=True)
class File:
    """One file. What is None is not known, and then not checked.

    ``size`` in bytes; ``sha256`` of the whole file, or ``sha256_prefix``, its first hexadecimal digits, which some
    publishers put into names; ``tensors_sha256``: ``nsff.weights.tensors.digest`` of the tensors whose names begin with
    ``tensors_prefix``, for files that everyone writes on their own machine. ``url`` is where the bytes are; where that
    is a zip archive, ``member`` is the file's path in it.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None
    tensors_sha256: str | None = None
    tensors_prefix: str = ""
    url: str | None = None
    member: str | None = None

    @property
    def has_hash(self) -> bool:
        return bool(self.sha256 or self.sha256_prefix or self.tensors_sha256)


@dataclass(frozen=True)
class Weight:
    """One set of weights. ``folder`` is the folder of the files on this machine; None for a single file.

    ``used_by`` names the setting that asks for it, ``source`` the publisher's page, ``citation`` the paper; ``note``
    says what a reader has to know before getting it.
    """

    name: str
    files: tuple[File, ...]
    used_by: str
    licence: str
    source: str
    citation: str
    folder: str | None = None
    repository: str | None = None
    revision: str | None = None
    note: str = ""
    about_mib: float | None = field(default=None, compare=False)

    @property
    def location(self) -> str:
        """The file's or folder's name inside a folder of weights."""
        return self.folder or self.files[0].name

    @property
    def size(self) -> int | None:
        """Bytes of all files, where all are known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def hugging_face(
    name: str, repository: str, revision: str, files: Sequence[File], used_by: str, licence: str, citation: str
) -> Weight:
    """A folder of weights from Hugging Face; ``revision`` is a commit, so that the files never change.

    On this machine it is a folder of the set's name, as ``from_pretrained`` reads it. Files need a name alone; hash and
    size are checked where they are given. Example: ``hugging_face("dpt-large", "Intel/dpt-large", "0123abc…",
    [File("config.json"), File("model.safetensors", size=…, sha256=…)], …)``.
    """
    base = f"https://huggingface.co/{repository}"
    located = tuple(
        File(
            file.name,
            file.size,
            file.sha256,
            file.sha256_prefix,
            file.tensors_sha256,
            file.tensors_prefix,
            f"{base}/resolve/{revision}/{file.name}",
        )
        for file in files
    )
    return Weight(
        name,
        located,
        used_by,
        licence,
        f"{base}/tree/{revision}",
        citation,
        folder=name,
        repository=repository,
        revision=revision,
    )


def torchvision_file(name: str, file: str, about_mib: float, used_by: str, citation: str) -> Weight:
    """A checkpoint of torchvision, whose file's name ends in the first digits of its sha256.

    Example: ``torchvision_file("vgg16", "vgg16-397923af.pth", 527.8, "features.backend: vgg", "Simonyan ...")``.
    """
    prefix = file.removesuffix(".pth").rpartition("-")[2]
    entry = File(file, sha256_prefix=prefix, url=f"https://download.pytorch.org/models/{file}")
    return Weight(name, (entry,), used_by, "BSD-3-Clause", TORCHVISION_PAGE, citation, about_mib=about_mib)
