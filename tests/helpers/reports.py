"""Contents of reports."""

from surrogate_nas import Study
from surrogate_nas.report.contents import Contents


def contents_of(study: Study) -> Contents:
    """The contents of a study's report."""
    return Contents.of(study.solutions, study.images)
