"""The status page's content: names and whole units, as a person reads them."""

from __future__ import annotations

from rain.core.resources import UNIT, Offer, Request
from rain.protocol.queries import ServerInfo
from rain.protocol.shown import Impossible, SessionInfo, WorkerInfo
from rain.server.http.status import server_status


def test_status_tells_workers_sessions_and_counts_of_tasks():
    offer = Offer(cpus=4 * UNIT, gpus=UNIT // 2, memory_bytes=7, named=(("license", 2 * UNIT),))
    worker = WorkerInfo(2, "there", 8, "10.0.0.1:99", offer, 3, 4, tasks=((1, 2),), suspect=True)
    sessions = (
        SessionInfo(1, "mine", "open", {"finished": 2, "running": 1}, 5),
        SessionInfo(4, None, "failed", {"finished": 1, "failed": 1}, 6),
    )
    info = ServerInfo(0, "0.1.0", (worker,), sessions)
    status = server_status(info, pid=1, address="h:1", uptime_s=1.23456, stash_bytes=(10, 20), faults=0)
    [shown] = status.workers
    assert (shown.worker, shown.address, shown.tasks, shown.objects, shown.suspect) == ("w2", "10.0.0.1:99", 3, 4, True)
    assert (shown.cpus, shown.gpus, shown.memory_bytes, shown.resources) == (4.0, 0.5, 7, {"license": 2.0})
    assert [(session.session, session.name, session.state) for session in status.sessions] == [
        ("s1", "mine", "open"),
        ("s4", None, "failed"),
    ]
    assert status.tasks == {"finished": 3, "running": 1, "failed": 1}
    assert (status.uptime_s, status.stash_memory_bytes, status.stash_disk_bytes) == (1.235, 10, 20)


def test_a_server_with_nothing_to_do_says_so():
    status = server_status(ServerInfo(0, "0.1.0", (), ()), pid=1, address="", uptime_s=0, stash_bytes=(0, 0), faults=0)
    assert (status.workers, status.sessions, status.tasks) == ([], [], {})


def test_status_tells_which_tasks_no_worker_can_run():
    needed = Request(cpus=64 * UNIT, named=(("license", UNIT),))
    info = ServerInfo(0, "0.1.0", (), (), impossible=(Impossible(3, 17, 5, needed),))
    [shown] = server_status(info, pid=1, address="", uptime_s=0, stash_bytes=(0, 0), faults=0).impossible
    assert (shown.session, shown.first_task, shown.tasks) == ("s3", "s3.t17", 5)
    assert (shown.cpus, shown.gpus, shown.resources) == (64.0, 0.0, {"license": 1.0})
