"""Output of a dry run."""

from typing import TYPE_CHECKING

from surrogate_nas.cli.answer import answer

if TYPE_CHECKING:
    from surrogate_nas.study.preview import Preview


def answer_preview(preview: "Preview", as_json: bool) -> None:
    """Print a preview, as JSON or as text."""
    from surrogate_nas.documents import preview_document

    answer(preview_document(preview), as_json, lambda: print_preview(preview))


def print_preview(preview: "Preview") -> None:
    """Print a preview on one screen."""
    from surrogate_nas.cli.output import console
    from surrogate_nas.foundation.machine import amount
    from surrogate_nas.foundation.progress import duration
    from surrogate_nas.study.pruning import kept_weights

    header, settings, plan = preview.header, preview.problem.settings, preview.plan
    estimate = "unknown before the first training" if preview.seconds is None else f"about {duration(preview.seconds)}"
    where = "on Ray" if plan.device is None else f"on {plan.device}"
    lines = {
        "study": f"{preview.path}{' (new)' if preview.new else ''}",
        "data": f"{header.data}, {header.shape.classes} classes, {header.shape.size} × {header.shape.size} pixels",
        "space": header.space.name,
        "seed": f"{header.seed}{f', stream {settings.stream}' if settings.stream else ''}",
        "limits": str(settings.limits),
        "done": f"{preview.done}{'' if preview.by_time else f' of {settings.budget}'} trainings of the search",
        "to do": f"{_how_many(preview)}, {plan.workers} at a time {where}; {_how_far(preview)}",
        "time": estimate,
        "disk": f"at most {amount(plan.disk)} (weights kept: {kept_weights(settings)})",
        "memory": (f"about {amount(plan.memory)} per training" if plan.memory else "on other machines")
        + (f", and {amount(plan.gpu.memory)} of the GPU" if plan.gpu else ""),
    }
    for name, value in lines.items():
        console.print(f"{name:<8} {value}", markup=False, soft_wrap=True)
    for architecture, trainings in preview.networks:
        console.print(f"{trainings} × {architecture}", markup=False, soft_wrap=True)
    console.print("dry run: nothing was trained or written", soft_wrap=True)


def _how_many(preview: "Preview") -> str:
    return "what the time suffices for" if preview.by_time else f"{preview.plan.trainings} trainings"


def _how_far(preview: "Preview") -> str:
    ladder = preview.problem.ladder
    if preview.by_time:
        return "on the ladder that the run makes" if ladder is None else f"on the ladder of {ladder} image passes"
    if ladder is None or preview.passes is None:
        return f"epochs: {preview.recipe.epochs}"
    return f"to {ladder.name(preview.passes)}"
