"""Imports go one way: docs/architecture.md has the picture."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[1] / "backend"
FILES = sorted((BACKEND / "smart_matte").rglob("*.py"))
LINK_FILES = sorted((BACKEND / "smart_matte_link").rglob("*.py"))
PLUG_IN_FILES = [
    path
    for name in ("plugin_gimp", "plugin_krita")
    for path in sorted((BACKEND.parent / name).rglob("*.py"))
]
EDITORS_OWN = {"gi", "krita", "PyQt5", "PyQt6"}

# Folder or file (the longest that matches counts) and what of smart_matte it may import.
MAY_IMPORT = {
    "smart_matte": ("",),
    "smart_matte.errors": (),
    "smart_matte.engine": ("engine", "errors"),
    "smart_matte.engine.models": ("engine.models", "errors"),
    "smart_matte.weights": ("weights", "errors"),
    "smart_matte.pictures": ("pictures", "engine.types", "errors"),
    "smart_matte.loading": ("engine", "weights", "errors"),
    "smart_matte.api": ("engine", "loading", "errors"),
    "smart_matte.install": ("install", "errors"),
    "smart_matte.service": ("service", "engine", "loading", "weights", "errors"),
    "smart_matte.evaluation": (
        "evaluation",
        "engine",
        "pictures",
        "training",
        "loading",
        "api",
        "errors",
    ),
    "smart_matte.training": ("training", "engine", "pictures", "errors"),
    "smart_matte.cli": ("",),
}
MAY_IMPORT_TORCH = (
    "smart_matte.engine.models",
    "smart_matte.engine.runtime",
    "smart_matte.engine.deeplab",
    "smart_matte.training",
    "smart_matte.weights",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(BACKEND).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield from (
                f"{node.module}.{alias.name}" if node.module == "smart_matte" else node.module
                for alias in node.names
            )


def is_within(name: str, package: str) -> bool:
    return not package or name == package or name.startswith(package + ".")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_imports_only_what_its_part_may(path: Path) -> None:
    name = module_name(path)
    allowed = MAY_IMPORT[max((part for part in MAY_IMPORT if is_within(name, part)), key=len)]
    for imported in imported_modules(path):
        if is_within(imported, "smart_matte"):
            inner = imported.removeprefix("smart_matte").removeprefix(".")
            if inner in {"", "__version__"}:  # the package itself imports nothing until asked
                continue
            assert any(is_within(inner, part) for part in allowed), f"{name} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_torch_stays_with_the_models_the_runtime_and_the_weights(path: Path) -> None:
    if not any(is_within(module_name(path), part) for part in MAY_IMPORT_TORCH):
        assert not [
            imported
            for imported in imported_modules(path)
            if imported.split(".")[0] in {"torch", "torchvision"}
        ]


@pytest.mark.parametrize("path", LINK_FILES, ids=module_name)
def test_the_link_imports_the_standard_library_and_nothing_else(path: Path) -> None:
    own = {"smart_matte_link", *sys.stdlib_module_names}
    assert {imported.split(".")[0] for imported in imported_modules(path)} <= own


@pytest.mark.parametrize("path", PLUG_IN_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_plug_in_imports_the_link_and_only_its_host_files_touch_the_editor(path: Path) -> None:
    beside = {file.stem for file in path.parent.glob("*.py")} | {path.parent.name}
    own = {"smart_matte_link", *beside, *sys.stdlib_module_names}
    if path.stem.endswith("_host"):
        own |= EDITORS_OWN
    assert {imported.split(".")[0] for imported in imported_modules(path)} <= own


def test_the_broker_loads_nothing_heavy() -> None:
    heavy = ("numpy", "torch", "cv2", "PIL", "pymatting")
    program = (
        "import sys, smart_matte.service.__main__;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    )
    assert result.stdout.decode().strip() == "[]"


def test_every_file_is_looked_at() -> None:
    assert len(FILES) > 20
    assert len(PLUG_IN_FILES) > 10
