"""One run of a worker: it reaches its server, its endpoints, files and processes come, it works, and all of them go."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from contextlib import AsyncExitStack

from msgspec.structs import replace

from rain.core.config import Started, StartFailed, WorkerConfig
from rain.core.errors import ProtocolViolation, RainException
from rain.core.ids import SERVER
from rain.core.resources import UNIT, Offer
from rain.deploy.logs import end_logging, start_logging
from rain.deploy.starter import Starter, hear_server, write_ready_file
from rain.protocol.hello import Refusal, Welcome, answer_decoder
from rain.protocol.transfer import Peer
from rain.protocol.worker import FromServer, from_server_decoder
from rain.wire.endpoint import Context, Frame, Frames, close_context, new_context
from rain.wire.fetcher import Fetcher
from rain.wire.gate import Gate
from rain.wire.holder import Holder, Stored
from rain.wire.keys import new_keypair
from rain.wire.shared_store import OfferedStore
from rain.worker.capacity import offer_of
from rain.worker.ending import Ending
from rain.worker.executors import Executors
from rain.worker.folders import WorkerFolders, make_folders
from rain.worker.forkserver import ForkserverProcess
from rain.worker.joining import DataAddress, Joined, join, own_address
from rain.worker.machine.machine import WorkerMachine
from rain.worker.memory import MemoryWatch
from rain.worker.shell import WorkerShell
from rain.worker.store import ObjectStore
from rain.worker.stored_tree import link_stored_tree
from rain.worker.transfers import Transfers

_log = logging.getLogger("rain.worker")

#: Who listens on these is reached by the address from which it reaches the server.
EVERY_ADDRESS = ("0.0.0.0", "::")
#: How often it is looked at how much memory the executors use.
LOOK_S = 2.0
#: Role of all who may fetch from this worker; the server named their keys.
_READER = "reader"


async def work(config: WorkerConfig, starter: Starter) -> None:
    """Runs a worker until it is told to end; nothing of it is left then.

    Raises RainException when it cannot start, or has to end although nobody told it to.
    """
    ending = Ending()
    async with AsyncExitStack() as stack:
        ending.heed_orders(config, stack)
        worker = WorkerProgram(config, starter, ending, stack)
        await ending.or_done(worker.start())
        await ending.wait()
        _log.info("ending")


class WorkerProgram:
    """A worker from its start to its end; `stack` undoes in reverse order what it does."""

    def __init__(self, config: WorkerConfig, starter: Starter, ending: Ending, stack: AsyncExitStack) -> None:
        self._config = config
        self._starter = starter
        self._ending = ending
        self._stack = stack
        self._shell: WorkerShell | None = None

    async def start(self) -> None:
        """Joins the server and has executors made. Raises RainException."""
        config, stack = self._config, self._stack
        offer = offer_of(config)
        folders = make_folders(config.workdir)
        stack.callback(folders.remove)
        forkserver = ForkserverProcess(folders)
        stack.callback(forkserver.end)
        memory = MemoryWatch(offer.memory_bytes, forkserver.pid)
        store = ObjectStore(folders.store, memory.object_bytes())
        stack.callback(store.close)
        self._watch_memory(memory, store)
        context = new_context()
        stack.callback(close_context, context)
        holder, gate, data = self._open_data_endpoint(context, folders)
        # Before anybody is told where to knock.
        await holder.self_check()
        if config.server_fd is not None:
            server = await hear_server(config.server_fd)
            config = self._config = replace(config, server_port=server.port, access=server.worker_access)
        joined = await join(config, context, offer, data, on_batch=self._server_said, on_lost=self._server_lost)
        stack.callback(joined.link.close)
        for key in joined.welcome.data_readers:
            gate.allow(key.encode(), _READER)
        fetcher = Fetcher(context, joined.keypair, folders.store, share=config.share_store, link_tree=link_stored_tree)
        stack.callback(fetcher.close)
        fetcher.learn([_server_endpoint(joined.welcome, config)])
        self._shell = shell = self._make_shell(joined, store, offer)
        transfers = Transfers(fetcher, store, shell.post)
        stack.push_async_callback(transfers.close)
        executors = Executors(forkserver, folders, shell)
        stack.push_async_callback(executors.close)
        stack.callback(shell.close)
        shell.start(executors, transfers)
        _log.info("joined as %s: cpus=%d folder=%s", joined.name, offer.cpus // UNIT, folders.root)
        joined.listen()

    def _open_data_endpoint(self, context: Context, folders: WorkerFolders) -> tuple[Holder, Gate, DataAddress]:
        gate = Gate(context)
        self._stack.callback(gate.close)
        keypair = new_keypair()
        config = self._config
        offered = OfferedStore(folders.store) if config.share_store else None
        holder = Holder(context, gate, keypair, self._source, roles=(_READER,), offered=offered)
        self._stack.callback(holder.close)
        shown = config.host if config.host not in EVERY_ADDRESS else None
        host = shown or own_address(config.server_host, config.server_port)
        self._data_port = holder.bind(config.host or host, config.port)
        return holder, gate, DataAddress(host, self._data_port, keypair.public.decode())

    def _watch_memory(self, memory: MemoryWatch, store: ObjectStore) -> None:
        async def look() -> None:
            while True:
                await asyncio.sleep(LOOK_S)
                store.limit_memory(memory.object_bytes())

        looking = asyncio.create_task(look())
        self._stack.callback(looking.cancel)

    def _source(self, session: int, obj: int) -> Stored | None:
        return None if self._shell is None else self._shell.source(session, obj)

    def _make_shell(self, joined: Joined, store: ObjectStore, offer: Offer) -> WorkerShell:
        def send(data: bytes) -> None:
            joined.link.send([data])

        return WorkerShell(
            WorkerMachine(offer, number=joined.welcome.number),
            store,
            number=joined.welcome.number,
            send=send,
            on_ready=self._ready,
            on_exit=self._ending.order,
        )

    def _ready(self) -> None:
        _log.info("ready: data port=%d", self._data_port)
        try:
            if self._config.ready_file:
                self._stack.callback(write_ready_file(self._config.ready_file).unlink, missing_ok=True)
            self._starter.tell(Started(pid=os.getpid(), port=self._data_port))
        except RainException as error:
            self._ending.order(str(error))
        # What is there now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    def _server_said(self, batch: list[Frames]) -> None:
        assert self._shell is not None, "messages are handed over once the shell listens"
        try:
            self._shell.server_said([_decode(frame) for frames in batch for frame in frames])
        except RainException as refusal:
            self._ending.order(str(refusal))
        except ProtocolViolation as violation:
            self._ending.order(f"its server contradicts itself: {violation}")

    def _server_lost(self, reason: str) -> None:
        self._ending.order(f"it lost its server: {reason}")


def _decode(frame: Frame) -> FromServer:
    try:
        return from_server_decoder.decode(frame)
    except ProtocolViolation:
        with contextlib.suppress(ProtocolViolation):
            if isinstance(refusal := answer_decoder.decode(frame), Refusal):
                raise RainException(f"its server gave it up: {refusal.reason}") from None
        raise


def _server_endpoint(welcome: Welcome, config: WorkerConfig) -> Peer:
    """Where the server's objects are; a server that listens everywhere is where we reached it."""
    return Peer(SERVER, welcome.data_host or config.server_host, welcome.data_port, welcome.data_key)


def run_worker(config: WorkerConfig) -> int:
    """The exit code of a worker's whole life: 0 when it was told to end, else 1 and the reason is logged."""
    starter = Starter(config.ready_fd)
    handler: logging.Handler | None = None
    try:
        handler = start_logging(config.logdir, f"worker-{os.getpid()}")
        asyncio.run(work(config, starter))
    except RainException as error:
        if config.logdir is not None:
            _log.error("%s", error)
        print(f"rain worker: {error}", file=sys.stderr)
        starter.tell(StartFailed(str(error)))
        return 1
    finally:
        if handler is not None:
            end_logging(handler)
    starter.tell(StartFailed("the worker was told to end before it was ready"))
    return 0
