"""Runs external programs, each in a fresh folder: inputs are links into the store, outputs are renamed into it."""

from __future__ import annotations

import errno
import os
import signal

import msgspec

from rain.core.content import DIRECTORY
from rain.core.errors import RainException
from rain.core.kinds import ExecuteArgs, InputWord, OutputWord
from rain.core.spec import OutputSpec, TaskSpec
from rain.deploy.process_tree import kill_new_children, own_children
from rain.executor.attempt_failed import AttemptFailed, NoRoom, is_full, is_no_room
from rain.executor.program_files import ProgramFolder
from rain.executor.runner import Notes, Surroundings
from rain.executor.streams import Streams
from rain.protocol.executor import Produced, RunTask

_args_decoder = msgspec.msgpack.Decoder(ExecuteArgs)

#: Python ignores some, and a Python task that ran before may have ignored others; a program expects none of that.
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

#: How much of a command, and of its standard error, stands in a message; `Failure.stderr` has more of the latter.
_MAX_COMMAND = 80
_MAX_QUOTED = 400
#: What helps where a status is an answer: `grep` without a match ends so.
_SILENT = (
    " and said nothing on its standard error; if that is no error of this program, as of a grep that finds nothing, "
    "append `|| true` to its line, with shell=True"
)
#: How much of the PATH.
_MAX_FOLDERS = 3


class ProgramRunner:
    """Runs the tasks of one spec of kind EXECUTE."""

    slow = True

    def __init__(self, session: int, spec: TaskSpec, surroundings: Surroundings) -> None:
        self._session = session
        self._spec = spec
        self._surroundings = surroundings
        self.notes: Notes | None = None

    def run(self, task: RunTask) -> tuple[Produced, ...]:
        """The outputs, once the program ended with status 0. Raises AttemptFailed."""
        args = _args_decoder.decode(task.args)
        folder = ProgramFolder(f"{self._surroundings.scratch}/program", task.inputs)
        streams = Streams(self._surroundings.output, args.stdout, args.stderr)
        try:
            return self._run_in(folder, args, task, streams)
        except RainException as error:
            raise (NoRoom if is_no_room(error.__cause__) else AttemptFailed)(str(error)) from None
        finally:
            self._surroundings.folder.enter()
            folder.clear()
            streams.clear()

    def _run_in(
        self, folder: ProgramFolder, args: ExecuteArgs, task: RunTask, streams: Streams
    ) -> tuple[Produced, ...]:
        outputs = self._spec.outputs
        names = [
            streams.outputs.get(number) or folder.output_name(output, number) for number, output in enumerate(outputs)
        ]
        words = [_spelled(word, folder, names) for word in args.words]
        for word in args.files:
            folder.place(word)
        folder.prepare_outputs(names)
        if args.shell:
            words = ["sh", "-c", " ".join(words)]
        shown = words[-1] if args.shell else words[0]
        if len(shown) > _MAX_COMMAND:
            shown = shown[: _MAX_COMMAND - 1] + "…"
        status = self._wait_for(words, folder, args, task.gpus, shown=shown, streams=streams)
        if status:
            stdout, stderr = streams.of_outputs()
            self.notes = Notes(stdout=stdout, stderr=stderr)
        # Whatever became of the program: others read the same files.
        complaint = folder.remove_changed_inputs(shown)
        _check_status(shown, status, streams, self._surroundings.scratch)
        if complaint is not None:
            raise AttemptFailed(complaint)
        return tuple(
            self._collect(folder, output, task.first_output + number, names[number])
            for number, output in enumerate(outputs)
        )

    def _collect(self, folder: ProgramFolder, output: OutputSpec, obj: int, name: str) -> Produced:
        store = self._surroundings.store
        if name.startswith("/"):
            if output.is_directory or output.content_type == DIRECTORY:
                raise AttemptFailed(f"output {output.label!r} is what the program prints, which is no directory.")
            return store.move_file(self._session, obj, name, output.content_type)
        return folder.collect(store, self._session, obj, output, name)

    def _wait_for(
        self,
        words: list[str],
        folder: ProgramFolder,
        args: ExecuteArgs,
        gpus: tuple[int, ...] | None,
        *,
        shown: str,
        streams: Streams,
    ) -> int:
        """Runs the program to its end, and ends what it leaves; returns what `waitpid` says."""
        _undo_python_tasks()
        env = self._environment(folder, gpus, dict(args.env))
        stdin = folder.stdin(args.stdin)
        # `posix_spawn` starts a program faster than a fork does, but cannot change folders.
        os.chdir(folder.path)
        executable = _found(words[0], env)
        before = own_children()
        try:
            process = os.posix_spawn(
                executable,
                words,
                env,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0), *streams.file_actions()],
                setpgroup=0,
                setsigdef=_DEFAULT_SIGNALS,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise AttemptFailed(f"program '{shown}' cannot be started: {reason}{_hint(error)}") from None
        _, status = os.waitpid(process, 0)
        kill_new_children(before)
        return status

    def _environment(
        self, folder: ProgramFolder, gpus: tuple[int, ...] | None, added: dict[str, str]
    ) -> dict[str, str]:
        # Not `os.environ`: Python tasks that ran here before may have changed it.
        environment = self._surroundings.shares.environment(self._spec.request, gpus)
        return {**environment, "PWD": folder.path, **added}


