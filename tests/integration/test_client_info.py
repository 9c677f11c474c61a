"""What users attach, what tasks say, the gpus they get, and sessions that outlive their client, end to end."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import rain
from rain.client import Client, RainException, RainWarning, Session, TaskException, blob, remote, tasks
from rain.client.local import LocalRain
from rain.deploy.local import LocalCluster

LIMIT_S = 20.0


@remote()
def annotate(ctx: Any, data: Any) -> Any:
    print("working on", data.spec.user["source"])
    ctx.debug("{} bytes", len(data))
    ctx.info.user["step"] = ctx.spec.user["step"] + 1
    data.info.user["seen_by"] = ctx.spec.id
    return data


@remote()
def look(ctx: Any, data: Any) -> Any:
    made = ctx.blob("made")
    made.info.user["input"] = data.info.user
    return made


def test_what_is_attached_goes_along_with_tasks_and_objects(session: Session) -> None:
    source = blob("abc")
    source.spec.user["source"] = "lab 3"
    first = annotate(source)
    first.spec.user["step"] = 1
    first.keep_outputs()
    second = look(first)
    second.keep_outputs()
    session.submit()
    session.wait_all(timeout=LIMIT_S)
    assert first.info is None
    session.update([first, first.output, second.output])
    assert first.info is not None
    assert (first.info.user, first.info.debug) == ({"step": 2}, "3 bytes")
    assert (first.stdout, first.stderr) == ("working on lab 3\n", "")
    assert first.output.info is not None
    assert first.output.info.user == {"seen_by": first.id}
    assert first.output.info.debug == "3 bytes"
    fetched = second.output.fetch(timeout=LIMIT_S)
    assert fetched.info.user == {"input": {"seen_by": first.id}}
    assert second.output.info is not None
    assert second.output.info.user == fetched.info.user


def test_what_cannot_be_attached_is_refused_at_the_submit_which_can_be_mended(session: Session) -> None:
    task = tasks.concat(blob("a"))
    task.keep_outputs()
    task.spec.user["when"] = object()
    with pytest.raises(RainException, match=r"spec\.user\['when'\]: expected what JSON can carry"):
        session.submit()
    assert task.state is None
    del task.spec.user["when"]
    session.submit()
    assert task.output.fetch(timeout=LIMIT_S) == "a"


def test_of_much_that_a_task_prints_the_end_can_be_read(session: Session) -> None:
    task = tasks.execute("yes | head -c 100000; echo the end", shell=True)
    session.submit()
    task.wait(timeout=LIMIT_S)
    task.update()
    assert task.stdout is not None
    assert task.stdout.startswith("… 83624 bytes cut off …\n")
    assert task.stdout.endswith("the end\n")


def test_a_task_that_killed_its_process_leaves_its_last_words(client: Client) -> None:
    @remote()
    def die(ctx: Any) -> bytes:
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with client.new_session(fail_fast=False) as session:
        task = die()
        reader = tasks.concat(task)
        session.submit()
        with pytest.raises(TaskException, match="killed by signal 9"):
            task.wait(timeout=LIMIT_S)
        session.update([task, reader.output])
        assert task.stdout == "last words\n"
        assert reader.output.info is not None
        assert reader.output.info.error is not None
        assert "killed by signal 9" in reader.output.info.error


@pytest.fixture(scope="module")
def gpu_cluster(run_folder: object) -> Iterator[LocalRain]:
    with rain.local(workers=1, cpus=3, gpus=2) as running:
        yield running


@pytest.fixture
def gpu_session(gpu_cluster: LocalRain) -> Iterator[Session]:
    with gpu_cluster.client() as client, client.new_session() as session:
        yield session


@remote()
def visible(ctx: Any) -> str:
    assert len(ctx.gpus) == ctx.spec.resources.get("gpus", 0)
    return f"{','.join(map(str, ctx.gpus))} {os.environ.get('CUDA_VISIBLE_DEVICES')}"


def test_tasks_see_their_own_gpus_and_no_others(gpu_session: Session) -> None:
    made = [visible(gpus=1) for _ in range(4)] + [visible(gpus=2), visible()]
    shell = tasks.execute("echo $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS", shell=True, stdout=True, gpus=2, cpus=2)
    found = list(map(str, gpu_session.compute(*made, shell, timeout=LIMIT_S)))
    assert set(found[:4]) <= {"0 0", "1 1"}
    assert found[4:] == ["0,1 0,1", " ", "0,1 2\n"]


def test_workers_of_one_machine_have_different_gpus(run_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-a,5")
    with rain.local(workers=2, cpus=1, gpus=1) as running, running.client() as client:
        running.add_worker()
        with client.new_session() as session:
            # Three tasks for three free workers: one each.
            shell = [tasks.execute("echo $CUDA_VISIBLE_DEVICES", shell=True, stdout=True, gpus=1) for _ in range(3)]
            found = {str(each).strip() for each in session.compute(*shell, timeout=LIMIT_S)}
        assert found == {"3", "GPU-a", "5"}
        with pytest.raises(RainException, match="gpus to offer: 4, but CUDA_VISIBLE_DEVICES=3,GPU-a,5 names 3"):
            running.add_worker()


def test_what_no_worker_can_run_is_shown_to_who_looks(gpu_cluster: LocalRain, gpu_session: Session) -> None:
    task = visible(gpus=5, name="huge")
    gpu_session.submit()
    text = r"'huge': needed is cpus=1, gpus=5, the workers are w1 with cpus=3, gpus=2"
    with pytest.warns(RainWarning, match=text), pytest.raises(TimeoutError):
        task.wait(timeout=1)
    assert gpu_session.client is not None
    info = gpu_session.client.get_server_info()
    [shown] = [each for each in info["sessions"] if each["session_id"] == f"s{gpu_session.session_id}"]
    assert "gpus=5" in shown["impossible"]
    task.cancel()
    [shown] = [each for each in gpu_session.client.sessions() if each["session_id"] == f"s{gpu_session.session_id}"]
    assert shown["impossible"] == ""


def test_a_session_goes_on_with_another_client(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("long", ttl=60).bind_only() as begun:
        made = tasks.concat(blob("a"), blob("b"), name="made")
        made.keep_outputs()
        tasks.concat(made, name="dropped")
        begun.submit()
        begun.wait_all(timeout=LIMIT_S)
        assert begun.tasks["made"] is made
        with pytest.raises(RainException, match="'long' is in use: its client is connected"):
            client.attach("long")
    with client.attach("long") as session:
        assert session.name == "long"
        found = session.tasks["made"]
        assert found is session.tasks["made"]
        assert found.id == made.id
        assert found.output.fetch(timeout=LIMIT_S) == "ab"
        with pytest.raises(RainException, match="was not kept"):
            session.tasks["dropped"].output.fetch()
        more = tasks.concat(found, blob("c"), name="more")
        assert session.tasks["more"] is more
        more.keep_outputs()
        session.submit()
        session.wait_all(timeout=LIMIT_S)
        assert more.output.fetch(timeout=LIMIT_S) == "abc"
        found.update()
        assert found.state == "finished"
        with pytest.raises(KeyError, match="no task is called 'nothing'"):
            session.tasks["nothing"]
        assert "nothing" not in session.tasks


def test_a_failed_session_that_is_attached_raises_its_failure(cluster: LocalCluster, client: Client) -> None:
    with Client(access=cluster.access_path) as first, first.new_session("failed", ttl=60).bind_only() as begun:
        tasks.execute("exit 3", shell=True, name="broken")
        begun.submit()
        with pytest.raises(TaskException):
            begun.wait_all(timeout=LIMIT_S)
    with client.attach("failed") as session:
        assert session.state == "failed"
        with pytest.raises(TaskException, match=r"'broken' failed .* exited with status 3"):
            session.wait_all(timeout=LIMIT_S)


def test_several_tasks_of_a_name_are_listed(session: Session) -> None:
    made = [tasks.concat(name="twin") for _ in range(2)]
    with pytest.raises(RainException, match=r"2 tasks are called 'twin'"):
        session.tasks["twin"]
    session.submit()
    made.append(tasks.concat(name="twin"))
    assert session.tasks.all("twin") == made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.close()


def test_who_attaches_nothing_is_told_what_there_is(client: Client) -> None:
    with client.new_session("here"), pytest.raises(RainException, match=r"no session 'gone'; there are: .*'here'"):
        client.attach("gone")
    with pytest.raises(RainException, match="expected the name of a session, found None"):
        client.attach(None)  # type: ignore[arg-type]


def test_a_failed_task_tells_when_it_ran_and_how_long(client: Client) -> None:
    began = time.time()
    with client.new_session(fail_fast=False) as session:
        task = tasks.execute("sleep 0.05; exit 3", shell=True)
        session.submit()
        with pytest.raises(TaskException, match="status 3"):
            task.wait()
        task.update()
        assert task.info is not None
        assert 0.05 <= task.info.duration < 5
        assert began - 1 < task.info.start_time < time.time() + 1
