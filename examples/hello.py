"""The smallest Rain program: two constants, one task, one result.

Run it after `rain run --local-workers 1`, or by itself: without a running cluster, `Client()` starts one of its own.
"""

from rain.client import Client, blob, tasks


def main() -> None:
    with Client() as client, client.new_session() as session:
        task = tasks.concat(blob("Hello "), blob("world!"))
        task.output.keep()
        session.submit()
        print(task.output.fetch())


if __name__ == "__main__":
    main()
