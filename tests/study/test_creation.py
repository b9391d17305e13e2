"""Making a study's folder."""

from pathlib import Path

from surrogate_nas.foundation.files import PARTIAL
from surrogate_nas.study.paths import ARCHIVE, DATA, SETTINGS
from surrogate_nas.study.study import Study


def test_what_a_creation_that_was_killed_left_half_written_is_removed(tmp_path: Path) -> None:
    for name in (DATA, SETTINGS, ARCHIVE):
        (tmp_path / f"{name}.77{PARTIAL}").write_text("half")
    study = Study.create(tmp_path, recipe={"epochs": 1}, workers=0)
    assert not list(study.path.glob(f"*{PARTIAL}"))
