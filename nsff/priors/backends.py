"""Backends of the priors: the declaration of one, and the registry of a prior's backends.

A prior is flow, depth, features, or the instances that motion masks take in. A backend makes it in one way: it is one
module in ``nsff/priors/{prior}/backends/`` with a constant ``BACKEND``. The module's name is the backend's name in the
configuration, and the first line of its docstring describes it there (nsff.config.module_names). Allowed values, the
choice under ``auto``, checks of files and ``nsff weights`` follow from these modules alone.

The workflow imports all of them when it plans, so that they import torch and the libraries of networks only within
``open``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from nsff.config.module_names import module_names
from nsff.errors import ConfigError, WeightsError
from nsff.weights import Weight, locate
from nsff.weights.check import check_sizes
from nsff.weights.search import remedy

C = TypeVar("C")
"""The section of the configuration that the prior's stage reads."""
E = TypeVar("E")
"""The type of an opened backend; each prior's registry says which calls it takes."""

GIVEN = "given"
"""The value of a setting that takes what came with the source, which is no backend."""


@dataclass(frozen=True)
class WeightChoice:
    """The weights that a backend would load under some settings."""

    candidates: tuple[Weight, ...]
    """Sets that serve, best first; used where ``file`` is None."""
    file: str | None
    """The file or folder that the settings name."""
    key: str
    """The key of the configuration under which they name it."""


@dataclass(frozen=True)
class Backend(Generic[C, E]):
    """One way to make a prior.

    Example, a backend without weights::

        BACKEND = Backend("dis", open=lambda flow, weights: DisFlow(flow.preset, flow.enlarge))
    """

    name: str
    """The name of its module."""
    open: Callable[[C, Path | None], E]
    """Makes it from the stage's settings and the file or folder of its weights, None where it needs none."""
    choose_weights: Callable[[C], WeightChoice | None] | None = None
    """The weights for some settings, None where no file is looked for; without the function it needs no weights."""
    weights: tuple[Weight, ...] = ()
    """All known sets of weights, for ``nsff weights``."""
    packages: tuple[str, ...] = ()
    """Names under which the packages that it needs, and that may be missing, are imported."""
    auto: int | None = None
    """Its rank, smallest first, among the backends with weights that ``auto`` tries; None: only by its name."""
    applies: Callable[[C], bool] = lambda config: True
    """Whether ``auto`` may choose it under some settings."""

    @property
    def learned(self) -> bool:
        """Whether it needs weights."""
        return self.choose_weights is not None

    def missing_packages(self) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


@dataclass(frozen=True)
class Need:
    """Weights that a stage would load, and who asks for them."""

    choice: WeightChoice
    asked_by: str
    """The key that asks for the backend."""
    required: bool
    """Whether that key asks for it by name, so that missing weights are an error."""
    instead: str
    """The setting that does without weights."""

    def resolve(self) -> Path | None:
        """The file or folder; None where another backend has to do.

        Raises WeightsError where the file that the settings name is missing, the backend is required and nothing is
        found, or a file is shorter or longer than published.
        """
        choice = self.choice
        if choice.file is not None:
            path = Path(choice.file).expanduser()
            if not path.exists():
                raise WeightsError(choice.key, f"no such file: {path}", "name an existing file, or null")
            return path
        for weight in choice.candidates:
            found = locate(weight)
            if found is not None:
                check_sizes(weight, found)
                return found
        if not self.required:
            return None
        first, *others = choice.candidates
        raise WeightsError(
            first.location,
            f"weights {first.name}, which {self.asked_by} asks for, are not found"
            + (f", nor are {', '.join(weight.name for weight in others)}" if others else ""),
            f"{remedy(first)}; or name a file in {choice.key}; or set {self.instead}",
        )


