"""Loading and running an exported folder: every file is checked, every answer is right or refused."""

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surrogate_nas.exits import policies
from surrogate_nas.export import runtime
from surrogate_nas.export.runtime import MANIFEST, ExportedNetwork, ExportError, digest_of, read_examples, read_manifest
from surrogate_nas.foundation.errors import JobError
from surrogate_nas.foundation.extras import require_extra

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def changed(folder: Path, change: Change, *, sealed: bool = True) -> None:
    """Change the manifest; `sealed` with a checksum that fits, so that only its sense is wrong."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    if sealed:
        manifest["sha256"] = digest_of(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_gates_are_taken_together_as_in_the_package_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    left_probability, own = rng.random((2, 500)).astype(np.float32)
    assert np.array_equal(runtime.having_left(None, own), own)
    assert np.array_equal(runtime.having_left(left_probability, own), policies.having_left(left_probability, own))


@pytest.mark.parametrize("name", ["segment_1.onnx", "branch_1.onnx", "weights.safetensors", "README.md", "runtime.py"])
def test_a_truncated_file_is_noticed(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(ExportError, match=f"{name} is not the file that was exported"):
        ExportedNetwork.load(folder)


def test_a_swapped_segment_is_noticed(folder: Path) -> None:
    one, other = folder / "segment_1.onnx", folder / "segment_2.onnx"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(ExportError, match=r"segment_\d.onnx is not the file"):
        ExportedNetwork.load(folder)


def test_a_missing_file_is_noticed(folder: Path) -> None:
    (folder / "segment_2.onnx").unlink()
    with pytest.raises(ExportError, match=r"segment_2.onnx cannot be read: No such file"):
        ExportedNetwork.load(folder)


CHANGES: list[Change] = [
    lambda m: m["settings"][0]["thresholds"].__setitem__(0, 0.123),
    lambda m: m["labels"].pop(),
    lambda m: m["exits"][0].__setitem__("temperature", 2.0),
    lambda m: m.__setitem__("policy", "margin"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_threshold_or_a_missing_label_is_noticed(folder: Path, change: Change) -> None:
    changed(folder, change, sealed=False)
    with pytest.raises(ExportError, match="was changed after the export"):
        ExportedNetwork.load(folder)


NONSENSE: list[tuple[Change, str]] = [
    (lambda m: m["labels"].pop(), "10 classes, but the manifest has 9 labels"),
    (lambda m: m["settings"][0]["thresholds"].append(0.5), "exits need 2 thresholds"),
    (lambda m: m["settings"][0]["thresholds"].__setitem__(0, 1.5), "threshold 1.5 is not a number from 0 to 1"),
    (lambda m: m["settings"][0]["thresholds"].__setitem__(0, float("nan")), "threshold nan is not a number"),
    (lambda m: m["settings"][0]["thresholds"].__setitem__(0, "x"), "threshold 'x' is not a number"),
    (lambda m: m["settings"][0]["macs"].__setitem__(0, 10**30), r"MACs 10{30} is not a whole number from 0 to"),
    (lambda m: m["settings"][0]["macs"].__setitem__(0, float("nan")), "MACs nan is not a whole number"),
    (
        lambda m: m["settings"][0]["tune"].__setitem__("expected_macs", float("nan")),
        "expected MACs nan is not a number",
    ),
    (lambda m: m["settings"][0]["test"].__setitem__("accuracy", "x"), "accuracy 'x' is not a number from 0 to 1"),
    (lambda m: m["exits"][0].__setitem__("temperature", 0), "temperature of segment_1.onnx 0 is not a number from"),
    (lambda m: m["exits"][0].update(segment="segment_2.onnx"), r"takes images of shape \[.*, but the manifest says"),
    (lambda m: m["exits"][1].update(segment="segment_3.onnx"), "the pieces do not fit together"),
    (lambda m: m["exits"][0].update(branch="segment_1.onnx"), "the pieces do not fit together"),
    (lambda m: m["input"]["shape"].__setitem__(1, 10**6), r"manifest says \[1, 1000000, 8\]"),
    (lambda m: m.__setitem__("quantized", None), "quantized None is not true or false"),
    (lambda m: m.__setitem__("labels", "0123456789"), "labels '0123456789' is not text"),
    (lambda m: m.__setitem__("policy", "luck"), "policy 'luck' is not one of"),
    (lambda m: m.__setitem__("default_setting", 99), "default setting 99 is not a whole number from 0 to"),
    (lambda m: m.__setitem__("default_setting", 0.0), r"default setting 0\.0 is not a whole number from 0 to"),
    (lambda m: m.__setitem__("settings", []), "the network has no settings"),
    (lambda m: m["exits"][0].__setitem__("branch", None), "every exit but the last must have a branch"),
    (lambda m: m["exits"][0].__setitem__("segment", "segment_9.onnx"), "segment_9.onnx is not among the files"),
    (lambda m: m["exits"][0].__setitem__("segment", "README.md"), "README.md cannot be run"),
    (lambda m: m.__setitem__("version", 2), "version 2 of the format; allowed: 1"),
    (lambda m: m.__setitem__("format", "another"), "does not describe an exported network"),
    (lambda m: m["files"].__setitem__("../x", "0"), "files outside its folder"),
    (lambda m: m.pop("exits"), "does not describe a network: KeyError"),
    (lambda m: m.__setitem__("settings", 3), "does not describe a network"),
    (lambda m: m.pop("files"), "lists no files"),
]


@pytest.mark.parametrize(("change", "message"), NONSENSE)
def test_a_manifest_that_contradicts_itself_is_refused(folder: Path, change: Change, message: str) -> None:
    changed(folder, change)
    with pytest.raises(ExportError, match=message):
        ExportedNetwork.load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ExportError, match=r"is not JSON|does not describe an exported network"):
        ExportedNetwork.load(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no exported network at"):
        ExportedNetwork.load(tmp_path / "nowhere")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_are_counted(exported: Path, threads: Any) -> None:
    with pytest.raises(ExportError, match="is not a positive number"):
        ExportedNetwork.load(exported, threads)


REFUSED = [
    (np.zeros((1, 1, 8, 9)), r"images have shape \(1, 1, 8, 9\)"),
    (np.zeros((1, 8, 8)), r"images have shape"),
    (np.zeros((1, 1, 8, 8), dtype=complex), "images are of complex128"),
    (np.zeros((1, 1, 8, 8), dtype=bool), "images are of bool"),
    (np.full((1, 1, 8, 8), np.nan), "pixels are from nan"),
    (np.full((1, 1, 8, 8), 256.0), "pixels are from 256 to 256"),
    (np.full((1, 1, 8, 8), -1), "pixels are from -1"),
    (np.full((1, 1, 8, 8), np.inf, dtype=np.float16), "pixels are from inf"),
    (np.full((1, 1, 8, 8), None), "images are of object"),
    ([[1]], "images are of list"),
]


@pytest.mark.parametrize(("images", "message"), REFUSED)
def test_what_are_no_images_is_refused(exported: Path, images: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        ExportedNetwork.load(exported).run(images)


def test_answers_do_not_depend_on_the_batch(exported: Path) -> None:
    network, (images, _, _) = ExportedNetwork.load(exported), read_examples(exported)
    for setting in range(len(network.settings)):
        whole = network.run(images, setting)
        parts = runtime.joined([network.run(images[i : i + 7], setting) for i in range(0, len(images), 7)])
        assert np.array_equal(whole.exits, parts.exits)
        assert np.array_equal(whole.classes, parts.classes)
        assert np.allclose(whole.probabilities.sum(axis=1), 1, atol=1e-5)
        as_floats = network.run(images.astype(np.float64), setting)
        assert np.array_equal(whole.logits, as_floats.logits)


def test_nothing_is_said_of_no_images(exported: Path) -> None:
    answer = ExportedNetwork.load(exported).run(np.zeros((0, 1, 8, 8), dtype=np.uint8))
    assert answer.logits.shape == (0, 10)
    assert len(answer.classes) == len(answer.macs) == 0


def test_what_has_left_is_not_computed(exported: Path) -> None:
    """Every piece sees just the images that are still inside."""
    network, (images, _, _) = ExportedNetwork.load(exported), read_examples(exported)
    early = len(network.stages) - 1
    sizes: list[int] = []

    class Spy:
        def __init__(self, piece: runtime.LoadedPiece) -> None:
            self.piece = piece

        def __call__(self, values: Any) -> Any:
            sizes.append(len(values[0]))
            return self.piece(values)

    stages = tuple(
        runtime.ExitPieces(s.exit, Spy(s.segment), s.branch and Spy(s.branch), s.temperature)  # type: ignore[arg-type]
        for s in network.stages
    )
    spied = ExportedNetwork(
        network.manifest, stages, network.labels, network.policy, network.settings, network.default, network.shape
    )
    for thresholds in ([0.0] * early, [2.0] * early, [None] * early, [0.6] * early):
        sizes.clear()
        _, places = spied.route(network.checked(images), thresholds)
        inside = [int((places >= x).sum()) for x in range(early + 1)]
        expected = [
            n for x, n in enumerate(inside) for _ in range(1 if x == early or thresholds[x] is None else 2) if n
        ]
        assert sizes == expected


def test_settings_by_budget_and_by_load(exported: Path) -> None:
    network = ExportedNetwork.load(exported)
    budgets = [s.budget for s in network.settings]
    assert budgets == sorted(budgets)
    assert [network.within(b) for b in budgets] == list(range(len(budgets)))
    assert network.within(1e12) == len(budgets) - 1
    with pytest.raises(ExportError, match="no setting needs at most 1 expected MACs; the cheapest"):
        network.within(1)
    assert network.at_load(0) == network.default
    assert network.at_load(1) == 0
    with pytest.raises(ExportError, match=r"load 1\.5 is not between 0 and 1"):
        network.at_load(1.5)
    for wrong in (-1, 99, True, "0"):
        with pytest.raises(ExportError, match="is not one of 0 to"):
            network.run(np.zeros((1, 1, 8, 8)), wrong)  # type: ignore[arg-type]


def test_the_file_runs_without_the_package(exported: Path, tmp_path: Path) -> None:
    images, _, _ = read_examples(exported)
    np.save(tmp_path / "images.npy", images)
    words = [sys.executable, "-I", "-c", _ALONE, str(exported), str(tmp_path / "images.npy")]
    process = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    network = ExportedNetwork.load(exported)
    answer = network.run(images)
    assert [row["label"] for row in rows] == [network.labels[c] for c in answer.classes]
    assert [row["exit"] for row in rows] == answer.exits.tolist()
    assert [row["macs"] for row in rows] == answer.macs.tolist()
    assert "logits differ by at most" in process.stderr


_ALONE = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("surrogate_nas", "torch", "scipy", "onnx", "PIL", "sklearn", "pydantic"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
folder, images = sys.argv[1:]
sys.path.insert(0, folder)
import runtime
sys.exit(runtime.main([folder, "--check", "--images", images]))
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "error: no exported network at nowhere"),
        (["HERE", "--images", "nothing.npy"], "error: nothing.npy is not a .npy file"),
        (["HERE", "--budget", "1", "--images", "HERE/examples.npy"], "error: "),
    ],
)
def test_the_file_says_what_is_wrong_in_one_line(
    exported: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runtime.main([word.replace("HERE", str(exported)) for word in words]) == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith(message)
    assert stderr.count("\n") == 1


def test_examples_that_come_out_otherwise_are_noticed(folder: Path) -> None:
    network = ExportedNetwork.load(folder)
    assert network.check(folder) < runtime.TOLERANCE
    images, labels, logits = read_examples(folder)
    np.savez(folder / runtime.EXAMPLES, images=images, labels=labels, logits=logits + 0.01)
    with pytest.raises(ExportError, match=r"differ by 0\.01.* from those before the export"):
        network.check(folder)
    (folder / runtime.EXAMPLES).write_bytes(b"nothing")
    with pytest.raises(ExportError, match="no examples in"):
        read_examples(folder)


def answered_or_refused(ask: Callable[[], Any]) -> Any:
    """The answer, or `None` where one line says why there is none."""
    try:
        return ask()
    except ExportError as error:
        if "\n" in str(error):
            raise
    return None


def test_fuzzed_manifests_and_images_are_refused_or_answered(folder: Path) -> None:
    """Whatever bytes change, the answer is right or one line says why there is none."""
    rng, original = np.random.default_rng(0), (folder / MANIFEST).read_bytes()
    for _ in range(300):
        spoilt = bytearray(original)
        for at in rng.integers(len(spoilt), size=rng.integers(1, 4)):
            spoilt[at] = rng.integers(256)
        (folder / MANIFEST).write_bytes(spoilt)
        same = answered_or_refused(lambda: read_manifest(folder))
        assert same in (None, json.loads(original))
    (folder / MANIFEST).write_bytes(original)
    network = ExportedNetwork.load(folder)
    for _ in range(300):
        shape = tuple(rng.choice([0, 1, 2, 8, 8, 8], size=rng.integers(1, 6)))
        dtype = rng.choice([np.uint8, np.int64, np.float16, np.float64, np.complex64, np.bool_])
        images = (rng.normal(size=shape) * 10 ** rng.integers(0, 5)).astype(np.float64)
        with np.errstate(all="ignore"):
            pixels = images.astype(dtype)
        answer = answered_or_refused(lambda pixels=pixels: network.run(pixels))  # type: ignore[misc]
        assert answer is None or len(answer.classes) == len(pixels)
        assert answer is None or np.isfinite(answer.logits).all()


ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 10**30, 2**63, 0.0, -0.5, 0.5, 1e-300, 1e300, float("nan"), float("inf"), float("-inf")]),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["segment_1.onnx", "segment_2.onnx", "branch_1.onnx", "branch_2.onnx", "README.md", "margin"]),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def spoil(value: Any, data: st.DataObject) -> Any:
    """The value with one of its parts, at any depth, replaced, removed or swapped with a neighbour."""
    if isinstance(value, (dict, list)) and value and data.draw(st.integers(0, 5), label="deeper"):
        at = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))), label="at")
        what = data.draw(st.sampled_from(["spoil", "spoil", "spoil", "remove", "swap"]), label="what")
        if what == "remove":
            del value[at]
        elif what == "swap":
            other = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
            value[at], value[other] = value[other], value[at]
        else:
            value[at] = spoil(value[at], data)
        return value
    return data.draw(ODD_VALUES, label="value")


def everything_asked(folder: Path) -> None:
    """Load a folder and ask for all that it can answer."""
    network, (images, _, _) = ExportedNetwork.load(folder), read_examples(folder)
    for setting in range(len(network.settings)):
        for some in (images[:1], images[:5]):
            answer = network.run(some, setting)
            assert np.isfinite(answer.logits).all()
            assert np.isfinite(answer.probabilities).all()
            assert (answer.macs >= 0).all()
            assert all(network.labels[c] for c in answer.classes) or "" in network.labels
    assert network.run(images[:2]).exits.shape == (2,)
    for load in (0, 0.5, 1):
        network.run(images[:1], network.at_load(load))
    network.run(images[:1], network.within(runtime.MOST_MACS))
    network.check(folder)


@pytest.fixture
def one_session_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions by the content of their files, so that loading a folder again takes no time."""
    session = runtime.ort.InferenceSession
    made = functools.cache(lambda content: session(content, providers=["CPUExecutionProvider"]))
    monkeypatch.setattr(runtime.ort, "InferenceSession", lambda content, *_, **__: made(content))


@pytest.mark.usefixtures("one_session_a_file")
@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_is_signed_is_refused_or_works(exported: Path, data: st.DataObject) -> None:
    """Any part of a manifest may be wrong and have a checksum that fits: one line, or finite answers."""
    manifest = json.loads((exported / MANIFEST).read_text())
    spoilt = spoil(manifest, data)
    with TemporaryDirectory() as place:
        folder = Path(place)
        for path in exported.iterdir():
            if path.name != MANIFEST:
                (folder / path.name).symlink_to(path)
        if isinstance(spoilt, dict):
            spoilt["sha256"] = digest_of(spoilt)
        (folder / MANIFEST).write_text(json.dumps(spoilt))
        answered_or_refused(lambda: everything_asked(folder))


def test_a_missing_extra_is_one_line() -> None:
    with (
        pytest.raises(JobError, match=r'nothing_here is not installed: pip install "surrogate-nas\[export\]"'),
        require_extra("export"),
    ):
        import nothing_here  # type: ignore[import-not-found]  # noqa: F401
