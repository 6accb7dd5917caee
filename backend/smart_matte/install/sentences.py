"""The sentences in the sources that can reach a user in an editor, as templates for translators."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SPEAKERS = {
    "Fallback": 2,
    "LinkError": 1,
    "Loss": 1,
    "OptionError": 0,
    "PictureError": 0,
    "SelectionError": 0,
    "State": 2,
    "WeightsError": 0,
    "_not_private": 0,
    "_start_error": 0,
    "make_error": 1,
}
"""What is called by these names gets sentences for the user, from this argument on."""

SPEAKING_FUNCTIONS = {"_note", "_problem_of", "refusal", "sentence"}
"""Functions and properties that return sentences, or parts of some, for the user."""

SOURCES = (
    "smart_matte_link",
    "smart_matte/engine",
    "smart_matte/service",
    "smart_matte/loading.py",
    "smart_matte/weights/manifest.py",
    "smart_matte/weights/store.py",
)
"""What runs for an editor. What breaks the protocol (``refuse``) stays English: it is a fault that
gets reported, not something that a user can act on."""

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "The trimap has no {name}: paint some of the {name} {colour} and try again.": (
        "The trimap has no foreground: paint some of the foreground white and try again.",
        "The trimap has no background: paint some of the background black and try again.",
    ),
    "There is no {what} “{value}”; choose one of: {choices}.": (
        "There is no matting model “{value}”; choose one of: {choices}.",
        "There is no segmenter “{value}”; choose one of: {choices}.",
        "There is no trimap “{value}”; choose one of: {choices}.",
    ),
}
"""Templates whose words vary, written out, because other languages inflect what surrounds them."""

Scope = Mapping[str, list[ast.expr]]


def find_sentences(backend: Path) -> dict[str, list[tuple[str, int]]]:
    """
    Read the sources.

    Args:
        backend: folder of the packages.

    Returns:
        Templates with {named} fields, and where each stands: file, relative, and line.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    first_of: dict[str, str] = {}  # by shape: the same words may stand around fields of other names
    for source in SOURCES:
        path = backend / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = file.relative_to(backend).as_posix()
            for template, line in sentences_in(file.read_text(encoding="utf-8")):
                for variant in VARIANTS.get(template, (template,)):
                    key = first_of.setdefault(re.sub(r"{\w+}", "{}", variant), variant)
                    found.setdefault(key, []).append((name, line))
    return found


def sentences_in(code: str) -> Iterator[tuple[str, int]]:
    """The templates in one source file, with their lines."""
    module = ast.parse(code)
    scope = _assignments(module)
    for node in ast.walk(module):
        given: list[ast.expr] = []
        if isinstance(node, ast.Call) and _name_of(node.func) in SPEAKERS:
            given = node.args[SPEAKERS[_name_of(node.func)] :]
            given += [keyword.value for keyword in node.keywords]
        elif isinstance(node, ast.FunctionDef) and node.name in SPEAKING_FUNCTIONS:
            given = [
                inner.value
                for inner in ast.walk(node)
                if isinstance(inner, ast.Return) and inner.value is not None
            ]
        for argument in given:
            for text in _texts(argument, scope):
                template = template_of(text)
                if _is_sentence(template):
                    yield template, text.lineno


def template_of(text: ast.expr) -> str:
    """A string or f-string, its values as {named} fields."""
    if isinstance(text, ast.Constant):
        return str(text.value)
    if not isinstance(text, ast.JoinedStr):
        raise TypeError(ast.dump(text))
    template = ""
    fields: dict[str, str] = {}  # what stands in the field, by the field's name
    for part in text.values:
        if isinstance(part, ast.FormattedValue):
            name, meaning = _field_name(part.value), ast.dump(part.value)
            if template.endswith(f"{{{name}}}"):
                continue  # a word in two parts: its first letter, raised, and the rest
            while fields.setdefault(name, meaning) != meaning:
                name += "_"
            template += f"{{{name}}}"
        elif isinstance(part, ast.Constant):
            template += str(part.value)
    return template


def _texts(node: ast.expr, scope: Scope, depth: int = 3) -> Iterator[ast.expr]:
    """The strings that an expression can be, as far as its module tells."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    elif isinstance(node, ast.JoinedStr):
        yield node
        for part in ast.walk(node):
            if isinstance(part, ast.Name):  # put in, and perhaps a part of a sentence itself
                yield from _texts(part, scope, depth)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body, scope, depth)
        yield from _texts(node.orelse, scope, depth)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _texts(value, scope, depth)
    elif isinstance(node, ast.Name) and depth:
        for assigned in scope.get(node.id, ()):
            yield from _texts(assigned, scope, depth - 1)


def _assignments(module: ast.Module) -> Scope:
    """What each plain name is set to, anywhere in the module."""
    scope: dict[str, list[ast.expr]] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
                for name, value in pairs:
                    if isinstance(name, ast.Name):
                        scope.setdefault(name.id, []).append(value)
    return scope


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _field_name(value: ast.expr) -> str:
    """A name for what an f-string puts in: ``error.strerror`` is strerror."""
    if isinstance(value, ast.Name):
        return value.id.strip("_").lower()
    if isinstance(value, ast.Attribute):
        return value.attr.strip("_").lower()
    if isinstance(value, ast.Call) and value.args:  # ", ".join(choices), decimal(needed_bytes)
        return _field_name(value.args[0])
    names = (inner for inner in ast.walk(value) if isinstance(inner, ast.Name))
    return _field_name(next(names, ast.Name("value")))


def _is_sentence(text: str) -> bool:
    """Whether it has words, unlike names, codes and values that stand alone."""
    return bool(re.search(r"[a-z']\s+[a-z{“(]", text, re.IGNORECASE))
