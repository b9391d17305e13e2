"""Commands about spaces."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.cli.test_cli import assert_refused
from tests.conftest import Command
from tests.space.test_yaml_files import EXAMPLE, GOOD, space_file


def test_the_example_of_the_documentation_passes_its_check(command: Command) -> None:
    _, out, _ = command("spaces", "check", EXAMPLE, "--samples", 50, "--json")
    document = json.loads(out)
    assert document["networks"] == 4_561_920
    assert all(law["holds"] for law in document["laws"])
    small, large = document["costs"]["16"], document["costs"]["64"]
    assert small["macs"][0] < small["macs"][1] < large["macs"][1]
    assert "per_block" in EXAMPLE.read_text()


def test_a_bad_file_is_exit_code_2(command: Command, tmp_path: Path) -> None:
    assert_refused(command("spaces", "check", space_file(tmp_path, "name: x\n")), "line 1: image_sizes: field required")


def test_genomes_are_read_and_written(command: Command) -> None:
    genes = ",".join(["0"] * 45 + ["0", "2", "1", "2"])
    document = json.loads(command("spaces", "decode", "edanas", genes, "--json")[1])
    assert document["thresholds"] == "0.1,off,0.2,off"
    _, out, _ = command(
        "spaces", "encode", "edanas", "--encoding", document["encoding"], "--thresholds", "0.1,off,0.2,off"
    )
    assert out.strip() == genes
    assert_refused(
        command("spaces", "decode", "nachos", "9" + ",0" * 48), "gene 1 of nachos must be from 0 to 2, got 9"
    )


def test_showing_a_space_lists_what_can_be_chosen(command: Command) -> None:
    rows: list[dict[str, Any]] = json.loads(command("spaces", "show", "aebnas", "--json")[1])
    assert len(rows) == 82
    assert {"gene": "exit 1 kernel 2", "choices": "3, 5", "only_with": "exit 1 side 2 8 or 10"} in rows


def test_a_study_in_a_space_of_ones_own(command: Command, tmp_path: Path) -> None:
    file, study = space_file(tmp_path, GOOD), tmp_path / "study"
    words = ("collect", study, "--n", 1, "--space", file, "--epochs", 1, "--workers", 0)
    assert command(*words)[0] == 0
    assert command(*words)[0] == 0
    file.write_text(yaml.safe_dump({**yaml.safe_load(GOOD), "stem": {"width": [4, 8]}}))
    assert_refused(command(*words), "another space needs a new study")
