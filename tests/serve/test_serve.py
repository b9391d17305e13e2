"""Laws of the server: it answers as the command line does, shows what there is, and only ever reads the study."""

import json
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from surrogate_nas.api import Study
from surrogate_nas.archive.archive import Archive
from surrogate_nas.exits.limits import Limits
from surrogate_nas.serve.app import ASSETS, make_app
from surrogate_nas.serve.bodies import MOST_ENCODINGS
from surrogate_nas.serve.copies import copy_study, stamp
from surrogate_nas.serve.gate import DEEPEST, MOST_BYTES
from surrogate_nas.serve.live import Live
from surrogate_nas.serve.snapshot import Snapshot
from surrogate_nas.space import moves
from surrogate_nas.study.paths import ARCHIVE
from tests.conftest import Command
from tests.helpers.asgi import Client, chunks

pytestmark = pytest.mark.usefixtures("quick_fits")

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def live(study_path: Path) -> Iterator[Live]:
    """A study that has been read, and its report made."""
    live = Live(study_path)
    Study.open(live._home).report()
    live.snapshot = Snapshot.of(live._home)
    yield live
    live.close()


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[Client]:
    with Client(make_app(live, "127.0.0.1")) as client:
        yield client


@pytest.fixture(scope="module")
def encodings(live: Live) -> list[str]:
    """Nine untrained architectures, and a trained one."""
    space, trained = live.snapshot.solutions.home.space, live.snapshot.records[0].architecture
    return [*map(str, space.sample(9, np.random.default_rng(1))), str(trained)]


def error_of(client: Client, body: object, status: int = 422, to: str = "/query", **headers: str) -> str:
    """The error line of a refused body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(to, content=content, headers=JSON | headers)
    assert answer.status_code == status, answer.text
    line = answer.json()["error"]
    assert answer.json() == {"error": line}
    assert "\n" not in line
    return str(line)


# ---------------------------------------------------------------------- the study is only read


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert files
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def test_serving_leaves_a_study_as_it_was(study_path: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(study_path, study)
    shutil.rmtree(study / "surrogate")
    before = files_of(study)
    live = Live(study)
    Study.open(live._home).report()
    assert Snapshot.of(live._home).respondent is not None
    live.close()
    assert files_of(study) == before
    assert not live._home.exists()


def test_a_study_that_is_being_written_is_read_as_it_was(study_path: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(study_path, study)
    writer = Archive.open(study / ARCHIVE)
    records, last = writer.records(), writer.records()[-1]
    writer._connection.execute("BEGIN IMMEDIATE")
    writer._connection.execute("DELETE FROM arrays WHERE id = ?", (last.id,))
    copy_study(study, tmp_path / "copy")
    writer._connection.execute("COMMIT")  # the reader was in nobody's way
    copy = Archive.open(tmp_path / "copy" / ARCHIVE)
    assert [r.id for r in copy.records()] == [r.id for r in records]
    assert copy.outputs(last.id).tune.labels.size
    for archive in (writer, copy):
        archive.close()


def test_a_change_of_the_archive_or_the_settings_is_seen(study_path: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(study_path, study)
    first = stamp(study)
    assert stamp(study) == first
    connection = sqlite3.connect(study / ARCHIVE, isolation_level=None)
    connection.execute("DELETE FROM records WHERE id = (SELECT min(id) FROM proposals)")
    second = stamp(study)
    assert second != first
    Study.open(study).home.update({"limits": {"max_macs": 1e5}})
    assert stamp(study) != second
    connection.close()


# ---------------------------------------------------------------------- answers


@pytest.mark.parametrize("thresholds", [None, "0.8,off"])
@pytest.mark.parametrize("max_macs", [None, 5e4])
def test_it_answers_as_the_command_does(
    client: Client,
    command: Command,
    study_path: Path,
    encodings: list[str],
    thresholds: str | None,
    max_macs: float | None,
) -> None:
    body: dict[str, Any] = {"encodings": encodings}
    words: list[object] = ["query", study_path, "--json", *(w for e in encodings for w in ("--encoding", e))]
    if thresholds is not None:
        body["thresholds"] = thresholds
        words += ["--thresholds", thresholds]
    if max_macs is not None:
        body["limits"] = {"max_macs": max_macs}
        words += ["--max-macs", max_macs]
    code, out, _ = command(*words)
    answer = client.post("/query", json=body)
    assert code == 0
    assert answer.status_code == 200
    assert answer.json() == json.loads(out)
    assert answer.json()[-1]["trained"]


def test_the_best_keep_the_limits_and_come_near_a_long_search(client: Client, live: Live) -> None:
    limits = Limits(max_macs=3e4)
    document = client.post("/best", json={"limits": {"max_macs": 3e4}, "n": 5}).json()
    searched = live.snapshot.within(limits).best(1, None)[0]
    best, space = document["answers"][0], live.snapshot.solutions.home.space
    assert len(document["answers"]) == 5
    assert best["feasible_probability"] >= 0.5
    assert best["accuracy"][0] > searched.accuracy[0] - 0.02
    assert [str(a) for a in space.architectures(np.array(document["choices"]))] == [
        a["encoding"] for a in document["answers"]
    ]


def test_a_card_is_the_networks_curve(client: Client, live: Live) -> None:
    views, trained = live.snapshot.solutions.views, client.get("/trained").json()
    assert [t["id"] for t in trained] == [r.id for r in live.snapshot.records]
    assert any(t["on_front"] for t in trained)
    for record in live.snapshot.records[:3]:
        card, curve = client.get(f"/trained/{record.id}").json(), views.tune(record).curve
        assert card["exits"] == [e + 1 for e in record.architecture.exit_positions]
        macs = [point["expected_macs"] for point in card["curve"]]
        assert macs == sorted(macs) == curve.expected_macs.tolist()
        assert [point["accuracy"] for point in card["curve"]] == curve.accuracy.tolist()
        for point in card["curve"]:
            assert sum(point["test"]["rates"]) == pytest.approx(1)
            low, high = point["test"]["accuracy_interval"]
            assert low <= point["test"]["accuracy"] <= high


def test_the_form_has_what_it_needs_to_say_any_architecture(client: Client, live: Live) -> None:
    """Encode as the page's script does: a gene that does not apply is 0, others a share of their last choice."""
    about, space = client.get("/space").json(), live.snapshot.solutions.home.space
    for row, architecture in zip(moves.sample(space.genes, 20, np.random.default_rng(0)), range(20), strict=True):
        applies: list[bool] = []
        for gene in about["genes"]:
            applies.append(all(applies[parent] and row[parent] in allowed for parent, allowed in gene["needs"]))
        words = [
            str(round(row[g] / (len(gene["values"]) - 1), 6) if applies[g] else 0)
            for g, gene in enumerate(about["genes"])
            if gene["encoded"]
        ]
        assert space.parse_with_row(",".join(words))[1] == row.tolist(), architecture


