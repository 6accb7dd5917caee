"""What no line of the backend may do: run what came from elsewhere, or listen to everybody."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[1] / "backend"
FILES = sorted(BACKEND.rglob("*.py"))

FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}
"""Reading any of their formats runs whatever the file says."""

FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.hub.download_url_to_file",
    "torch.jit.load",
    "torch.utils.model_zoo.load_url",
    "joblib.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
FORBIDDEN_METHODS = {"recv_pyobj", "send_pyobj", "recv_serialized"}
FORBIDDEN_TEXTS = ("tcp://*", "0.0.0.0", "tcp://[::]")  # noqa: S104  (that's what is looked for)
MAY_LOAD_CHECKPOINTS = {"smart_matte/weights/convert.py"}
"""The one place that opens a published checkpoint, once, with the unpickler for tensors."""


def full_name(node: ast.expr) -> str:
    """The dotted name of what is called; "" where it has none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = full_name(node.value)
        return f"{inner}.{node.attr}" if inner else node.attr
    return ""


def has_true(call: ast.Call, name: str) -> bool:
    """Whether an argument is given as anything but False."""
    return any(
        keyword.arg == name
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in call.keywords
    )


def is_literally_true(call: ast.Call, name: str) -> bool:
    return any(
        keyword.arg == name
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
        for keyword in call.keywords
    )


def faults_of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = [alias.name for alias in node.names]
    modules = names if isinstance(node, ast.Import) else [node.module or ""]
    for module in modules:
        if module.split(".")[0] in FORBIDDEN_MODULES or module.startswith("torch.hub"):
            yield f"imports {module}"
    if isinstance(node, ast.ImportFrom):
        for name in names:
            whole = f"{node.module}.{name}"
            if whole in FORBIDDEN_CALLS | {"torch.hub", "torch.load", "numpy.load"}:
                yield f"imports {whole}"


def faults_of_call(call: ast.Call, file: str) -> Iterator[str]:
    name = full_name(call.func)
    last = name.rpartition(".")[2]
    if name in FORBIDDEN_CALLS or last in FORBIDDEN_METHODS:
        yield f"calls {name}"
    if has_true(call, "shell"):
        yield f"calls {name} with a shell"
    if name in {"np.load", "numpy.load"} and has_true(call, "allow_pickle"):
        yield f"calls {name} with allow_pickle"
    if name == "torch.load" and not (
        file in MAY_LOAD_CHECKPOINTS and is_literally_true(call, "weights_only")
    ):
        yield "calls torch.load"


def faults_in(source: str, file: str = "") -> list[str]:
    """What a file does that it may not."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            faults += faults_of_import(node)
        elif isinstance(node, ast.Call):
            faults += faults_of_call(node, file)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            faults += [f"says {text}" for text in FORBIDDEN_TEXTS if text in node.value]
    return faults


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(BACKEND).as_posix())
def test_a_file_does_nothing_that_runs_or_exposes_what_it_must_not(path: Path) -> None:
    file = path.relative_to(BACKEND).as_posix()
    assert faults_in(path.read_text(encoding="utf-8"), file) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, pickle as p",
        "from pickle import loads",
        "from torch import hub",
        "import torch.hub",
        "from torch import load",
        "socket.recv_pyobj()",
        "self.socket.send_pyobj(x)",
        "torch.hub.load('a', 'b')",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=flag)",
        "eval(text)",
        "exec(text)",
        "yaml.load(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=flag)",
        "tempfile.mktemp()",
        "socket.bind('tcp://*:5555')",
        "socket.bind(f'tcp://*:{port}')",
        "host = '0.0.0.0'",
    ],
)
def test_the_search_finds_it(source: str) -> None:
    assert faults_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "network.eval()",
        "subprocess.run(words, shell=False)",
        "np.load(path)",
        "endpoint = 'tcp://127.0.0.1:*'",
        "re.compile(pattern)",
    ],
)
def test_the_search_finds_nothing_where_there_is_nothing(source: str) -> None:
    assert faults_in(source) == []


def test_a_checkpoint_is_opened_only_by_the_unpickler_for_tensors() -> None:
    file = next(iter(MAY_LOAD_CHECKPOINTS))
    assert (BACKEND / file).is_file()
    assert faults_in("torch.load(path, weights_only=True)", file) == []
    for argument in ("", ", weights_only=False", ", weights_only=flag"):
        assert faults_in(f"torch.load(path{argument})", file)


def test_every_file_is_looked_at() -> None:
    assert len(FILES) > 60
