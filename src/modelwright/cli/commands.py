"""The commands: each opens the project, calls the method of the same name and says what came back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelwright.cli.speaker import REFUSED, Speaker, speaking

if TYPE_CHECKING:
    from modelwright.workflow import Project

app = typer.Typer(
    name="modelwright",
    help="From a problem and some data to a served model, each step proven by measurement.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record as one JSON object.")]
Force = Annotated[bool, typer.Option("--force", help="Make it again even if nothing has changed.")]
ReportTo = Annotated[
    list[str] | None,
    typer.Option(help="tensorboard, mlflow, wandb or trackio hears of the training; may be repeated."),
]
HERE = Path()


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The options before a command."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"modelwright {installed('modelwright')}")
        raise typer.Exit
    if context.invoked_subcommand is None:  # pragma: no cover, no_args_is_help comes first
        raise typer.Exit(2)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.", show_default=False)],
    data: Annotated[str, typer.Option(help="File, glob, folder of images, database URL.", show_default=False)],
    query: Annotated[str | None, typer.Option(help="What to ask a database.")] = None,
    output: Annotated[str | None, typer.Option(help="Column with the right answers.")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="Input column; may be repeated.")] = None,
    task: Annotated[str | None, typer.Option(help="classification, generation, language-modeling...")] = None,
    metric: Annotated[str | None, typer.Option(help="The figure that decides.")] = None,
    goal: Annotated[float | None, typer.Option(help="Its value that is good enough.")] = None,
    json: AsJson = False,
) -> None:
    """Read a data file, infer the problem and write problem.yaml."""
    with speaking(None, as_json=json) as speaker:
        from modelwright.cli.story import about_started
        from modelwright.workflow import new as start

        started = start(
            folder,
            data,
            query=query,
            output=output,
            inputs=tuple(inputs or ()),
            task=task,
            metric=metric,
            goal=goal,
            progress=speaker.display,
        )
        speaker.tell(about_started(started))
        speaker.answer(started)


@app.command()
def check(folder: Folder = HERE, json: AsJson = False) -> None:
    """Is the problem well stated? All faults and vague spots at once."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_check

        found = _project(folder, speaker).check()
        for fault in found.faults:
            speaker.note(str(fault))
        speaker.tell(about_check(found, folder))
        speaker.answer(found)
        speaker.exit_code = 2 if found.faults else 0


@app.command()
def prepare(folder: Folder = HERE, force: Force = False, json: AsJson = False) -> None:
    """Step 2: read, clean and split the data, and seal the test part."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_dataset

        dataset = _project(folder, speaker).prepare(force=force)
        speaker.tell(about_dataset(dataset))
        speaker.answer(dataset)


@app.command()
def ladder(folder: Folder = HERE, force: Force = False, json: AsJson = False) -> None:
    """Step 0: does the cheapest thing already meet the goal?"""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_verdict

        verdict = _project(folder, speaker).ladder(force=force)
        speaker.tell(about_verdict(verdict))
        speaker.answer(verdict)


@app.command()
def plan(folder: Folder = HERE, force: Force = False, json: AsJson = False) -> None:
    """Step 3: choose the model, the method and every setting; say what it will take."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_plan

        made = _project(folder, speaker).plan(force=force)
        speaker.tell(about_plan(made, every=True))
        speaker.answer(made)


@app.command()
def train(folder: Folder = HERE, report_to: ReportTo = None, force: Force = False, json: AsJson = False) -> None:
    """Step 4: train as planned; goes on where a killed call stopped."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_run

        project = _project(folder, speaker, report_to)
        run = project.train(force=force)
        speaker.tell(about_run(run, project.ladder().metric))
        speaker.answer(run)


@app.command()
def evaluate(
    folder: Folder = HERE,
    test: Annotated[bool, typer.Option("--test", help="Spend one look at the sealed test part.")] = False,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Step 5: how good is the best candidate? On the validation part, or with --test on the sealed one."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_report

        project = _project(folder, speaker)
        report = project.evaluate(split="test" if test else "validation", force=force)
        _say_notes(project, speaker)
        speaker.tell(about_report(report))
        speaker.answer(report)
        speaker.exit_code = _verdict_code(report.meets)


@app.command()
def package(folder: Folder = HERE, force: Force = False, json: AsJson = False) -> None:
    """Put all that is needed to answer into one folder that proves itself when it is loaded."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_next, about_package

        project = _project(folder, speaker)
        made = project.package(force=force)
        _say_notes(project, speaker)
        speaker.tell([*about_package(made), *about_next(made)])
        speaker.answer(made)


