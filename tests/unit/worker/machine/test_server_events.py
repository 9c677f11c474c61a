"""The server drops objects, cancels tasks, ends sessions."""

from __future__ import annotations

from rain.protocol.columns import pack
from rain.protocol.worker import Drop, EndSession
from rain.worker.machine.effects import Discard, ReportDone, RunBatch
from rain.worker.machine.events import ServerSaid
from tests.unit.worker.machine.bench import Bench, Given, Source, spec


class TestDrop:
    def test_a_present_object_is_removed(self) -> None:
        bench = Bench()
        bench.computes(0)
        bench.runs(1, 0)
        bench.finishes(1, 0)
        bench.reports(0)
        bench.drops(0)
        bench.discards(0)
        bench.nothing_else_happened()

    def test_unknown_objects_and_sessions_are_fine(self) -> None:
        bench = Bench()
        bench.drops(0)
        bench.computes(0)
        bench.runs(1, 0)
        bench.drops(17)
        bench.nothing_else_happened()

    def test_an_object_that_is_dropped_and_made_again_is_removed_before_it_is_made(self) -> None:
        """Its file has the same name: what is removed after an executor was told to make it may be the new one."""
        bench = Bench()
        bench.computes(0)
        bench.runs(1, 0)
        bench.finishes(1, 0)
        bench.reports(0)
        bench.says(Drop(1, pack("I", [0])), bench.compute(Given(0, attempt=2)))
        assert [type(effect) for effect in bench.effects] == [Discard, RunBatch]
        bench.discards(0)
        bench.runs(1, 0)
        bench.finishes(1, 0, attempt=2)
        bench.reports(0)
        bench.nothing_else_happened()

    def test_what_is_reported_and_dropped_at_once_is_reported_before_it_goes(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0)
        bench.runs(0, 0)
        again = bench.compute(Given(0, attempt=2))
        bench.happens(bench.finished(0, 0), ServerSaid(Drop(1, pack("I", [0]))), ServerSaid(again))
        assert [type(effect) for effect in bench.effects] == [ReportDone, Discard, RunBatch]

    def test_an_object_on_its_way_is_removed_when_it_arrives(self) -> None:
        bench = Bench()
        bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
        bench.fetches(90)
        bench.cancels(0)
        bench.drops(90)
        bench.nothing_else_happened()
        bench.arrive(90)
        bench.discards(90)
        bench.nothing_else_happened()

    def test_an_object_on_its_way_that_is_wanted_again_stays(self) -> None:
        bench = Bench()
        bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
        bench.fetches(90)
        bench.cancels(0)
        bench.drops(90)
        bench.computes(Given(0, inputs=(90,), attempt=2), sources=[Source(90)])
        bench.arrive(90)
        bench.tells_fetched(90)
        bench.runs(1, 0)
        bench.nothing_else_happened()

    def test_an_object_that_a_task_here_needs_stays_until_that_has_ended(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(Given(0, inputs=(90,)), Given(1, inputs=(90,)), sources=[Source(90, inline=True)])
        bench.runs(0, 0)
        bench.drops(90)
        bench.nothing_else_happened()
        bench.finishes(0, 0)
        bench.runs(0, 1)
        bench.reports(0)
        bench.nothing_else_happened()
        bench.finishes(0, 1)
        bench.reports(1)
        bench.discards(90)
        bench.nothing_else_happened()

    def test_an_object_that_is_dropped_on_its_way_to_a_task_serves_it_and_goes_untold(self) -> None:
        bench = Bench()
        bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
        bench.fetches(90)
        bench.drops(90)
        bench.arrive(90)
        bench.runs(1, 0)
        bench.nothing_else_happened()
        bench.finishes(1, 0)
        bench.reports(0)
        bench.discards(90)
        bench.nothing_else_happened()

    def test_an_object_that_was_dropped_and_is_named_again_before_it_could_go_stays(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(Given(0, inputs=(90,)), sources=[Source(90, inline=True)])
        bench.runs(0, 0)
        bench.drops(90)
        bench.computes(Given(1, inputs=(90,)), sources=[Source(90)])
        bench.tells_fetched(90)
        bench.finishes(0, 0)
        bench.runs(0, 1)
        bench.reports(0)
        bench.finishes(0, 1)
        bench.reports(1)
        bench.nothing_else_happened()

    def test_outputs_of_a_task_that_is_not_done_are_not_meant(self) -> None:
        bench = Bench()
        bench.computes(0)
        bench.runs(1, 0)
        bench.drops(0)
        bench.finishes(1, 0)
        bench.reports(0)
        bench.nothing_else_happened()

    def test_an_object_that_comes_back_in_the_same_call_is_not_removed(self) -> None:
        bench = Bench()
        bench.computes(Given(0, inputs=(90,)), sources=[Source(90, inline=True)])
        bench.runs(1, 0)
        bench.finishes(1, 0)
        bench.reports(0)
        bench.drops(90)
        bench.discards(90)
        bench.computes(Given(1, inputs=(90,)), sources=[Source(90, inline=True)])
        bench.runs(1, 1)
        bench.finishes(1, 1)
        bench.reports(1)
        bench.drops(1)
        bench.discards(1)
        bench.nothing_else_happened()

    def test_a_file_that_an_attempt_here_may_have_written_anew_is_not_removed_under_it(self) -> None:
        bench = Bench()
        bench.computes(Given(0, first_output=90), specs=[spec(n_outputs=2)])
        bench.runs(1, 0)
        bench.computes(sources=[Source(90, inline=True)])
        bench.drops(90)
        bench.nothing_else_happened()
        bench.finishes(1, 0, n_outputs=2)
        bench.reports(0)
        bench.nothing_else_happened()

    def test_such_a_file_goes_with_the_attempt(self) -> None:
        bench = Bench()
        bench.computes(Given(0, first_output=90))
        bench.runs(1, 0)
        bench.computes(sources=[Source(90, inline=True)])
        bench.drops(90)
        bench.raises(1, 0)
        bench.tells_failed(0)
        bench.discards(90)
        bench.nothing_else_happened()


class TestCancel:
    def test_a_queued_task_is_forgotten(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0, 1, 2)
        bench.runs(0, 0)
        bench.cancels(1)
        bench.nothing_else_happened()
        bench.finishes(0, 0)
        bench.runs(0, 2)
        bench.reports(0)
        bench.nothing_else_happened()

    def test_a_waiting_task_is_forgotten(self) -> None:
        bench = Bench()
        bench.computes(Given(0, inputs=(90,)), sources=[Source(90)])
        bench.fetches(90)
        bench.cancels(0)
        bench.arrive(90)
        bench.tells_fetched(90)
        bench.nothing_else_happened()

    def test_a_running_task_is_killed_and_its_executor_replaced(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0, 1)
        bench.runs(0, 0)
        bench.cancels(0)
        bench.kills(0)
        bench.nothing_else_happened()
        bench.ends(0, n_started=1, signal=9)
        bench.discards(0)
        bench.executors_start(1)
        bench.runs(1, 1)
        bench.nothing_else_happened()

    def test_the_innocents_of_a_killed_batch_run_again_in_their_order(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(100)
        bench.runs(0, 100)
        bench.finishes(0, 100, duration_us=100)
        bench.reports(100)
        bench.computes(*range(8))
        bench.runs(0, *range(8))
        bench.cancels(2)
        bench.kills(0)
        bench.cancels(5)
        bench.finishes(0, 0, duration_us=100)
        bench.reports(0)
        bench.ends(0, n_started=4, signal=9)
        bench.discards(2)
        bench.executors_start(1)
        bench.runs(1, 1, 3, 4, 6, 7)
        bench.nothing_else_happened()

    def test_a_report_of_a_cancelled_task_leaves_nothing(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0)
        bench.runs(0, 0)
        bench.cancels(0)
        bench.kills(0)
        bench.finishes(0, 0)
        bench.discards(0)
        bench.ends(0, n_started=1, signal=9)
        bench.executors_start(1)
        bench.nothing_else_happened()

    def test_other_attempts_and_unknown_tasks_are_ignored(self) -> None:
        bench = Bench(cpus=1)
        bench.cancels(0, session=4)
        bench.computes(0)
        bench.runs(0, 0)
        bench.cancels(0, attempt=2)
        bench.cancels(77)
        bench.nothing_else_happened()

    def test_resources_of_a_killed_task_stay_held_until_it_is_gone(self) -> None:
        bench = Bench(cpus=2)
        bench.computes(0, specs=[spec(cpus=2)])
        bench.runs(1, 0)
        bench.cancels(0)
        bench.kills(1)
        bench.computes(1)
        bench.nothing_else_happened()
        bench.ends(1, n_started=1, signal=9)
        bench.discards(0)
        bench.runs(0, 1)
        bench.executors_start(2)
        bench.nothing_else_happened()

    def test_an_input_that_only_a_cancelled_task_needed_goes_if_it_was_dropped(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0, Given(1, inputs=(90,)), sources=[Source(90, inline=True)])
        bench.runs(0, 0)
        bench.drops(90)
        bench.cancels(1)
        bench.discards(90)
        bench.nothing_else_happened()


class TestEndSession:
    def test_everything_of_the_session_goes(self) -> None:
        bench = Bench(cpus=2)
        bench.computes(0, 1, 2, Given(3, inputs=(90,)), sources=[Source(90)])
        bench.fetches(90)
        bench.runs(1, 0)
        bench.runs(0, 1)
        bench.finishes(1, 0)
        bench.reports(0)
        bench.runs(1, 2)
        bench.ends_session()
        bench.kills(0)
        bench.kills(1)
        bench.closes_store()
        bench.nothing_else_happened()
        bench.ends(0, n_started=1, signal=9)
        bench.discards(1)
        bench.executors_start(2)
        bench.nothing_else_happened()

    def test_executors_that_know_its_specs_are_named(self) -> None:
        bench = Bench(cpus=2)
        bench.computes(0)
        bench.runs(1, 0)
        bench.finishes(1, 0)
        bench.reports(0)
        bench.ends_session()
        bench.closes_store(1)
        bench.nothing_else_happened()

    def test_other_sessions_go_on(self) -> None:
        bench = Bench(cpus=2)
        bench.computes(0)
        bench.computes(0, session=2)
        bench.runs(1, 0)
        bench.runs(0, 0, session=2)
        bench.ends_session(1)
        bench.kills(1)
        bench.closes_store()
        bench.finishes(0, 0, session=2)
        bench.reports(0, session=2)
        bench.nothing_else_happened()

    def test_late_results_leave_nothing(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0)
        bench.runs(0, 0)
        bench.ends_session()
        bench.kills(0)
        bench.closes_store()
        bench.finishes(0, 0)
        bench.discards(0)
        bench.nothing_else_happened()

    def test_nothing_is_kept_of_its_requests_when_the_killed_executor_is_gone(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0)
        bench.runs(0, 0)
        bench.ends_session()
        bench.kills(0)
        bench.closes_store()
        bench.finishes(0, 0)
        bench.discards(0)
        bench.ends(0, n_started=1, signal=9)
        bench.executors_start(1)
        bench.nothing_else_happened()
        assert bench.machine.state.classes == {}

    def test_an_unknown_session_is_fine(self) -> None:
        bench = Bench()
        bench.ends_session(8)
        bench.nothing_else_happened()

    def test_news_of_the_same_call_is_not_sent_any_more(self) -> None:
        bench = Bench(cpus=1)
        bench.computes(0)
        bench.runs(0, 0)
        bench.happens(bench.finished(0, 0), ServerSaid(EndSession(1)))
        bench.closes_store(0)
        bench.nothing_else_happened()

    def test_nothing_is_kept_of_many_sessions(self) -> None:
        bench = Bench(cpus=1)
        for session in range(1, 20):
            bench.computes(0, session=session, specs=[spec(cpus=1 / session)])
            bench.runs(0, 0, session=session)
            bench.finishes(0, 0, session=session)
            bench.reports(0, session=session)
            bench.ends_session(session)
            bench.closes_store(0, session=session)
        bench.nothing_else_happened()
        state = bench.machine.state
        assert (state.sessions, state.classes, state.lanes) == ({}, {}, {})
        assert state.executors[0].known == {}
