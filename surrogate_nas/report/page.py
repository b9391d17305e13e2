"""HTML page of a study: its sections in order, rendered from the contents. It loads nothing from other hosts."""

from collections import Counter

from plotly.offline import get_plotlyjs

from surrogate_nas.exits.limit_table import BREAKS_LEGEND
from surrogate_nas.foundation.progress import duration
from surrogate_nas.report.assets import SCRIPT, STYLE
from surrogate_nas.report.calibration import calibration_section
from surrogate_nas.report.classes import classes_section
from surrogate_nas.report.contents import Contents, TrainedNetwork
from surrogate_nas.report.examples import examples_section
from surrogate_nas.report.exit_mix import exit_mix_section
from surrogate_nas.report.figures import captioned, hypervolume_figure
from surrogate_nas.report.finals import finals_section
from surrogate_nas.report.guards import guards_section
from surrogate_nas.report.latency import latency_section
from surrogate_nas.report.solutions import front_section, static_links
from surrogate_nas.report.text import count, entry, escape, html_table, limits_text, origin, paragraph, percent, section
from surrogate_nas.report.trust import predictions_section, trust_section

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""Content security policy under which a browser refuses every request to another host."""


def page(contents: Contents) -> str:
    """The whole page as an HTML document."""
    title = f"Early-exit networks for {escape(contents.header.data)}"
    parts = [
        header(contents),
        front_section(contents),
        finals_section(contents),
        latency_section(contents.latencies),
        guards_section(contents.guards),
        exit_mix_section(contents),
        calibration_section(contents),
        examples_section(contents),
        classes_section(contents),
        predictions_section(contents),
        trust_section(contents),
        progress_section(contents),
        networks_section(contents),
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n<body>",
            f"<h1>{title}</h1>",
            *parts,
            f"<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def header(contents: Contents) -> str:
    """Header with the study's data set, space, limits and numbers of trainings, and the splits of the figures."""
    study, shape, splits = contents.header, contents.header.shape, contents.splits
    sizes = ", ".join(
        f"{name} {'unknown' if size is None else count(size)}"
        for name, size in (("train", splits.train), ("tune", splits.tune), ("test", splits.test))
    )
    entries = {
        "Data set": f"{study.data}, images of {shape.size} × {shape.size} pixels with {_channels(shape.channels)}, "
        f"{shape.classes} classes",
        "Images": sizes,
        "Search space": study.space.name,
        "Seed": study.seed,
        "Limits": limits_text(contents.limits),
        **({} if contents.rung is None else {"Trained to": f"{contents.rung}: all figures of this page"}),
        "Trainings": trainings_text(contents),
        "Time spent training": f"{duration(sum(r.seconds for r in contents.records))}, summed over workers",
        "Generated": f"{contents.generated:%Y-%m-%d %H:%M} UTC by surrogate-nas {contents.version}",
    }
    definitions = "\n".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in entries.items())
    note = (
        "Thresholds and the networks on the front were chosen on the tune split. Accuracies are measured on the test "
        "split, which was used for no choice, unless marked as tune."
    )
    if contents.limits.active:
        note += f" {BREAKS_LEGEND}."
    return f"<header>\n{verdict(contents)}<dl>\n{definitions}\n</dl>\n{paragraph(note)}\n</header>"


def verdict(contents: Contents) -> str:
    """Whether early exits pay, in sentences; nothing until a network has been trained."""
    if contents.payoff is None:
        return ""
    first, *others = map(escape, contents.payoff.sentences)
    return "".join(f"{paragraph(text)}\n" for text in (f"<strong>{first}</strong>", *others))


def _channels(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def trainings_text(contents: Contents) -> str:
    """Numbers of trainings by origin, of failures and of baselines."""
    origins = Counter(r.proposal.origin for r in contents.records)
    parts = [f"{origins['initial']} sampled", f"{origins['search']} from the search"]
    if origins["user"]:
        parts.append(f"{origins['user']} requested")
    if origins["promoted"]:
        parts.append(f"{origins['promoted']} promoted from a lower rung")
    text = f"{len(contents.records)}: {', '.join(parts)}; {len(contents.failures)} failed"
    return f"{text}; also {len(contents.baselines)} baselines" if contents.baselines else text


def progress_section(contents: Contents) -> str:
    """Section on the hypervolume after each training."""
    title = "Hypervolume after each training"
    if not contents.records:
        return section(title, paragraph("No network has been trained yet."))
    caption = (
        "Hypervolume of the front on tune within the limits: the area that the front dominates, after each training in "
        "the order of proposal. Where the line is flat, further trainings have not improved the front."
    )
    figure = captioned(hypervolume_figure(contents), "hypervolume", caption)
    return section(title, figure, static_links("hypervolume"))


def networks_section(contents: Contents) -> str:
    """Section with tables of all trained networks and all failed trainings."""
    parts = []
    if contents.networks:
        on_front = Counter(s.record.id for s in contents.front)
        columns = (
            "id",
            "from",
            "round",
            "parameters",
            "MACs of last exit",
            "test accuracy of last exit",
            "solutions on the front",
        )
        bodies = [_network_row(n, on_front[n.record.id]) for n in contents.networks]
        note = "MACs and accuracy of the last exit are measured with every early exit off."
        parts += [paragraph(f"{escape(remark)}.", "warning") for remark in contents.remarks]
        parts += [paragraph(note, "note"), html_table("All trained networks", columns, bodies, "trained")]
    if contents.failures:
        bodies = [
            entry(
                [escape(r.id), origin(r), str(r.proposal.round), escape(r.failure.kind), escape(r.failure.message)],
                encoding=str(r.architecture),
            )
            for r in contents.failures
            if r.failure is not None
        ]
        parts += [
            "<h3>Failed trainings</h3>",
            html_table("Failed trainings", ("id", "from", "round", "kind", "message"), bodies, "failed"),
        ]
    return section("All networks", *(parts or [paragraph("No network has been trained yet.")]))


def _network_row(network: TrainedNetwork, on_front: int) -> str:
    record, last = network.record, network.to_the_end
    cells = [
        escape(record.id),
        origin(record),
        str(record.proposal.round),
        count(network.parameters),
        count(last.worst_macs),
        percent(last.accuracy),
        str(on_front or "–"),
    ]
    return entry(cells, encoding=str(record.architecture))
