"""The rules of the source tree that no linter knows, each a function from a folder of modules to its complaints.

A complaint is one line: where, what was found, what to do. The rules are tried on bad samples in `test_rules.py` and
applied to Rain itself in `test_rain.py`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MAX_LINES = 400

#: Names of modules that say nothing about what lies in them.
VAGUE_NAMES = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

#: Modules that make objects, and so run code, from bytes that somebody sent.
UNPICKLING_MODULES = {"_pickle", "cloudpickle", "dill", "marshal", "pickle", "shelve"}

#: Calls that run code from text, or unpickle without saying so.
UNSAFE_CALLS = {"__import__", "eval", "exec", "recv_pyobj", "send_pyobj"}


def modules(root: Path) -> Iterator[Path]:
    """Every Python file under `root`, in a fixed order."""
    return iter(sorted(root.rglob("*.py")))


def too_long(root: Path) -> list[str]:
    """Modules of more than `MAX_LINES` lines."""
    lengths = ((path, len(path.read_text(encoding="utf-8").splitlines())) for path in modules(root))
    return [
        f"{path}: {length} lines, at most {MAX_LINES} are allowed; split it by ideas"
        for path, length in lengths
        if length > MAX_LINES
    ]


def vague_names(root: Path) -> list[str]:
    """Modules and packages whose name, or a word of it, says nothing about what lies in them."""
    named = sorted({path for path in root.rglob("*") if path.is_dir() or path.suffix == ".py"})
    return [
        f"{path}: '{path.stem}' says nothing about what lies in it; name it for the thing that it is"
        for path in named
        if VAGUE_NAMES.intersection(path.stem.lower().split("_"))
    ]


def repeated_class_names(root: Path) -> list[str]:
    """Names that more than one class of the tree bears."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules(root):
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    return [
        f"class {name} occurs {len(where)} times ({', '.join(where)}); one name, one thing"
        for name, where in sorted(places.items())
        if len(where) > 1
    ]


def runs_foreign_bytes(root: Path) -> list[str]:
    """Imports and calls by which bytes or text from a peer could become running code."""
    complaints = []
    for path in modules(root):
        for node in ast.walk(_parsed(path)):
            found = _unsafe_import(node) or _unsafe_call(node)
            if found:
                line = getattr(node, "lineno", 0)
                complaints.append(f"{path}:{line}: {found}; only executors and clients run what users send")
    return complaints


def undocumented(root: Path) -> list[str]:
    """Modules and packages without a docstring."""
    return [
        f"{path}: no docstring; say what the module is, what it is not, and who calls it"
        for path in modules(root)
        if not (ast.get_docstring(_parsed(path)) or "").strip()
    ]


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _unsafe_import(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    else:
        return None
    unsafe = [name for name in names if name.split(".")[0] in UNPICKLING_MODULES]
    return f"imports {', '.join(unsafe)}" if unsafe else None


def _unsafe_call(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    called = node.func
    if isinstance(called, ast.Name) and called.id in UNSAFE_CALLS:
        return f"calls {called.id}"
    if isinstance(called, ast.Attribute):
        on_builtins = isinstance(called.value, ast.Name) and called.value.id == "builtins"
        if called.attr in {"recv_pyobj", "send_pyobj"} or (on_builtins and called.attr in UNSAFE_CALLS):
            return f"calls {ast.unparse(called)}"
        if called.attr == "import_module" and not all(isinstance(argument, ast.Constant) for argument in node.args):
            return "imports a module by a computed name"
    return None
