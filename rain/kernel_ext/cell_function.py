"""The body of a cell as a Python function: inputs are its parameters, outputs the variables that it assigns."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

import click

from rain.kernel_ext.values import HANDLES

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def cell_function(
    body: str,
    *,
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    filename: str,
    namespace: Mapping[str, Any],
) -> FunctionType:
    """The function that the body is; `body` begins in line 2 of the file. Its globals are the notebook's variables.

    Without a `return` it gives the values of `outputs`; without both, that of an expression in its last line. Raises
    click.ClickException for code that cannot be, and for outputs that nothing assigns.
    """
    try:
        # The body stands below the line of the magic.
        module = ast.parse("\n" + body, filename)
        if not module.body:
            raise click.ClickException("the cell has no code below its first line")
        statements = list(module.body)
        returns = any(isinstance(node, ast.Return) for node in _own_nodes(statements))
        assigned = _assigned(_compiled(statements, name, inputs, filename))
        _end(statements, outputs, assigned={*inputs, *assigned}, returns=returns)
        code = _compiled(statements, name, inputs, filename)
    except SyntaxError as error:
        raise click.ClickException(_described(error)) from None
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        raise click.ClickException("the cell has a `yield` of its own: a task gives its results at once, by `return`")
    _check_reads(code, namespace)
    function = FunctionType(code, namespace, name)  # type: ignore[arg-type]
    function.__module__ = "__main__"
    return function


def called_from(filename: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a call gives that is made in the first line of the file: errors of the task name that as its place."""
    call = compile("function(*args, **options)", filename, "eval")
    return eval(call, {"function": function, "args": args, "options": options})


def _compiled(statements: list[ast.stmt], name: str, inputs: Sequence[str], filename: str) -> CodeType:
    """The code of the function. Raises SyntaxError."""
    is_async = any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in _own_nodes(statements))
    head = f"{'async ' if is_async else ''}def {name}({', '.join(inputs)}): pass"
    module = ast.parse(head, filename)
    definition = module.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef), "the head is one"
    definition.body = statements
    whole = compile(module, filename, "exec", dont_inherit=True)
    return next(each for each in whole.co_consts if isinstance(each, CodeType))


def _end(statements: list[ast.stmt], outputs: Sequence[str], *, assigned: set[str], returns: bool) -> None:
    """Has the function give its outputs. Raises click.ClickException where nothing assigns one."""
    missing = [name for name in outputs if name not in assigned]
    if missing and not returns:
        there = ", ".join(sorted(assigned)) or "none"
        raise click.ClickException(f"the cell assigns no variable {missing[0]!r}, which `-o` names; it has {there}")
    if missing or not outputs:
        last = statements[-1]
        if not returns and isinstance(last, ast.Expr):
            statements[-1] = ast.copy_location(ast.Return(last.value), last)
        return
    names = [ast.Name(name, ast.Load()) for name in outputs]
    value = names[0] if len(names) == 1 else ast.Tuple(list(names), ast.Load())
    end = ast.copy_location(ast.Return(value), statements[-1])
    end.lineno = end.end_lineno or end.lineno
    statements.append(ast.fix_missing_locations(end))


def _own_nodes(statements: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """What is executed by the function itself, not by those inside of it."""
    for node in statements:
        yield node
        if not isinstance(node, _SCOPES):
            yield from _own_nodes(list(ast.iter_child_nodes(node)))


def _assigned(code: CodeType) -> set[str]:
    return {*code.co_varnames, *code.co_cellvars}


def _check_reads(code: CodeType, namespace: Mapping[str, Any]) -> None:
    """Raises click.ClickException where the function reads data of a session that is no input."""
    for name in code.co_names:
        if isinstance(namespace.get(name), HANDLES):
            raise click.ClickException(f"the cell reads '{name}', which is data of a session: add `-i {name}`")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _check_reads(constant, namespace)


def _described(error: SyntaxError) -> str:
    line = error.lineno or 1
    text = (error.text or "").rstrip("\n")
    shown = f"\n    {text.strip()}" if text.strip() else ""
    if shown and error.offset:
        shown += f"\n    {' ' * max(0, error.offset - 1 - (len(text) - len(text.lstrip())))}^"
    return f"line {line} of the cell: {error.msg}{shown}\n"