def test_without_enough_networks_it_says_so(tmp_path: Path) -> None:
    Study.create(tmp_path / "new", data="digits", space="tiny")
    live = Live(tmp_path / "new")
    with Client(make_app(live, "127.0.0.1")) as client:
        assert "at least 4 trained networks, got 0" in error_of(client, {"encodings": ["0.5"]}, 409)
        assert client.get("/trained").json() == []
        assert "is being made" in client.get("/").text
        assert client.get("/what-if").status_code == client.get("/networks").status_code == 200
    live.close()


# ---------------------------------------------------------------------- pages


@pytest.mark.parametrize("path", ["/", "/networks", "/what-if", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers


def test_the_report_says_what_it_covers_and_its_figures_are_there(client: Client, live: Live) -> None:
    text = client.get("/").text
    assert f"This report covers {len(live.snapshot.records)} trainings." in text
    assert "figures/front.svg" in text
    figure = client.get("/figures/front.svg")
    assert figure.status_code == 200
    assert figure.headers["content-type"] == "image/svg+xml"
    assert client.get("/front.csv").text.startswith("id,")


def test_the_page_about_the_api_has_every_operation_and_field(client: Client) -> None:
    document, page = client.get("/openapi.json").json(), client.get("/docs").text
    for path in document["paths"]:
        assert path in page
    assert {*Limits.model_fields, "encodings", "thresholds"} <= {word.strip("<>/") for word in _codes(page)}
    assert "1,000" in page


def _codes(page: str) -> set[str]:
    return {part.partition("</code>")[0].rpartition(".")[2] for part in page.split("<code>")[1:]}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/assets/../server.py",
        "/assets/..%2f__init__.py",
        "/figures/..%2Freport.html",
        "/trained/%2e%2e%2farchive.sqlite",
        "/assets/%00",
        "/redoc",
        "/archive.sqlite",
        "/config.yaml",
        "/assets/",
    ],
)
def test_what_is_not_there_is_one_line(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]
    assert "\n" not in answer.json()["error"]