def _hint(error: OSError | ValueError) -> str:
    """What may help against an error of starting a program."""
    if isinstance(error, FileNotFoundError):
        return "; is the interpreter in its first line there?"
    if isinstance(error, OSError) and error.errno == errno.E2BIG:
        return (
            "; Linux takes 128 KiB per word and variable, and about 2 MiB in all: give the program a file or its "
            "standard input instead, such as stdin=blob(…)"
        )
    return ""


def _undo_python_tasks() -> None:
    """What a Python task that ran here before may have left, and a program would inherit or we rely on."""
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        # Ignored, it would have the kernel throw the program's status away.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _spelled(word: object, folder: ProgramFolder, names: list[str]) -> str:
    if isinstance(word, InputWord):
        return folder.place(word)
    if isinstance(word, OutputWord):
        return names[word.output]
    return word.text  # type: ignore[attr-defined,no-any-return]


def _found(program: str, env: dict[str, str]) -> str:
    """The file to execute. Raises AttemptFailed; the text names the program."""
    if not program:
        raise AttemptFailed("the name of the program is empty.")
    # `shutil.which` takes nearly twice as long, which is felt where programs are short.
    search = env.get("PATH", os.defpath)
    for folder in [""] if "/" in program else search.split(os.pathsep) if search else []:
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    if "/" not in program:
        raise AttemptFailed(
            f"program '{program}' was not found on the worker's PATH ({_brief(env.get('PATH', os.defpath))}); "
            "is it installed there, and spelled like this?"
        )
    if os.path.isfile(program):
        raise AttemptFailed(
            f"program '{program}' is not executable; chmod +x makes it so, or run it by 'sh' or 'python'."
        )
    raise AttemptFailed(f"program '{program}' was not found on the worker; relative paths start at the task's folder.")


def _brief(path: str) -> str:
    """The first folders of a PATH, and how many there are besides."""
    folders = list(dict.fromkeys(path.split(":")))
    more = len(folders) - _MAX_FOLDERS
    return ":".join(folders[:_MAX_FOLDERS]) + (f" and {more} more" if more > 0 else "")


def _check_status(shown: str, status: int, streams: Streams, scratch: str) -> None:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return
    how = f"exited with status {code}" if code > 0 else f"was killed by signal {-code} ({_signal_name(-code)})"
    stderr = streams.error_tail()
    quoted = stderr.strip()
    if len(quoted) > _MAX_QUOTED:
        # All of it is shown below; what failed stands at the end.
        quoted = quoted.rpartition("\n")[2][-_MAX_QUOTED:]
    if is_full(scratch):
        # Then the program could not even write down what it complains of.
        how += " (there is no space left on the disk of the worker's folder)"
        raise NoRoom(f"program '{shown}' {how}" + (f": {quoted}" if quoted else ""), stderr=stderr)
    if code == 1 and not quoted:
        how += _SILENT
    raise AttemptFailed(f"program '{shown}' {how}" + (f": {quoted}" if quoted else ""), stderr=stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"
