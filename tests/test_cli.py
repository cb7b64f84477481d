import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import TypeAdapter
from pydantic_core import to_json

from modelwright.cli import app
from modelwright.cli.progress import Display, tail
from modelwright.cli.speaker import speaking
from modelwright.cli.story import about_run
from modelwright.cli.trials import trials_made, trials_planned
from modelwright.cli.words import duration, milliseconds, size
from modelwright.errors import RefusedError
from modelwright.records import BatchSize, Estimate, Interval, Progress, Run, Search, Trial

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
COMMANDS = {command.name or command.callback.__name__: command for command in app.registered_commands}  # type: ignore[union-attr]


def modelwright(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelwright", *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a project `tiny` was begun, its ladder given two seconds: its goal is met by one rule."""
    folder = tmp_path_factory.mktemp("cli")
    draw = random.Random(0)
    lines = ["size,weight,label"]
    for _ in range(300):
        value = draw.uniform(0, 100)
        label = "large" if value + draw.gauss(0, 5) >= 50 else "small"
        lines.append(f"{value:.3f},{draw.uniform(0, 9):.3f},{label}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    done = modelwright(*("new", "tiny", "--data", "data.csv", "--metric", "accuracy", "--goal", "0.8"), cwd=folder)
    assert done.returncode == 0, done.stderr
    problem = folder / "tiny" / "problem.yaml"
    text = problem.read_text()
    assert "source: ../data.csv" in text
    text = text.replace("# training:", "training:").replace("#   budget_minutes: null", "  budget_minutes: 0.1")
    problem.write_text(text)
    return folder


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['modelwright', '--help']\n"
        "from modelwright.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'polars', 'numpy', 'pydantic', 'sqlalchemy', 'transformers', 'sklearn', 'yaml'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f" {command} " in done.stdout


def test_the_commands_are_those_of_the_design() -> None:
    """DESIGN section 5, less review, monitor and studio, which come later."""
    steps = {"new", "check", "prepare", "ladder", "plan", "train", "evaluate", "package", "serve", "run"}
    assert COMMANDS.keys() == steps | {"status", "demo"}


def test_a_command_has_at_most_eight_options() -> None:
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        options = [each for each in command.params if each.param_type_name == "option"]
        assert len(options) <= 8, command.name
        assert command.help and len(command.help) < 120


def test_every_command_is_documented() -> None:
    page = Path(__file__).parent.parent / "docs" / "commands.md"
    if not page.exists():
        pytest.skip("no docs beside the tests")
    text = page.read_text(encoding="utf-8")
    missing = [command for command in COMMANDS if f"modelwright {command}" not in text]
    assert not missing


def test_new_shows_what_it_inferred_and_why(tmp_path: Path) -> None:
    lines = ["text,team", *(f"please help with the {n} thing that broke,{'ab'[n % 2]}" for n in range(60))]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    done = modelwright("new", "p", "--data", "data.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for said in ("classification", "2 classes", "team from text", "60 examples", "p/problem.yaml", "decides"):
        assert said in done.stdout
    again = modelwright("new", "p", "--data", "data.csv", "--json", cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in json.loads(again.stdout)["faults"][0]["found"]


def test_new_stores_the_path_as_the_project_finds_it(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    data = tmp_path / "far" / "away" / "data.csv"
    data.write_text("a,b,label\n" + "\n".join(f"{n},{n * n % 7},{'xy'[n % 2]}" for n in range(60)))
    assert modelwright("new", "p", "--data", "far/away/data.csv", cwd=tmp_path).returncode == 0
    assert "source: ../far/away/data.csv" in (tmp_path / "p" / "problem.yaml").read_text()
    assert modelwright("new", "q/r", "--data", "far/away/data.csv", cwd=tmp_path).returncode == 0
    assert f"source: {data}" in (tmp_path / "q" / "r" / "problem.yaml").read_text()
    assert modelwright("new", "far/away", "--data", "far/away/data.csv", cwd=tmp_path).returncode == 0
    assert "source: data.csv" in (tmp_path / "far" / "away" / "problem.yaml").read_text()


def test_a_database_in_a_file_is_found_from_the_project(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "data.db")
    connection.execute("CREATE TABLE t (a, b, label)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n * 37 % 61, "xy"[n % 2]) for n in range(60)])
    connection.commit()
    connection.close()
    assert modelwright("new", "p", "--data", "sqlite:///data.db", cwd=tmp_path).returncode == 0
    assert "source: sqlite:///../data.db" in (tmp_path / "p" / "problem.yaml").read_text()
    assert modelwright("prepare", "p", cwd=tmp_path).returncode == 0


def test_run_tells_the_story_and_a_second_one_repeats_it(folder: Path) -> None:
    first = modelwright("run", "tiny", cwd=folder)
    assert first.returncode == 0, first.stderr
    labels = [line.split()[0] for line in first.stdout.splitlines() if line and line[0] != " "]
    assert labels == ["Problem", "Data", "Ladder", "Report", "Package", "Next"]
    assert "2 classes of label" in first.stdout and "goal accuracy ≥ 0.800" in first.stdout
    assert "modelwright serve tiny/packages/tiny-1" in first.stdout
    assert "prepare:" in first.stderr and "Traceback" not in first.stderr
    second = modelwright("run", "tiny", cwd=folder)
    assert second.stdout == first.stdout
    assert "ladder:" not in second.stderr


def test_json_is_one_object_and_nothing_else(folder: Path) -> None:
    done = modelwright("run", "tiny", "--json", cwd=folder)
    found = json.loads(done.stdout)
    assert list(found) == ["problem", "dataset", "verdict", "plan", "run", "report", "package"]
    assert found["plan"] is None and found["run"] is None
    assert found["problem"]["name"] == "tiny"
    assert found["report"]["meets"]["goal"] is True
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("command", ["check", "prepare", "ladder", "evaluate", "package", "status"])
def test_each_step_is_a_command(command: str, folder: Path) -> None:
    told = modelwright(command, "tiny", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip()
    done = modelwright(command, cwd=folder / "tiny")  # DIR defaults to the current folder
    assert done.returncode == 0
    answered = modelwright(command, "tiny", "--json", cwd=folder)
    assert isinstance(json.loads(answered.stdout), dict)


def test_forty_columns_are_enough(folder: Path) -> None:
    done = modelwright("run", "tiny", cwd=folder, COLUMNS="40")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "Problem " in done.stdout


def test_a_goal_that_is_not_met_exits_1_with_the_record(folder: Path) -> None:
    """The label is noisy: nothing is right on all of the test part."""
    problem = folder / "tiny" / "problem.yaml"
    text = problem.read_text()
    problem.write_text(text.replace("goal: 0.8", "goal: 1.0"))
    try:
        done = modelwright("evaluate", "tiny", "--json", cwd=folder)
    finally:
        problem.write_text(text)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["meets"]["goal"] is False


def test_faults_exit_2_with_one_message_each(tmp_path: Path) -> None:
    (tmp_path / "problem.yaml").write_text("name: p\noutput: y\nmetrc: f1\ndata: {source: a.csv, sorce: b}\n")
    for command in ("run", "check", "prepare", "status"):
        done = modelwright(command, cwd=tmp_path)
        assert done.returncode == 2
        assert len([line for line in done.stderr.splitlines() if "did you mean" in line]) >= 2
        assert "Traceback" not in done.stderr
        answered = modelwright(command, "--json", cwd=tmp_path)
        faults = json.loads(answered.stdout)["faults"]
        assert {"data.sorce", "metrc"} <= {fault["where"] for fault in faults}
        assert faults[0].keys() == {"where", "found", "expected", "todo"}


def test_no_project_here_says_what_to_run(tmp_path: Path) -> None:
    done = modelwright("run", cwd=tmp_path)
    assert done.returncode == 2
    assert "modelwright new" in done.stderr
    assert list(tmp_path.iterdir()) == []  # and leaves nothing behind


def test_an_unknown_demo_offers_the_nearest(tmp_path: Path) -> None:
    done = modelwright("demo", "digit", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean digits?" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_broken_pipe_is_silent(folder: Path) -> None:
    command = [sys.executable, "-m", "modelwright", "run", "tiny"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, text=True, **pipes) as process:
        process.stdout.close()  # type: ignore[union-attr]
        said = process.stderr.read()  # type: ignore[union-attr]
        assert process.wait(60) == 141
    assert "Traceback" not in said and "Broken" not in said and "wrong" not in said


def test_serve_answers_until_it_is_told_to_stop(folder: Path) -> None:
    modelwright("run", "tiny", cwd=folder)
    command = [sys.executable, "-m", "modelwright", "serve", "tiny/packages/tiny-1", "--port", "0", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, text=True, **pipes) as process:
        announced = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        with urllib.request.urlopen(f"{announced['url']}/health", timeout=30) as reply:
            assert reply.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
        assert "Traceback" not in process.stderr.read()  # type: ignore[union-attr]


def test_python_and_the_command_line_give_the_same_records(folder: Path) -> None:
    from modelwright import Project

    told = json.loads(modelwright("prepare", "tiny", "--json", cwd=folder).stdout)
    assert Project(folder / "tiny").prepare().id == told["id"]


# --- what goes wrong --------------------------------------------------------------------------------


@pytest.fixture
def project_folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "problem.yaml").write_text("name: p\n")
    yield tmp_path


def spoken(folder: Path, error: BaseException, *, as_json: bool = False) -> int:
    with pytest.raises(typer.Exit) as caught, speaking(folder, as_json=as_json):
        raise error
    return int(caught.value.exit_code)


def test_a_fault_of_ours_leaves_its_trace_in_the_log(project_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert spoken(project_folder, ZeroDivisionError("by zero")) == 70
    out, err = capfd.readouterr()
    assert "ZeroDivisionError: by zero" in err and "Traceback" not in out + err
    assert "Traceback" in (project_folder / ".modelwright" / "log").read_text()


def test_an_interrupt_says_how_to_go_on(project_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert spoken(project_folder, KeyboardInterrupt()) == 130
    assert "run the same command again to go on" in capfd.readouterr().err


def test_a_refusal_exits_1(project_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert spoken(project_folder, RefusedError("no looks are left"), as_json=True) == 1
    out, err = capfd.readouterr()
    assert json.loads(out) == {"refused": "no looks are left"}
    assert "no looks are left" in err


def test_what_libraries_print_goes_to_the_log(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from modelwright.cli.quiet import quiet\n"
        "with quiet(Path(sys.argv[1])) as streams:\n"
        "    os.system('echo from C; echo oh >&2'); print('from Python'); print('ours', file=streams.out)\n"
        "print('after')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("ours\nafter\n", "")
    assert {"from C", "from Python", "oh"} == set((tmp_path / "log").read_text().splitlines())


# --- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.25, "0.2 s"), (59.4, "59 s"), (60, "1 min"), (171, "2 min 51 s"), (4800, "1 h 20 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_sizes_and_milliseconds() -> None:
    assert [size(each) for each in (0, 820, 999_600, 1.4e9)] == ["0 B", "820 B", "1.0 MB", "1.4 GB"]
    assert [milliseconds(each) for each in (0.31, 12.3, 1234)] == ["0.3 ms", "12 ms", "1.2 s"]


def test_what_a_run_took_is_told_beside_its_forecast() -> None:
    off = {"seconds": -0.07, "peak_memory_bytes": 0.03, "disk_bytes": -0.12, "cost": -0.07}
    run = Run("", "", "", "", "completed", 9, 4, 0.1, {}, 75.0, 2_200_000_000, off, disk_bytes=271_000_000, cost=0.25)
    assert list(about_run(run, "accuracy")) == [
        ("Train", "9 steps, best after 4 · done in 1 min 15 s (forecast off by 7%)"),
        (
            "",
            "2.2 GB of memory (forecast off by 3%) · 271 MB of disk (forecast off by 12%) · $0.25 (forecast off by 7%)",
        ),
    ]
    old = json.loads(to_json(run)) | {"forecast_error": {"seconds": -0.07, "peak_memory_bytes": 0.03}}
    del old["disk_bytes"], old["cost"]
    _, (_, told) = about_run(TypeAdapter(Run).validate_python(old), "accuracy")
    assert told == "2.2 GB of memory (forecast off by 3%)"


def test_trials_in_words() -> None:
    """Rate and batch size differ; epochs do not, and are not named."""

    def trial(number: int, rate: float, size: int, ended: str = "completed", *, chosen: bool = False) -> Trial:
        settings = {"method": "full", "learning_rate": rate, "batch_size": size, "epochs": 3.0}
        return Trial(number, settings, ended, 0.9, 0.3, 1.0, chosen)  # type: ignore[arg-type]

    def said(*trials: Trial) -> list[str]:
        return list(trials_made(Run("", "", "", "", "completed", 1, 1, 0.1, {}, 1.0, 1, {}, trials=trials)))

    made = [trial(0, 5e-5, 32), trial(1, 1.234e-4, 16, chosen=True), *(trial(n, 1e-5, 16, "pruned") for n in (2, 3, 4))]
    first, second = said(*made, trial(5, 1e-3, 32, "diverged"))
    assert first == (
        "best of 6 trials: learning_rate 0.000123, batch_size 16"
        " · 3 were stopped early · 1 was given up: the loss was lost"
    )
    assert second.startswith("the best of several on the same validation examples looks better than it is")
    assert said(trial(0, 5e-5, 32, chosen=True), trial(1, 1e-4, 32))[0].endswith("learning_rate 5e-05, as planned")
    assert said(trial(0, 5e-5, 32, chosen=True)) == ["one trial: the budget had no time for another"]
    assert said() == []
    some = Interval(1.0, 1.0, 1.0)
    sizes = (BatchSize(16, 4, 1), BatchSize(32, 2, 1))
    search = Search(8, ("full",), {"full": (1e-5, 2.5e-4)}, sizes, (3.0,), Estimate(some, some, some))
    assert trials_planned(search).endswith("first, then learning_rate 1e-05 to 0.00025, batch_size 16 or 32")


def test_progress_in_words() -> None:
    progress = Progress("train", "training", 40, 120, "steps", 125, "loss 0.3")
    assert tail(progress) == "40/120 steps · 2 min 5 s left · loss 0.3"
    assert tail(progress, short=True) == "33% · 2 min 5 s left"


def test_what_is_to_last_has_a_line_of_its_own() -> None:
    """The second is within the seconds in which a log is not added to, and what lasts is said all the same."""
    stream = io.StringIO()
    with Display(stream) as display:
        display(Progress("train", "training", 1, 9))
        display(Progress("train", "training", 2, 9, lasting="the loss jumped"))
        display(Progress("train", "training", 3, 9))
    assert stream.getvalue().splitlines() == ["train: training 1/9", "train: the loss jumped"]
