"""The plans (`spec`) that a session handed out: what was changed in them until the submit, and attached for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rain.client.options import describe_request, request_of
from rain.client.records import ObjectPlan, TaskPlan
from rain.core.user import decode_user, encode_user

if TYPE_CHECKING:
    from rain.client.task import Task
    from rain.core.resources import Request

#: JSON by number.
Users = dict[int, bytes]


class Plans:
    """Not thread-safe, its graph holds the lock."""

    __slots__ = ("_object_users", "_objects", "_task_users", "_tasks")

    def __init__(self) -> None:
        #: Plans of what is not submitted; of tasks with the resources that they had.
        self._tasks: dict[int, tuple[TaskPlan, dict[str, Any]]] = {}
        self._objects: dict[int, ObjectPlan] = {}
        #: What was attached to what is submitted.
        self._task_users: Users = {}
        self._object_users: Users = {}

    def of_task(self, task: Task, *, is_submitted: bool) -> TaskPlan:
        """The same plan until the submit; after that a fresh one, changes of which nobody sees."""
        held = self._tasks.get(task._number)
        if held is not None:
            return held[0]
        spec = task._spec
        resources = describe_request(spec.request)
        plan = TaskPlan(task, resources, decode_user(self._task_users.get(task._number, b"")))
        if not is_submitted:
            self._tasks[task._number] = (plan, dict(resources))
        return plan

    def of_object(
        self, number: int, object_id: str, label: str | None, content_type: str | None, *, is_submitted: bool
    ) -> ObjectPlan:
        """Likewise for a data object."""
        plan = self._objects.get(number)
        if plan is None:
            user = decode_user(self._object_users.get(number, b""))
            plan = ObjectPlan(object_id, label, content_type, user)
            if not is_submitted:
                self._objects[number] = plan
        return plan

    def changed_requests(self) -> dict[int, Request]:
        """Tasks whose resources were changed, with the new ones. Raises RainException."""
        return {
            task: request_of(plan.resources)
            for task, (plan, original) in self._tasks.items()
            if plan.resources != original
        }

    def users(self) -> tuple[Users, Users]:
        """What is attached to tasks and to objects that are not submitted. Raises RainException."""
        tasks = {task: encode_user(plan.user, f"{plan.id}.spec.user") for task, (plan, _) in self._tasks.items()}
        objects = {obj: encode_user(plan.user, f"{plan.id}.spec.user") for obj, plan in self._objects.items()}
        return _without_empty(tasks), _without_empty(objects)

    def requests_applied(self, tasks: Mapping[int, Request]) -> None:
        """The resources of these tasks are what their plans say."""
        for task in tasks:
            plan = self._tasks[task][0]
            self._tasks[task] = (plan, dict(plan.resources))

    def submitted(self, task_users: Users, object_users: Users) -> None:
        """Nothing can be changed any more in what was handed out."""
        self._tasks.clear()
        self._objects.clear()
        self.attached(task_users, object_users)

    def attached(self, task_users: Users, object_users: Users) -> None:
        """What is attached to tasks and objects that are at the server."""
        self._task_users.update(task_users)
        self._object_users.update(object_users)


def _without_empty(users: Users) -> Users:
    return {number: user for number, user in users.items() if user}
