"""The command that shows the state of a study."""

from dataclasses import asdict

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.inputs import open_study
from surrogate_nas.cli.options import Json, StudyPath


def status(study: StudyPath, as_json: Json = False) -> None:
    """Show the state of a study: trainings by kind, what is pending or at work, time spent and left."""
    home = open_study(study, {})
    from surrogate_nas.api import Study
    from surrogate_nas.cli.print_status import print_status

    state = Study(home).status()
    answer({**asdict(state), "path": str(state.path)}, as_json, lambda: print_status(state))
