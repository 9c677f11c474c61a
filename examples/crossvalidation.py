"""Cross-validation of a support vector machine: Python, coreutils and libsvm's own programs in one pipeline.

    iris.csv ── convert (Python) ── shuf ── split ─┬─ fold 0 ─┐        ┌─ svm-train ── svm-predict ─┐
                                                   ├─ …       ├─ concat┤  for each fold and each C  ├─ collect (Python)
                                                   └─ fold 4 ─┘        └────────────────────────────┘

Nobody copies a file by hand: the outputs of a program are the next one's inputs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rain.client import Client, DataObject, Output, Session, Task, remote, tasks

IRIS = Path(__file__).parent / "data" / "iris.csv"
FOLDS = 5
#: Penalties of the support vector machine to choose from.
PENALTIES = (0.01, 0.1, 1.0, 10.0)


@remote()
def convert(ctx, table):
    """The lines `class 1:x 2:x …` that libsvm reads, from lines `x,x,…,class` under a heading."""
    rows = (line.split(",") for line in table.get_str().splitlines()[1:])
    return "".join(
        f"{label} {' '.join(f'{i}:{value}' for i, value in enumerate(values, 1))}\n" for *values, label in rows
    )


@remote()
def collect(ctx, answers):
    """A line per penalty: the mean accuracy in percent over the folds."""
    lines = []
    for penalty, reports in answers.items():
        # svm-predict says: Accuracy = 96.6667% (29/30) (classification)
        accuracies = [float(report.get_str().split("=")[1].split("%")[0]) for report in reports]
        lines.append(f"C={penalty:<5g} {sum(accuracies) / len(accuracies):6.2f} %")
    return "\n".join(lines)


def split_in_folds(data: Task) -> list[DataObject]:
    """The lines of `data`, shuffled the same way each time, in equal parts."""
    shuffled = tasks.execute(["shuf", "--random-source", data, data], stdout=True, name="shuffle")
    names = [f"fold.{i}" for i in range(FOLDS)]
    split = tasks.execute(
        ["split", "--number", f"l/{FOLDS}", "--numeric-suffixes", "--suffix-length=1", shuffled, "fold."],
        output_paths=names,
        name="split",
    )
    return list(split.outputs)


def validate(penalty: float, folds: list[DataObject], number: int) -> Task:
    """Train on all folds but one, predict that one; the output is what svm-predict prints."""
    training = tasks.concat(fold for i, fold in enumerate(folds) if i != number)
    model = tasks.execute(
        ["svm-train", "-q", "-t", "0", "-c", str(penalty), training, Output("model")], name=f"train/C={penalty:g}"
    )
    return tasks.execute(
        ["svm-predict", folds[number], model, "predictions"], stdout=True, name=f"predict/C={penalty:g}"
    )


def run(session: Session) -> str:
    """The table of accuracies; the graph is submitted in two pieces."""
    source = tasks.open(str(IRIS))
    folds = split_in_folds(convert(source))
    for fold in folds:
        fold.keep()
    session.submit()

    answers = {c: [validate(c, folds, number) for number in range(FOLDS)] for c in PENALTIES}
    table = collect(answers)
    table.output.keep()
    session.submit()
    return str(table.output.fetch())


def main() -> None:
    if not shutil.which("svm-train"):
        raise SystemExit("svm-train was not found: install libsvm-tools (apt-get install libsvm-tools)")
    with Client() as client, client.new_session("cross-validation") as session:
        print(run(session))


if __name__ == "__main__":
    main()
