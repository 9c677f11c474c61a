"""`@remote` and `@function`: Python functions of which each call makes a task."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, Unpack, overload

from msgspec.structs import replace

from rain.client.active import chosen_session
from rain.client.building import SessionGraph
from rain.client.calls import (
    MAX_ARGUMENT_BYTES,
    Acceptance,
    CallSignature,
    Collected,
    annotations_of,
    dump_plain,
    plain_call,
)
from rain.client.growing import add_array
from rain.client.large import argument_objects, with_large_as_instances
from rain.client.mapping import plan_calls
from rain.client.options import Settings, TaskOptions, settings_from
from rain.client.ports import Input, OutputsLike, changed_outputs, outputs_from
from rain.client.session import Session
from rain.client.task import Task, spec_from
from rain.core.content import checked_type
from rain.core.errors import RainException, RainWarning
from rain.core.kinds import Kind, PythonConfig
from rain.core.spec import OutputSpec, TaskSpec
from rain.protocol.codec import encode

if TYPE_CHECKING:
    from rain.client.arrays import TaskArray
    from rain.client.numbers import InputItem

InputsLike = Mapping[str, Input] | tuple[()]


class RemoteFunction:
    """A Python function whose calls make tasks; what `@remote` and `@function` give.

    Besides the function's own arguments a call takes `output=` or `outputs=` and what `TaskOptions` names, unless the
    function has a parameter of that name. The plain function is `__wrapped__`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        with_context: bool,
        outputs: OutputsLike,
        inputs: InputsLike,
        auto_load: bool,
        auto_encode: str | None,
        options: TaskOptions,
    ) -> None:
        if not callable(function):
            raise RainException(f"expected a function to decorate, found {function!r}")
        if isinstance(function, RemoteFunction):
            raise RainException(
                f"{function._name}() makes tasks already; the plain function is {function._name}.__wrapped__"
            )
        functools.update_wrapper(self, function)
        self._function = function
        self._name: str = getattr(function, "__name__", type(function).__name__)
        self._with_context = with_context
        self._signature = CallSignature(function, with_context=with_context)
        annotated, returned = annotations_of(function)
        self._inputs = {**annotated, **_checked_inputs(inputs, self._signature, self._name)}
        self._auto_load = auto_load
        declared = outputs if outputs is not None else (returned if returned is not None else 1)
        self._outputs = outputs_from(declared, default_encode=checked_type(auto_encode))
        self._options = dict(options)
        self._session: Session | None = options.get("session")
        self._settings = settings_from(self._options, f"{self._name}()")
        #: By which sessions know calls without options of their own.
        self._key = object()
        self._checked_counts: set[int] = set()
        #: It came with what a task refers to, or with a result.
        self._was_shipped = False

    def __call__(self, *args: Any, **kwargs: Any) -> Task:
        """Makes a task of the active session. Raises Python's own TypeError where the arguments do not fit."""
        if kwargs:
            return self._call_with_keywords(args, kwargs)
        if len(args) not in self._checked_counts:
            self._signature.check(args, kwargs)
            self._checked_counts.add(len(args))
        session = self._chosen(self._session)
        return self._make(session, self._plain_spec(session), len(self._outputs), args, kwargs)

    def map(self, *iterables: Any, **common: Any) -> TaskArray:
        """Makes one task per element: `fn.map([1, 2, 3])` calls `fn(1)`, `fn(2)` and `fn(3)`.

        `fn.map(xs, ys)` calls `fn(x, y)`. All iterables are equally long, and they end. An array of tasks (or of
        objects) passes element by element: task i reads output i. A value that is passed by its name is the same for
        all tasks, and travels once where it is large; an array there arrives as a list. The options of a call
        (`name=`, `outputs=`, `cpus=`, …) hold for all. Raises what a call raises, and RainException for iterables of
        different lengths, with nothing made.
        """
        options = {name: common.pop(name) for name in list(common) if name in self._signature.options}
        if not iterables:
            raise TypeError(f"{self._name}.map() needs an iterable with one value per task, such as map([1, 2, 3])")
        self._signature.check(iterables, common)
        session, spec, outputs = self._told(options)
        return add_array(session, spec, outputs, plan_calls(self, iterables, common))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """As a function's: `instance.method(x)` makes a task of `method(instance, x)`."""
        return self if instance is None else MethodType(self, instance)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _was_shipped=True)

    def __repr__(self) -> str:
        kind = "remote" if self._with_context else "function"
        return f"<@{kind} {self._name}{self._signature.signature}>"

    def _chosen(self, told: Session | None) -> Session:
        try:
            return chosen_session(told)
        except RainException:
            if self._was_shipped:
                raise RainException(
                    f"{self._name}() makes a task, which a program with a session does; inside of a task there is "
                    f"none: call the plain function, {self._name}.__wrapped__(…)"
                ) from None
            raise

    def _call_with_keywords(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        options = {name: kwargs.pop(name) for name in list(kwargs) if name in self._signature.options}
        self._signature.check(args, kwargs)
        session, number, outputs = self._told(options)
        return self._make(session, number, len(outputs), args, kwargs)

    def _told(self, options: dict[str, Any]) -> tuple[Session, int, tuple[OutputSpec, ...]]:
        """The session, the number of the spec in it and the outputs, for a call with these options."""
        told = options.pop("session", None)
        session = self._chosen(self._session if told is None else told)
        outputs = self._outputs
        if not options:
            return session, self._plain_spec(session), outputs
        if "output" in options and "outputs" in options:
            raise RainException(f"{self._name}(): output= and outputs= are the same thing, give one of them")
        for spelling in ("output", "outputs"):
            if spelling in options:
                outputs = changed_outputs(outputs, options.pop(spelling), f"{self._name}()")
        settings = settings_from({**self._options, **options}, f"{self._name}()") if options else self._settings
        return session, session._graph.intern(self._spec(session._graph, outputs, settings)), outputs

    def _plain_spec(self, session: Session) -> int:
        graph = session._graph
        numbers = graph.functions.numbers
        number = numbers.get(self._key)
        if number is None:
            number = numbers[self._key] = graph.intern(self._spec(graph, self._outputs, self._settings))
        return number

    def _spec(self, graph: SessionGraph, outputs: tuple[OutputSpec, ...], settings: Settings) -> TaskSpec:
        body = graph.functions.body(self._key, self._function, self._name)
        if settings.name is None:
            settings = replace(settings, name=self._name)
        config = encode(PythonConfig(self._with_context, self._loads_inputs))
        return spec_from(Kind.PYTHON, outputs, settings, config=config, body=body)

    @property
    def _loads_inputs(self) -> bool:
        """All inputs arrive as values, without anything being said in the arguments."""
        return self._auto_load and not self._inputs

    def _make(self, session: Session, spec: int, n_outputs: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        graph = session._graph
        if session._closed or graph.is_forked:
            session._check_open("added to")
        task = Task.__new__(Task)
        if not args and not kwargs:
            number, first_output = graph.add_task(spec, n_outputs, (), b"")
            task._set(session, number, first_output, ())
            graph.hold(task, n_outputs)
            return task
        data = None if kwargs or self._inputs else plain_call(args)
        if data is not None:
            number, first_output = graph.add_task(spec, n_outputs, (), data)
            task._set(session, number, first_output, ())
            graph.hold(task, n_outputs)
            return task
        data, collected = self._dumped(args, kwargs)
        if not collected.inputs:
            number, first_output = graph.add_task(spec, n_outputs, (), data)
            task._set(session, number, first_output, ())
            graph.hold(task, n_outputs)
            return task
        with graph.lock:
            graph.check_args(len(data))
            graph.check_room(1, n_outputs + len(collected.constants))
            inputs = _input_objects(session, collected)
            number, first_output = graph.add_task(spec, n_outputs, inputs, data)
        task._set(session, number, first_output, inputs)
        graph.hold(task, n_outputs)
        return task

    def _dumped(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], start: Collected | None = None
    ) -> tuple[bytes, Collected]:
        """The pickled arguments and the inputs in them, after those that are known from the start."""
        args, kwargs = self._accepted(args, kwargs)
        data, collected = self._dump(args, kwargs, start)
        if len(data) > MAX_ARGUMENT_BYTES:
            if self._with_context:
                raise self._too_large(args, kwargs, len(data))
            args, kwargs = with_large_as_instances(args, kwargs)
            data, collected = self._dump(args, kwargs, start)
            if len(data) > MAX_ARGUMENT_BYTES and self._loads_inputs:
                # A large one contains data objects, so that it cannot be one itself: then the arrays in it are.
                data, collected = self._dump(args, kwargs, start, takes_arrays=True)
        return data, collected

    def _dump(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        start: Collected | None = None,
        *,
        takes_arrays: bool = False,
    ) -> tuple[bytes, Collected]:
        collected = Collected() if start is None else start.fork()
        plain = dump_plain(args, kwargs, collected)
        if plain is not None:
            return plain, collected
        from rain.data.dump import dump_call

        collected = Collected() if start is None else start.fork()
        collected.takes_arrays = takes_arrays
        names = self._signature.names
        return dump_call(args, kwargs, collected.reference, function=self._name, parameters=names), collected

    def _accepted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, in which objects for declared parameters arrive as these ask for."""
        if not self._inputs:
            return args, kwargs
        bound = self._signature.signature.bind(*args, **kwargs)
        default = Input(load=True) if self._auto_load else None
        accepted = Acceptance().accepted
        for name, value in bound.arguments.items():
            declared = self._inputs.get(name, default)
            if declared is None:
                continue
            if declared.load is None and self._auto_load:
                declared = Input(load=True, content_type=declared.content_type)
            if isinstance(value, dict) and name not in kwargs and name in self._signature.var_keyword:
                bound.arguments[name] = {key: accepted(each, declared, key) for key, each in value.items()}
            else:
                bound.arguments[name] = accepted(value, declared, name)
        return bound.args, bound.kwargs

    def _too_large(self, args: tuple[Any, ...], kwargs: dict[str, Any], total: int) -> RainWarning:
        """The refusal, which names the largest argument."""
        names = [*self._signature.names, *(f"number {i + 1}" for i in range(len(args)))]
        sizes = {name: self._size_alone(value) for name, value in [*zip(names, args, strict=False), *kwargs.items()]}
        name = max(sizes, key=lambda each: sizes[each])
        size = sizes[name]
        if size <= MAX_ARGUMENT_BYTES:
            name, size = f"{self._name}'s arguments", total
        return RainWarning(
            f"Pickled object {name} length {size} is over {MAX_ARGUMENT_BYTES} bytes: "
            'make it a data object, blob(…, encode="pickle")'
        )

    def _size_alone(self, value: Any) -> int:
        return len(self._dump((value,), {})[0])


def _input_objects(session: Session, collected: Collected) -> list[InputItem]:
    """The inputs, instances among them made constants of the session. Raises RainException with nothing changed."""
    inputs: list[Any] = collected.inputs
    session._graph.check_inputs(item for item in inputs if item is not None)
    made = argument_objects(session, [instance for _, instance in collected.constants])
    for (position, _), obj in zip(collected.constants, made, strict=True):
        inputs[position] = obj
    return inputs


def _checked_inputs(inputs: InputsLike, signature: CallSignature, name: str) -> dict[str, Input]:
    if not inputs:
        return {}
    if not isinstance(inputs, Mapping):
        raise RainException(
            f'{name}(): inputs: expected a dict such as {{"param": Input(load=True)}}, found {inputs!r}'
        )
    for parameter, declared in inputs.items():
        if parameter not in signature.names:
            raise RainException(
                f"{name}(): inputs: there is no parameter '{parameter}'; there are {', '.join(signature.names)}"
            )
        if not isinstance(declared, Input):
            raise RainException(f"{name}(): inputs: expected an Input for '{parameter}', found {declared!r}")
    return dict(inputs)


@overload
def remote(function: Callable[..., Any], /) -> RemoteFunction: ...
@overload
def remote(
    *,
    outputs: OutputsLike = None,
    inputs: InputsLike = (),
    auto_load: bool | None = None,
    auto_encode: str | None = None,
    **options: Unpack[TaskOptions],
) -> Callable[[Callable[..., Any]], RemoteFunction]: ...
def remote(
    function: Callable[..., Any] | None = None,
    /,
    *,
    outputs: OutputsLike = None,
    inputs: InputsLike = (),
    auto_load: bool | None = None,
    auto_encode: str | None = None,
    **options: Unpack[TaskOptions],
) -> RemoteFunction | Callable[[Callable[..., Any]], RemoteFunction]:
    """Makes a function of which each call is a task; its first parameter is the context.

    Data objects and tasks anywhere in the arguments arrive as `DataInstance`s in the same places. `outputs`: a number,
    labels or `Output`s, also as the return annotation. `inputs`: what parameters ask of their objects, also as their
    annotations. `auto_load`: all objects arrive as values. `auto_encode`: results are encoded as this type.
    """

    def decorate(function: Callable[..., Any]) -> RemoteFunction:
        return RemoteFunction(
            function,
            with_context=True,
            outputs=outputs,
            inputs=inputs,
            auto_load=bool(auto_load),
            auto_encode=auto_encode,
            options=options,
        )

    return decorate if function is None else decorate(function)


@overload
def function(function: Callable[..., Any], /) -> RemoteFunction: ...
@overload
def function(
    *, outputs: OutputsLike = None, inputs: InputsLike = (), **options: Unpack[TaskOptions]
) -> Callable[[Callable[..., Any]], RemoteFunction]: ...
def function(
    function: Callable[..., Any] | None = None,
    /,
    *,
    outputs: OutputsLike = None,
    inputs: InputsLike = (),
    **options: Unpack[TaskOptions],
) -> RemoteFunction | Callable[[Callable[..., Any]], RemoteFunction]:
    """Makes an everyday function of which each call is a task: no context, values in, any value out."""

    def decorate(function: Callable[..., Any]) -> RemoteFunction:
        return RemoteFunction(
            function,
            with_context=False,
            outputs=outputs,
            inputs=inputs,
            auto_load=True,
            auto_encode="cloudpickle",
            options=options,
        )

    return decorate if function is None else decorate(function)
