"""Hostile bodies: each is refused with one line, or answered rightly; never is a failure of the server's own."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from surrogate_nas.serve.app import make_app
from surrogate_nas.serve.gate import LONGEST_COMPLAINT, MOST_BYTES
from surrogate_nas.serve.live import Live
from tests.helpers.asgi import Client, chunks

REFUSED = {400, 413, 415, 422}
FEW, MANY, SEED = 400, 10_000, 0
MOST_GROWTH = 300 * 2**20
"""Bytes of memory."""

Body = bytes
HOSTILE_WORDS = [
    "NaN",
    "-Infinity",
    "1e999",
    "-1e999",
    "1" + "0" * 400,
    "9" * 5000,
    "-0",
    "5e-324",
    "1e308",
    "null",
    "true",
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '"\U0001f600"',
    "[]",
    "{}",
    "[[[[[[[[[[1]]]]]]]]]]",
    '"' + "x" * 10_000 + '"',
    '"../../etc/passwd"',
    '"\'; DROP TABLE records; --"',
    '"<script>"',
    "0x10",
    "1_000",
    "'x'",
    '"off"',
]


@pytest.fixture(scope="module")
def live(study_path: Path) -> Iterator[Live]:
    live = Live(study_path)
    yield live
    live.close()


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[Client]:
    with Client(make_app(live, "127.0.0.1")) as client:
        yield client


class Bodies:
    """Draws bodies from sound to senseless."""

    def __init__(self, seed: int, encodings: list[str]) -> None:
        self.chance, self.encodings = random.Random(seed), encodings

    def draw(self) -> Body:
        """One of any kind."""
        kinds: list[Callable[[], Body]] = [
            self.sound,
            self.spoilt_text,
            self.spoilt_text,
            self.odd_value,
            self.odd_value,
            self.odd_field,
            self.flipped,
            self.flipped,
            self.binary,
            self.nested,
            self.twice,
            self.shapes,
            self.cut,
        ]
        if self.chance.random() < 0.005:
            kinds = [self.huge]
        return self.chance.choice(kinds)()

    def document(self) -> dict[str, Any]:
        chance = self.chance
        document: dict[str, Any] = {"encodings": chance.choices(self.encodings, k=chance.choice([1, 1, 2, 5]))}
        if chance.random() < 0.5:
            document["thresholds"] = chance.choice(["0.8,off", "off,off", "0,1", "0.5,0.5", " 0.1 , 0.2 "])
        if chance.random() < 0.5:
            names = ["max_macs", "max_params", "max_worst_macs", "max_p95_macs", "min_accuracy", "max_weight_bytes"]
            document["limits"] = {name: chance.choice([0.5, 1, 1e5, 1e-9, 1e300]) for name in chance.sample(names, 2)}
        return document

    def sound(self) -> Body:
        return json.dumps(self.document()).encode()

    def spoilt_text(self) -> Body:
        """An encoding or thresholds with other characters in them."""
        document, chance = self.document(), self.chance
        text = list(chance.choice(self.encodings))
        for _ in range(chance.randint(1, 6)):
            text[chance.randrange(len(text))] = chance.choice(["/", "@", "-", "9" * 50, "", "\ud800", "\n", "é", "w"])
        document["encodings"][0] = "".join(text)
        if chance.random() < 0.3:
            document["thresholds"] = chance.choice(["nan,nan", "inf,off", ",,,", "1e-400,0.5", "-0,0.5", "٣,٤", "2,2"])
        return json.dumps(document).encode()

    def odd_value(self) -> Body:
        """Some value replaced by a word that JSON need not even have."""
        text = json.dumps(self._marked(self.document()))
        return text.replace('"MARK"', self.chance.choice(HOSTILE_WORDS)).encode("utf-8", "surrogatepass")

    def _marked(self, document: dict[str, Any]) -> dict[str, Any]:
        name = self.chance.choice(list(document))
        inner = document[name]
        if isinstance(inner, list) and self.chance.random() < 0.7:
            inner[self.chance.randrange(len(inner))] = "MARK"
        elif isinstance(inner, dict) and self.chance.random() < 0.7:
            inner[self.chance.choice(list(inner))] = "MARK"
        else:
            document[name] = "MARK"
        return document

    def odd_field(self) -> Body:
        document = self.document()
        name = self.chance.choice(["x" * 9000, "__proto__", "\ud800", "", "encodings ", "limits.max_macs", "n"])
        (document if self.chance.random() < 0.5 else document.setdefault("limits", {}))[name] = 1
        return json.dumps(document).encode()

    def flipped(self) -> Body:
        body = bytearray(self.sound())
        for _ in range(self.chance.randint(1, 8)):
            body[self.chance.randrange(len(body))] = self.chance.randrange(256)
        return bytes(body)

    def binary(self) -> Body:
        return self.chance.randbytes(self.chance.choice([0, 1, 10, 1000, 50_000]))

    def nested(self) -> Body:
        depth = self.chance.choice([5, 9, 100, 1000, 100_000])
        opened, closed = self.chance.choice([("[", "]"), ('{"a":', "}"), ('{"limits":', "}"), ('{"encodings":[', "]}")])
        return (opened * depth + "1" + closed * self.chance.choice([depth, 0])).encode()

    def twice(self) -> Body:
        return self.sound()[:-1] + b', "encodings": ["' + self.chance.choice(self.encodings).encode() + b'"]}'

    def shapes(self) -> Body:
        whole = [
            [],
            {},
            None,
            1,
            "x",
            [self.document()],
            {"encodings": []},
            {"encodings": [[]] * 50},
            {"encodings": ["0.5"] * 1001},
            {"encodings": {"0": "x"}},
            {"encodings": "x"},
        ]
        return json.dumps(self.chance.choice(whole)).encode()

    def cut(self) -> Body:
        body = self.sound()
        return body[: self.chance.randrange(len(body))]

    def huge(self) -> Body:
        size = self.chance.choice([MOST_BYTES - 100, MOST_BYTES + 1, 3 * MOST_BYTES, 20 * MOST_BYTES])
        return self.chance.choice([b'{"encodings": ["%s"]}' % (b"x" * size), b"[" * size, b"[1," * (size // 3)])


def withstands(client: Client, live: Live, n: int) -> None:
    """n bodies, each refused or answered; memory does not grow with them."""
    encodings = [*map(str, live.snapshot.solutions.home.space.sample(20, np.random.default_rng(0))), "0.5", "1e-3,2"]
    bodies, process = Bodies(SEED, encodings), psutil.Process()
    begin, statuses = process.memory_info().rss, set[int]()
    for i in range(n):
        body = bodies.draw()
        content = chunks(body) if i % 7 == 0 else body
        answer = client.post("/query", content=content, headers={"content-type": "application/json"})
        statuses.add(answer.status_code)
        document = json.loads(answer.content, parse_constant=refuse)
        if answer.status_code == 200:
            assert len(document) == len(json.loads(body)["encodings"])
            assert all(0 <= a["accuracy"][0] <= 1 for a in document)
        else:
            assert answer.status_code in REFUSED, (answer.status_code, body[:300], document)
            assert list(document) == ["error"]
            assert "\n" not in document["error"]
            assert 0 < len(document["error"]) <= LONGEST_COMPLAINT + 1
    assert {200, 400, 422} <= statuses
    assert process.memory_info().rss - begin < MOST_GROWTH


def refuse(text: str) -> None:
    raise AssertionError(f"an answer has {text} in it")


def test_hostile_bodies(client: Client, live: Live) -> None:
    withstands(client, live, FEW)


@pytest.mark.slow
def test_ten_thousand_hostile_bodies(client: Client, live: Live) -> None:
    withstands(client, live, MANY)
