"""A user's own space in a file: whatever is wrong is said with its line."""

from pathlib import Path

import pytest

from surrogate_nas.foundation.errors import InputError
from surrogate_nas.space.spec import preset
from surrogate_nas.space.yaml_files import load_space, read_space

EXAMPLE = Path(__file__).parents[2] / "docs/howto/example_space.yaml"
GOOD = """\
name: mine
image_sizes: [8, 16]
stem: {width: 4}
stages:
  - {block: residual, depth: 1, width: [4, 8], kernel: 3, stride: 1}
  - block: residual
    depth: [1, 2]
    width: 8
    kernel: [3, 5]
    stride: 2
branch: {depth: [0, 1], channels: 8, layer: [conv, separable]}
"""


def space_file(path: Path, text: str) -> Path:
    file = path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_read_as_its_mapping_would_be(tmp_path: Path) -> None:
    assert read_space(space_file(tmp_path, GOOD)).model_dump()["stages"][1]["kernel"] == (3, 5)
    assert load_space("tiny") == preset("tiny")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kernel: [3, 5]", "kernel: [3, 4]", "line 9: stages.1: kernel 4 is even; kernels must be odd"),
        ("depth: [1, 2]", "depth: [2, 1]", "line 7: stages.1: depth [2, 1] is not a list of distinct ascending"),
        ("width: 8\n", "widht: 8\n", "line 8: unknown setting 'stages.1.widht'; allowed: block, depth, width"),
        ("    stride: 2\n", "", "line 6: stages.1.stride: field required"),
        ("stride: 1}", "stride: one}", "line 5: stages.0.stride: input should be a valid integer"),
        ("channels: 8", "channels: 8, pool: 32", "line 11: branch.pool 32 exceeds the side 8"),
        ("image_sizes: [8, 16]", "image_sizes: [16, 8]", "line 2: image_sizes [16, 8] must be the smallest and the"),
        ("name: mine", "name: mine\nname: yours", "line 2: duplicate key 'name'"),
        ("stem: {width: 4}", "stem: {width: 4", "line 4: "),
        ("branch: {", "exits: {at: [2]}\nbranch: {", "line 11: exits.at: no early exit can follow stage 2; allowed"),
        ("branch: {", "branch: {kind: gated, ", "line 11: "),
        (GOOD, "", "expected a mapping with name, image_sizes, stem, stages and branch"),
        (GOOD, "- 1\n- 2\n", "expected a mapping with name"),
        ("name: mine", "name: !!python/object/apply:os.system [ls]", "line 1: "),
    ],
)
def test_what_is_wrong_is_one_line_with_the_line_and_the_field(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_space(space_file(tmp_path, GOOD.replace(old, new, 1)))
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'mine.yaml'}")
    assert message in line
    assert "\n" not in line


def test_aliases_that_grow_without_end_and_large_files_are_refused(tmp_path: Path) -> None:
    laughs = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    with pytest.raises(InputError, match="aliases expand to more than 20,000 values"):
        read_space(space_file(tmp_path, laughs))
    with pytest.raises(InputError, match="a search space has at most 100,000 bytes, got"):
        read_space(space_file(tmp_path, "# " + "x" * 200_000))
    with pytest.raises(InputError, match="No such file"):
        load_space(tmp_path / "none.yaml")
