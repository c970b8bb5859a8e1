"""What every command does with what goes wrong: a message for people, an exit code that says who acts."""

import errno
import json
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from harness.errors import BadInput, DeviceError, RigError
from shipei.command import Json, command


def app_of(does):
    app = typer.Typer()

    @command(app, "write")
    def write(output: Annotated[Path, typer.Argument()], as_json: Json = False) -> int:
        does(output)
        return 0

    return app


def called(does, *words):
    return CliRunner().invoke(app_of(does), [*map(str, words)])


def opened(file):
    return lambda output: open(file(output), "w").close()


@pytest.mark.parametrize("name", ["{0}", "{0}.part", "{0}/deeper/x"])
def test_a_file_that_the_person_named_and_that_cannot_be_written_is_the_persons_mistake(name, tmp_path):
    output = tmp_path / "no such folder" / "plan.json"
    done = called(opened(lambda given: name.format(given)), output)
    assert done.exit_code == 2
    assert "plan.json" in done.output
    assert "No such file or directory" in done.output
    assert "Traceback" not in done.output


def test_a_file_that_nobody_named_is_ours(tmp_path):
    done = called(opened(lambda given: tmp_path / "ours" / "x"), tmp_path / "plan.json")
    assert done.exit_code == 3
    assert "Traceback" in done.output


def test_a_name_that_begins_alike_is_another(tmp_path):
    done = called(opened(lambda given: f"{given}x/y"), tmp_path / "plan")
    assert done.exit_code == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput(["a.yaml:3: no", "a.yaml:9: nor this"]), 2),
        (RigError("the cable"), 3),
        (DeviceError("silence"), 3),
        (OSError(errno.ENOSPC, "No space left on device"), 3),
        (KeyboardInterrupt(), 3),
        (ValueError("?"), 3),
    ],
)
def test_the_exit_code_says_who_acts(error, code, tmp_path):
    def fail(output):
        raise error

    done = called(fail, tmp_path / "x", "--json")
    assert done.exit_code == code
    said = json.loads(done.stdout)
    assert said["messages"]
    assert said["error"]