def discover(prior: str) -> dict[str, Any]:
    """The backends of a prior by name: ``BACKEND`` of every module in its folder of backends.

    Raises TypeError for a module whose BACKEND is missing or has another name than its file.
    """
    found = {}
    for name in module_names(f"priors/{prior}/backends"):
        module = importlib.import_module(f"nsff.priors.{prior}.backends.{name}")
        backend = getattr(module, "BACKEND", None)
        if not isinstance(backend, Backend) or backend.name != name:
            raise TypeError(f"{module.__file__}: BACKEND must be a Backend of the name {name!r}")
        found[name] = backend
    return found


Policy = Callable[[Any, Sequence[str]], Sequence[str]]
"""From the stage's settings and the names of the backends with weights that ``auto`` tries, to the names of all that
are tried, best first; ``given`` among them stands for what came with the source."""


@dataclass(frozen=True)
class Registry(Generic[C, E]):
    """The backends of one prior, and what the values of its setting stand for."""

    key: str
    """The key of the setting, as flow.backend."""
    instead: str
    """The setting that does without weights, as flow.backend: dis."""
    backends: dict[str, Backend[C, E]]
    policies: Mapping[str, Policy]
    """Policies by the value of the setting; such values are no backend's name."""
    without_weights: Callable[[C], dict[str, Any]]
    """Settings, by key, that say outright what the section means as long as no weights are found for it; none where it
    says so already, or names what it wants."""
    insists: tuple[str, ...] = ()
    """Policies under which missing weights are an error, as they are for a backend asked for by its name."""

    def order(self, config: C) -> list[str]:
        """Names of what the setting allows, best first.

        Raises ConfigError for a value that is neither a policy nor a backend.
        """
        value = getattr(config, self.key.partition(".")[2])
        if value in self.policies:
            automatic = [b for b in self.backends.values() if b.auto is not None and b.applies(config)]
            ranked = sorted(automatic, key=lambda backend: (backend.auto, backend.name))
            return list(self.policies[value](config, [backend.name for backend in ranked]))
        if value not in self.backends:
            problem = f"unknown backend {value!r}"
            raise ConfigError(self.key, problem, f"allowed: {', '.join(sorted({*self.policies, *self.backends}))}")
        return [value]

    def required(self, config: C) -> bool:
        """Whether the setting asks for backends with weights by name."""
        value = getattr(config, self.key.partition(".")[2])
        return value not in self.policies or value in self.insists

    def need(self, config: C, name: str) -> Need | None:
        """The weights of the named backend under these settings; None where it looks for no file."""
        backend = self.backends.get(name)
        choice = None if backend is None or backend.choose_weights is None else backend.choose_weights(config)
        return None if choice is None else Need(choice, self.key, self.required(config), self.instead)

    def needs(self, config: C) -> list[Need]:
        """The weights of all backends that the setting allows, best first."""
        found = (self.need(config, name) for name in self.order(config))
        return [need for need in found if need is not None]

    def choose(self, config: C, given: bool = False) -> tuple[str, Path | None] | None:
        """The name of the backend that the setting stands for, and its weights on this machine.

        ``given``: the source brings the prior, for policies that take it then; else the first backend counts that needs
        no weights, or whose weights are found. None where there is none. Raises as ``Need.resolve``.
        """
        for name in self.order(config):
            if name == GIVEN:
                if given or self.required(config):
                    return GIVEN, None
                continue
            need = self.need(config, name)
            path = need.resolve() if need is not None else None
            if need is None or path is not None:
                return name, path
        return None

    def open(self, config: C) -> E:
        """The backend that the setting stands for, opened, where nothing is given.

        Raises ConfigError where there is none or a package is missing, and as ``Need.resolve``.
        """
        chosen = self.choose(config)
        if chosen is None:
            raise ConfigError(self.key, "stands for no backend whose weights are found", f"set {self.instead}")
        return self.open_chosen(config, *chosen)

    def open_chosen(self, config: C, name: str, weights: Path | None) -> E:
        """The named backend with these weights. Raises ConfigError where a package that it needs is missing."""
        backend = self.backends[name]
        if missing := backend.missing_packages():
            problem = f"is {name}, and {', '.join(missing)} is not installed"
            raise ConfigError(self.key, problem, "install it, or choose another backend")
        return backend.open(config, weights)