@app.command()
def run(
    folder: Folder = HERE,
    train: Annotated[bool, typer.Option("--train", help="Train even where the verdict says stop.")] = False,
    report_to: ReportTo = None,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """All steps in order, to the report on the test part and the package."""
    with speaking(folder, as_json=json) as speaker:
        _run(_project(folder, speaker, report_to), speaker, train=train, force=force)


@app.command()
def serve(
    path: Annotated[Path, typer.Argument(help="A package's folder.", show_default=False)],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    token: Annotated[str | None, typer.Option(help="What callers must bring; else one is made.")] = None,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Another name of this server.")] = None,
    json: AsJson = False,
) -> None:
    """Answer over HTTP: POST /predict, /health, /metrics, /docs."""
    with speaking(None, as_json=json) as speaker:
        from modelwright.cli.story import about_serving
        from modelwright.deployment.server.serve import Serving
        from modelwright.deployment.server.serve import serve as listen

        def announce(serving: Serving) -> None:
            speaker.tell(about_serving(serving))
            speaker.answer({"url": serving.url, "port": serving.port, "token": serving.token})

        listen(
            path,
            host=host,
            port=port,
            token=token,
            allowed_hosts=tuple(allowed_host or ()),
            announce=announce,
        )


@app.command()
def status(folder: Folder = HERE, json: AsJson = False) -> None:
    """Where this project stands, and the next step."""
    with speaking(folder, as_json=json) as speaker:
        from modelwright.cli.story import about_status

        found = _project(folder, speaker).status()
        speaker.tell(about_status(found))
        speaker.answer(found)


@app.command()
def demo(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="pydocs, digits, tumours or diabetes.")] = "pydocs",
    to: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path("demo"),
    force: Force = False,
    json: AsJson = False,
) -> None:
    """A whole project on data that is already on this machine."""
    folder = to / name
    with speaking(None, as_json=json) as speaker:
        from modelwright.demos import DEMOS
        from modelwright.problem import FILE

        write = DEMOS[name]
        if force or not (folder / FILE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write(folder)
        _run(_project(folder, speaker), speaker, train=False, force=force)


def _project(folder: Path, speaker: Speaker, report_to: Iterable[str] | None = None) -> Project:
    from modelwright.workflow import Project

    return Project(folder, progress=speaker.display, report_to=report_to or ())


def _run(project: Project, speaker: Speaker, *, train: bool, force: bool) -> None:
    """Run `project` and tell its story while it happens."""
    from modelwright.cli import story

    metric = ""

    def tell(kind: str, record: Any) -> None:
        nonlocal metric
        lines: Iterable[story.Line] = ()
        if kind == "dataset":
            metric = project.metric
            lines = [*story.about_problem(project.problem, record, metric), *story.about_dataset(record)]
        elif kind == "verdict":
            lines = story.about_verdict(record)
        elif kind == "plan":
            lines = story.about_plan(record)
        elif kind == "run":
            lines = story.about_run(record, metric)
        elif kind == "choice":
            lines = [("Choice", record)]
        elif kind == "report":
            lines = story.about_report(record)
        elif kind == "package":
            lines = [*story.about_package(record), *story.about_next(record)]
        elif kind == "note":
            speaker.note(record)
        speaker.tell(lines)

    outcome = project.run(train=train, force=force, tell=tell)
    speaker.answer(
        {
            "problem": outcome.problem.model_dump(mode="json"),
            "dataset": outcome.dataset,
            "verdict": outcome.verdict,
            "plan": outcome.plan,
            "run": outcome.run,
            "report": outcome.report,
            "package": outcome.package,
        }
    )
    speaker.exit_code = _verdict_code(outcome.report.meets)


def _say_notes(project: Project, speaker: Speaker) -> None:
    for note in project.notes:
        speaker.note(note)


def _verdict_code(meets: dict[str, bool | None]) -> int:
    """1 where a goal or a limit is not met."""
    return REFUSED if False in meets.values() else 0