def test_every_asset_is_served_with_its_type(client: Client) -> None:
    for name, content in ASSETS.items():
        answer = client.get(f"/assets/{name}")
        assert answer.content == content
        assert answer.headers["content-type"].startswith("text/css" if name.endswith(".css") else "text/javascript")


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:80:80", "", "[::1", "127.0.0.1@evil", "localhost.", "0"],
)
def test_other_hosts_are_refused(client: Client, host: str) -> None:
    answer = client.get("/state", headers={"host": host})
    assert answer.status_code == 400
    assert "allowed: 127.0.0.1, [::1], localhost" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_loopback_is_served(client: Client, host: str) -> None:
    assert client.get("/state", headers={"host": host}).status_code == 200


def test_the_host_that_was_given_is_served(live: Live) -> None:
    with Client(make_app(live, "study.lan")) as client:
        assert client.get("/state", headers={"host": "study.lan:8000"}).status_code == 200
        assert client.get("/state", headers={"host": "other.lan:8000"}).status_code == 400


def test_a_body_that_is_wrong_is_one_line_that_says_why(client: Client) -> None:
    assert error_of(client, {"encodings": ["x"]}) == (
        "encodings.0: encoding 'x' is neither a text form nor numbers separated by commas"
    )
    assert "unknown field 'thresh'" in error_of(client, {"encodings": ["x"], "thresh": "0.8"})
    assert "unknown field 'limits.macs'" in error_of(client, {"encodings": ["x"], "limits": {"macs": 1}})
    assert "greater than 0, got -1" in error_of(client, {"encodings": ["x"], "limits": {"max_macs": -1}})
    assert "no cost table" in error_of(client, {"encodings": ["x"], "limits": {"max_cost": 1}})
    assert "3 exits need 2 thresholds, got 1" in error_of(client, {"encodings": ["x"], "thresholds": "0.8"})
    assert "at most 1000" in error_of(client, {"encodings": ["x"] * (MOST_ENCODINGS + 1)})
    assert "at most 4000 characters" in error_of(client, {"encodings": ["x" * 5000]})
    assert "keeps expected MACs ≤ 1" in error_of(client, {"limits": {"max_macs": 1}}, to="/best")
    assert "encodings: field required, got dict" in error_of(client, {})
    assert error_of(client, b'{"encodings": [NaN]}', 400) == "the body is not JSON: NaN is not a JSON number"
    assert error_of(client, b'{"a": 1, "a": 2}', 400) == "the body is not JSON: duplicate key 'a'"
    assert "not UTF-8" in error_of(client, b'{"encodings": ["\xff"]}', 400)
    assert f"nested more than {DEEPEST} levels deep" in error_of(client, b"[" * 100_000 + b"]" * 100_000, 400)
    assert f"nested more than {DEEPEST} levels deep" in error_of(client, b"[" * 9 + b"]" * 9, 400)
    assert "content type must be application/json" in error_of(client, {}, 415, **{"content-type": "text/plain"})


def test_a_long_body_is_refused_with_and_without_its_length(client: Client) -> None:
    spaces = b'{"encodings": [' + b" " * MOST_BYTES + b"]}"
    assert error_of(client, spaces, 413) == "the body is longer than 1,048,576 bytes"
    for count in (3, 40):  # some more than is allowed, and more than is read at all
        answer = client.post("/query", content=chunks(*[b" " * 2**19] * count), headers=JSON)
        assert "content-length" not in answer.request.headers
        assert answer.status_code == 413
    assert error_of(client, b"{}", 413, **{"content-length": "9" * 15})
    assert error_of(client, b"{}", 400, **{"content-length": "-1"})


def test_methods_that_are_not_there_are_refused(client: Client) -> None:
    assert client.get("/query").status_code == client.request("PUT", "/query", json={}).status_code == 405
    preflight = client.request("OPTIONS", "/query", headers={"origin": "http://evil.example"})
    assert preflight.status_code == 405
    assert not any(name.startswith("access-control") for name in preflight.headers)


# ---------------------------------------------------------------------- the command


def test_a_wrong_study_host_or_port_is_one_line(command: Command, tmp_path: Path, study_path: Path) -> None:
    assert command("serve", tmp_path / "none", "--port", 0) == (2, "", f"error: no study at {tmp_path / 'none'}\n")
    code, _, err = command("serve", study_path, "--port", 70_000)
    assert (code, err) == (2, "error: --port 70000 is not between 0 and 65535\n")
    code, _, err = command("serve", study_path, "--host", "no.such.host.invalid", "--port", 0)
    assert code == 2
    assert err.count("\n") == 1


def test_a_port_in_use_is_named(command: Command, study_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, _, err = command("serve", study_path, "--port", port)
    assert code == 1
    assert f"port {port}" in err
    assert err.count("\n") == 1


def test_a_missing_extra_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch, study_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "surrogate_nas.serve.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = command("serve", study_path)
    assert code == 1
    assert err == 'error: uvicorn is not installed: pip install "surrogate-nas[serve]"\n'
