"""The stages know a model by its interface: nothing outside nsff/models knows what is in one of its folders."""

import ast
from pathlib import Path

import pytest

from nsff import models
from nsff.errors import ConfigError
from nsff.models.base import SceneModel
from nsff.models.registry import kinds, model_class, options_class

IN_THE_LIBRARY = sorted(path.parent.name for path in Path(models.__file__).parent.glob("*/scene_model.py"))


def imported(path: Path) -> set[str]:
    """All modules that a file imports, at whatever depth, with the names that it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def test_nothing_outside_models_imports_a_kind_of_model(repo):
    folders = [path.parent.name for path in (repo / "nsff" / "models").glob("*/scene_model.py")]
    assert "ray_fields" in folders
    for folder in folders:
        room = f"nsff.models.{folder}"
        for path in [*(repo / "nsff").rglob("*.py"), *(repo / "scripts").glob("*.py")]:
            inside = path.is_relative_to(repo / "nsff" / "models" / folder)
            known = [name for name in imported(path) if name == room or name.startswith(f"{room}.")]
            # Whether and how this machine draws Gaussians is a question about the machine, not about a model.
            drawing = ("nsff.models.gaussians.rasterisers", "nsff.models.gaussians.splats")
            known = [name for name in known if not name.startswith(drawing)]
            assert inside or not known, f"{path}: {known}"


def test_models_import_nothing_that_uses_them(repo):
    for path in (repo / "nsff" / "models").rglob("*.py"):
        rooms = {name.split(".")[1] for name in imported(path) if name.startswith("nsff.")}
        assert not rooms & {"training", "rendering", "decompose", "metrics", "report", "commands"}, path


@pytest.mark.parametrize("kind", IN_THE_LIBRARY)
def test_every_kind_has_its_two_files(kind):
    assert kind in kinds()
    model = model_class(kind)
    assert issubclass(model, SceneModel)
    assert not model.__abstractmethods__
    assert model.kind == kind
    options_class(kind)()


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="ray_fields"):
        model_class("rayfields")
