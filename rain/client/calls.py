"""Calls of Python functions as tasks: the signature, the arguments, and the specs that calls of one kind share."""

from __future__ import annotations
import __future__

import inspect
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rain.client.arrays import ObjectArray, TaskArray
from rain.client.large import as_instance, is_large_array
from rain.client.objects import DataObject, to_dataobj
from rain.client.options import OPTION_NAMES
from rain.client.places import OWN_FOLDER
from rain.client.ports import Input, Output
from rain.client.task import Task
from rain.core.errors import RainException
from rain.data.load import input_at, input_at_each

if TYPE_CHECKING:
    from rain.client.blocks import Elementwise
    from rain.client.numbers import InputItem

#: What a call may say besides the arguments of the function.
CALL_OPTIONS = OPTION_NAMES | {"output", "outputs"}

#: Exact types of values that the standard pickler handles and in which nothing can hide.
PLAIN = frozenset({int, str, float, bool, bytes, type(None)})
PICKLE_PROTOCOL = 5
#: Pickled arguments of one call; what is larger is a data object, so that it is stored once and moved by itself.
MAX_ARGUMENT_BYTES = 256 << 10

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class CallSignature:
    """The parameters of a function as its callers see them; shapes of calls that were checked once are remembered."""

    def __init__(self, function: Callable[..., Any], *, with_context: bool) -> None:
        name = getattr(function, "__name__", repr(function))
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise RainException(
                f"{name}() yields its values one by one, and a task gives its results when it ends: collect them in a "
                "list and return that, or declare outputs= and return one value for each"
            )
        full = _signature_of(function)
        parameters = list(full.parameters.values())
        if with_context:
            if not parameters or parameters[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
                raise RainException(
                    f"{name}(): a function of @remote takes the context as its first parameter, "
                    f"`def {name}(ctx, …)`; @function makes tasks of functions without"
                )
            if parameters[0].name == "self":
                raise RainException(
                    f"{name}(): a function of @remote takes the context as its first parameter, and this one is a "
                    "method: make it a function outside of the class, or use @function, which makes tasks of methods"
                )
            if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
                parameters = parameters[1:]
        self.signature = full.replace(parameters=parameters)
        self.names = [parameter.name for parameter in parameters]
        self.var_keyword = {p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD}
        #: Options that the function's own parameters hide.
        self.options = CALL_OPTIONS - {p.name for p in parameters if p.kind not in _VARIADIC}
        self._checked: set[tuple[int, tuple[str, ...]]] = set()

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raises Python's own TypeError where the function could not be called like that."""
        shape = (len(args), tuple(kwargs))
        if shape not in self._checked:
            self.signature.bind(*args, **kwargs)
            self._checked.add(shape)


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        # Such as `int` and `max`, which are written in C: what they take turns out when they are called.
        variadic = [inspect.Parameter(name, kind) for name, kind in zip(("args", "kwargs"), _VARIADIC, strict=True)]
        return inspect.Signature(variadic)


def annotations_of(function: Callable[..., Any]) -> tuple[dict[str, Input], Any]:
    """Parameters annotated with an `Input`, and the return annotation where it declares outputs (else None)."""
    found = _annotations(function)
    result = found.pop("return", None)
    declares = isinstance(result, str | Output) or (isinstance(result, int) and not isinstance(result, bool))
    if isinstance(result, tuple | list):
        declares = bool(result) and all(isinstance(each, str | Output) for each in result)
    return {name: value for name, value in found.items() if isinstance(value, Input)}, result if declares else None


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as objects; under `from __future__ import annotations` they are text that is evaluated here."""
    found: dict[str, Any] = dict(getattr(function, "__annotations__", {}))
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & __future__.annotations.compiler_flag:
        return found
    evaluated = {}
    names, local_names = getattr(function, "__globals__", {}), _names_where_declared()
    for name, text in found.items():
        probe = type("Probe", (), {"__annotations__": {name: text}})
        try:
            evaluated.update(inspect.get_annotations(probe, globals=names, locals=local_names, eval_str=True))
        # The user's text may name what is only there for type checkers.
        except Exception:
            continue
    return evaluated


def _names_where_declared() -> dict[str, Any]:
    """The local names at the place in the user's program that declares a function."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(OWN_FOLDER) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_locals


class Collected:
    """The inputs that a call's arguments turned out to have, in the order in which they were met."""

    __slots__ = ("_numbers", "constants", "inputs", "known", "n_inputs", "takes_arrays")

    def __init__(self) -> None:
        #: Large numpy arrays become inputs, too.
        self.takes_arrays = False
        #: Objects, arrays of them, columns of a task array; None where a constant of `constants` will stand.
        self.inputs: list[InputItem | Elementwise | None] = []
        #: Positions that they take: an array as many as it has objects.
        self.n_inputs = 0
        #: Place in `inputs`, and the instance that becomes a constant there.
        self.constants: list[tuple[int, Any]] = []
        self._numbers: dict[int, int] = {}
        #: Keeps what is known by its address.
        self.known: list[Any] = []

    def reference(self, value: object) -> int | tuple[int, int] | None:
        """The position of the input that a value is, of an array the first and how many; None for any other value."""
        if isinstance(value, DataObject | Task):
            return self.position_of(to_dataobj(value))
        if isinstance(value, ObjectArray | TaskArray):
            return self.positions_of(value)
        from rain.data.instance import DataInstance

        if isinstance(value, DataInstance):
            if id(value) not in self._numbers:
                self.constants.append((len(self.inputs), value))
            return self._position(value, None, 1)
        if self.takes_arrays and is_large_array(value):
            if id(value) not in self._numbers:
                self.constants.append((len(self.inputs), as_instance(value)))
            return self._position(value, None, 1)
        return None

    def fork(self) -> Collected:
        """A copy, to go on from here."""
        other = Collected()
        other.takes_arrays = self.takes_arrays
        other.inputs, other.constants, other.known = self.inputs[:], self.constants[:], self.known[:]
        other.n_inputs = self.n_inputs
        other._numbers = self._numbers.copy()
        return other

    def add_column(self, column: Elementwise) -> int:
        """The position of an input that passes element by element."""
        return self._position(column, column, 1)

    def position_of(self, obj: DataObject) -> int:
        """The position of an object among the inputs."""
        return self._position(obj, obj, 1)

    def positions_of(self, value: ObjectArray | TaskArray) -> tuple[int, int]:
        """The position of the first object of an array, and how many there are."""
        objects = value.output if isinstance(value, TaskArray) else value
        return self._position(value, objects, len(objects)), len(objects)

    def _position(self, value: Any, item: InputItem | Elementwise | None, count: int) -> int:
        position = self._numbers.get(id(value))
        if position is None:
            position = self._numbers[id(value)] = self.n_inputs
            self.n_inputs += count
            self.inputs.append(item)
            self.known.append(value)
        return position


class InputAt:
    """Stands for an input among plain arguments; pickles as what `rain.data.load` understands."""

    __slots__ = ("_position",)

    def __init__(self, position: int) -> None:
        self._position = position

    def __reduce__(self) -> Any:
        return input_at, (self._position,)


class InputRun:
    """Stands for an array of inputs, likewise; arrives as a list."""

    __slots__ = ("_run",)

    def __init__(self, run: tuple[int, int]) -> None:
        self._run = run

    def __reduce__(self) -> Any:
        return input_at_each, self._run


def plain_call(args: tuple[Any, ...]) -> bytes | None:
    """The bytes of a call with nothing but a few plain values; None for any other call."""
    if not PLAIN.issuperset(map(type, args)):
        return None
    data = pickle.dumps((args, {}), PICKLE_PROTOCOL)
    return data if len(data) <= MAX_ARGUMENT_BYTES else None


def dump_plain(args: tuple[Any, ...], kwargs: dict[str, Any], collected: Collected) -> bytes | None:
    """The bytes of a call whose arguments are plain values, objects and tasks themselves; None for any other call.

    Nothing can hide in those, so the standard pickler does, at a quarter of the cost of `rain.data.dump`.
    """
    plain: list[Any] = []
    for value in (*args, *kwargs.values()):
        if type(value) in PLAIN:
            plain.append(value)
        elif isinstance(value, Task | DataObject):
            plain.append(InputAt(collected.position_of(to_dataobj(value))))
        elif isinstance(value, InputAt):
            plain.append(value)
        elif isinstance(value, ObjectArray | TaskArray):
            plain.append(InputRun(collected.positions_of(value)))
        else:
            return None
    n_args = len(args)
    return pickle.dumps((tuple(plain[:n_args]), dict(zip(kwargs, plain[n_args:], strict=True))), PICKLE_PROTOCOL)


class Accepted:
    """An argument for a parameter with an `Input`: arrives as what that asks for, wherever the object stands."""

    __slots__ = ("_input", "_parameter", "_value")

    def __init__(self, value: Any, declared: Input, parameter: str) -> None:
        self._value = value
        self._input = declared
        self._parameter = parameter

    def __reduce__(self) -> Any:
        from rain.data.accept import accept_input

        return accept_input, (self._value, self._input.content_type, bool(self._input.load), self._parameter)


class Acceptance:
    """How the objects among the arguments of one call arrive where parameters have an `Input`."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        #: The same object, asked for in the same way, is loaded once: both places see the same value.
        self._made: dict[object, Accepted] = {}

    def accepted(self, value: Any, declared: Input, parameter: str) -> Any:
        """An argument in which objects, also inside lists and tuples, arrive as declared. Other values pass."""
        is_input = isinstance(value, DataObject | Task | ObjectArray | TaskArray | InputAt | InputRun)
        if is_input or type(value).__name__ == "DataInstance":
            key = (id(value), declared.content_type, bool(declared.load))
            return self._made.setdefault(key, Accepted(value, declared, parameter))
        if type(value) in (list, tuple):
            return type(value)(self.accepted(each, declared, parameter) for each in value)
        return value
