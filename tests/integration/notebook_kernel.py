"""A kernel of a notebook, driven by Jupyter's protocol as a browser does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from jupyter_client.manager import KernelManager

LIMIT_S = 30.0
_CONTROL_CODE = re.compile(r"\x1b\[[0-9;]*m")


class CellOutput(NamedTuple):
    """What came back for a cell."""

    status: str
    #: What it printed, what its value shows as text, and its error, in this order; without colours.
    printed: str
    value: str
    error: str
    #: From the request to the answer.
    took_s: float

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(part for part in (self.printed, self.value, self.error) if part)


class NotebookKernel:
    """A running kernel and its client."""

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self.manager = manager
        self._client = client

    @property
    def pid(self) -> int:
        """Its process."""
        found: int = self.manager.provisioner.pid
        return found

    def run(self, code: str, *, ok: bool = True, interrupt_when: Callable[[], bool] | None = None) -> CellOutput:
        """Runs a cell; `ok`: whether it must succeed. It is interrupted as soon as that is so.

        Raises AssertionError where no answer comes in time. `took_s` counts from the interrupt, where there was one.
        """
        began_s = time.monotonic()
        request = self._client.execute(code, stop_on_error=False)
        if interrupt_when is not None:
            wait_until(interrupt_when, f"the moment to interrupt {code!r}")
            began_s = time.monotonic()
            self.manager.interrupt_kernel()
        reply = self._reply(request)
        took_s = time.monotonic() - began_s
        output = self._outputs(request, reply["content"]["status"], took_s)
        assert (output.status == "ok") == ok, output.text
        return output

    def complete(self, code: str) -> list[str]:
        """What Tab offers at the end of the code."""
        request = self._client.complete(code, len(code))
        found: list[str] = self._reply(request)["content"]["matches"]
        return found

    def restart(self) -> None:
        """The kernel is killed and comes again; nothing of its memory is left."""
        self.manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=LIMIT_S)

    def _reply(self, request: str) -> Any:
        while True:
            reply = self._client.get_shell_msg(timeout=LIMIT_S)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    def _outputs(self, request: str, status: str, took_s: float) -> CellOutput:
        printed, value, error = "", "", ""
        while True:
            message = self._client.get_iopub_msg(timeout=LIMIT_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return CellOutput(status, printed.strip(), value, _CONTROL_CODE.sub("", error), took_s)
            if kind == "stream":
                printed += content["text"]
            elif kind in ("execute_result", "display_data"):
                value += content["data"].get("text/plain", "")
            elif kind == "error":
                error += "\n".join(content["traceback"])


@contextmanager
def notebook_kernel() -> Iterator[NotebookKernel]:
    """A fresh Python kernel; it is killed at the end."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=LIMIT_S)
        yield NotebookKernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Returns when it holds. Raises AssertionError when it does not come."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT_S:g} s for {what}"
        time.sleep(0.02)
