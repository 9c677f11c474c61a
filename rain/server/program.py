"""One run of a server: its endpoints and files come, it serves, and all of them go again, in reverse order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

from rain.core.config import ServerConfig, Started
from rain.core.errors import RainException
from rain.core.version import VERSION
from rain.deploy.logs import end_logging, own_log, start_logging
from rain.deploy.starter import Starter, follow_lifeline, write_ready_file
from rain.protocol.hello import Versions, Welcome
from rain.server.handshake import own_versions
from rain.server.http.listen import listen_http
from rain.server.http.status import ServerStatus, server_status
from rain.server.identity import Identity
from rain.server.machine.machine import ServerMachine
from rain.server.occupant import who_listens
from rain.server.shell import ServerShell
from rain.server.stash import Stash
from rain.server.workdir import make_workdir, remove_workdir
from rain.wire.access import ROLES, Role, runtime_directory
from rain.wire.endpoint import CONTROL, close_context, new_context
from rain.wire.gate import Gate
from rain.wire.holder import Holder
from rain.wire.listen import near_address, numeric_address
from rain.wire.peers import Peers, Received
from rain.wire.self_check import check_gate
from rain.wire.shared_store import OfferedStore

_log = logging.getLogger("rain.server")

#: Time passes for the machine this often.
TICK_S = 0.25
#: Listening here means every address of the machine: peers use the one by which they reached the control endpoint.
_EVERY_ADDRESS = ("0.0.0.0", "::")


async def serve(config: ServerConfig, starter: Starter) -> None:
    """Run a server until it is told to end; nothing of it is left then. Raises RainException when it cannot start."""
    async with AsyncExitStack() as stack:
        server = Server(config, stack)
        starter.tell(await server.start())
        await server.stopped.wait()
        _log.info("ending: nothing is accepted any more")


class Server:
    """A server from its start to its end; `stack` undoes in reverse order what it does."""

    def __init__(self, config: ServerConfig, stack: AsyncExitStack) -> None:
        self._config = config
        self._stack = stack
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        #: Set when the server is to end.
        self.stopped = asyncio.Event()
        # First to come and last to go: an order to end, or another one, must not cut the cleaning up short.
        self._heed_orders()
        self._identity = Identity.new()
        workdir = make_workdir(config.workdir)
        stack.callback(remove_workdir, workdir)
        self._stash = Stash(workdir)
        self._context = new_context()
        stack.callback(close_context, self._context)
        self._gate = Gate(self._context)
        stack.callback(self._gate.close)
        self._identity.allow(self._gate)
        self._control = Peers(
            self._context,
            self._gate,
            self._identity.server,
            domain="control",
            limits=CONTROL,
            on_batch=self._received,
            on_gone=self._gone,
            roles=ROLES,
        )
        stack.callback(self._control.close)
        self._holder = Holder(
            self._context,
            self._gate,
            self._identity.server,
            self._stash.source,
            roles=("client", "worker"),
            offered=OfferedStore(workdir) if config.share_store else None,
        )
        stack.callback(self._holder.close)

    async def start(self) -> Started:
        """Listen, prove that strangers are refused, and write the access files. Raises RainException."""
        # First the port that was asked for: what is wrong with it, or with the address, is told by its name.
        self._bind_control()
        data_port = self._holder.bind(self._config.host, 0)
        self._http = listen_http(self._config.http_host, self._config.http_port)
        self._stack.callback(self._http.close)
        self._stack.callback(end_logging, start_logging(self._config.logdir, f"server-{self._control.port}"))
        self._machine = self._make_machine()
        # Before anything is awaited: until then nothing of what peers say is read.
        self._shell = self._make_shell(data_port)
        self._stack.callback(self._shell.stop_workers)
        await self._check_gate(data_port)
        access = self._write_access()
        self._start_http(access["client"])
        self._tick()
        self._stack.callback(self._end_ticking)
        if self._config.ready_file is not None:
            self._stack.callback(write_ready_file(self._config.ready_file).unlink, missing_ok=True)
        # What is there now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        _log.info("ready: control=%s:%d http=%s", self._control.address, self._control.port, self._http_address())
        return Started(
            pid=os.getpid(),
            port=self._control.port,
            http_port=self._http.getsockname()[1],
            client_access=str(access["client"]),
            worker_access=str(access["worker"]),
        )

    def _received(self, batch: list[Received]) -> None:
        self._shell.batch(batch)

    def _gone(self, peer: bytes) -> None:
        self._shell.gone(peer)

    def _bind_control(self) -> None:
        try:
            self._control.bind(self._config.host, self._config.port)
        except RainException as error:
            occupant = who_listens(self._config.port) if self._config.port else ""
            if not occupant:
                raise
            raise RainException(f"{error} The port is held by {occupant}.") from None

    async def _check_gate(self, data_port: int) -> None:
        await asyncio.gather(
            self._control.self_check(),
            check_gate(
                self._context,
                self._gate,
                address=near_address(self._control.address),
                port=data_port,
                server_key=self._identity.server.public,
                domain="data",
            ),
        )

    def _make_machine(self) -> ServerMachine:
        return ServerMachine(
            secrets.randbits(63),
            version=VERSION,
            host=socket.gethostname(),
            pid=os.getpid(),
            log=own_log(),
            epoch_offset_s=time.time() - self._started_at,
            idle_end_s=self._config.idle_end_s,
        )

    def _make_shell(self, data_port: int) -> ServerShell:
        address = numeric_address(self._config.host)
        welcome = Welcome(
            number=0,
            cluster=self._identity.cluster,
            versions=Versions("", "", ""),
            data_readers=self._identity.data_readers(),
            data_host="" if address in _EVERY_ADDRESS else address,
            data_port=data_port,
            data_key=self._identity.server.public.decode(),
        )
        return ServerShell(
            self._machine,
            self._stash,
            self._control,
            clock=self._loop.time,
            welcome=welcome,
            versions=own_versions,
            on_terminate=self.stopped.set,
        )

    def _write_access(self) -> dict[Role, Path]:
        directory = runtime_directory()
        self._stack.callback(self._identity.remove_files, directory, self._control.port)
        return self._identity.write_files(
            directory,
            host=near_address(self._control.address),
            port=self._control.port,
            http_address=self._http_address(),
            kind=self._config.kind,
        )

    def _http_address(self) -> str:
        return f"{near_address(self._config.http_host)}:{self._http.getsockname()[1]}"

    def _start_http(self, token_file: Path) -> None:
        # Loaded only now: it takes as long to import as everything else together.
        from rain.server.http.app import Facts, allowed_names, start_http

        facts = Facts(
            status=self._status,
            token=self._identity.token,
            token_file=str(token_file),
            names=allowed_names(self._config.http_host),
        )
        server = start_http(self._http, facts)
        self._stack.push_async_callback(server.close_all_connections)
        self._stack.callback(server.stop)

    def _status(self) -> ServerStatus:
        return server_status(
            self._machine.server_info(),
            pid=os.getpid(),
            address=f"{self._control.address}:{self._control.port}",
            uptime_s=self._loop.time() - self._started_at,
            stash_bytes=self._stash.used(),
            faults=self._shell.faults.count,
        )

    def _heed_orders(self) -> None:
        # `nohup` asks that the end of the terminal be ignored.
        hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        for number in (signal.SIGTERM, signal.SIGINT, *hangup):
            self._loop.add_signal_handler(number, self.stopped.set)
            self._stack.callback(self._loop.remove_signal_handler, number)
        if self._config.lifeline_fd is not None:
            follow_lifeline(self._loop, self._config.lifeline_fd, self.stopped.set)

    def _tick(self) -> None:
        self._shell.tick()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _end_ticking(self) -> None:
        self._timer.cancel()
