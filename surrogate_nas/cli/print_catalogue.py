"""Tables of search spaces and data sets."""

from typing import TYPE_CHECKING, Any

from surrogate_nas.cli.output import print_line, print_table
from surrogate_nas.foundation.machine import amount
from surrogate_nas.space.card import CHECK_SAMPLE

if TYPE_CHECKING:
    from surrogate_nas.datasets.card import DataCard, GroupCounts


def print_space_check(document: dict[str, Any]) -> None:
    """Print the check of a space: its size, the costs of its networks, and the laws tried."""
    print_line(
        f"{document['space']}: {document['networks']:,} networks, {document['genes']} genes, "
        f"{document['exits']} exit positions"
    )
    rows = [
        (size, *(f"{low:,} to {high:,}" for low, high in amounts.values()))
        for size, amounts in document["costs"].items()
    ]
    note = f"smallest and largest of {CHECK_SAMPLE:,} networks spread over the costs, or of all; exact"
    columns = ("image size", "MACs to the last exit", "parameters", "bytes of weights", "bytes of activations")
    print_table("", columns, rows, note)
    for law in document["laws"]:
        verdict = "ok  " if law["holds"] else "FAIL"
        against = "" if law["holds"] else f"; it fails for {law['counterexample']}"
        print_line(f"{verdict}  {law['law']} ({law['tried']} tried){against}")
    for encoding in document["sample"]:
        print_line(encoding)


def _groups(groups: "GroupCounts") -> str:
    return (
        f"train {groups.train:,}, tune {groups.tune:,}, test {groups.test:,}; the largest has {groups.largest:,} images"
    )


def print_card(card: "DataCard") -> None:
    """Print a data card on one screen."""
    channels = " and ".join(f"{m:.0f} ± {d:.0f}" for m, d in zip(card.mean, card.deviation, strict=True))
    even = "all of the same size" if card.balance == 1 else f"smallest / largest: {card.balance:.2f}"
    lines = {
        "images": f"train {card.train:,}, tune {card.tune:,}, test {card.test:,}",
        **({} if card.groups is None else {"groups": _groups(card.groups)}),
        "pixels": f"{card.size} × {card.size}, {'grey' if card.channels == 1 else 'colour'}; mean ± sd {channels}",
        "resize": _resizing(card),
        "classes": f"{len(card.classes)}; {even}",
        "memory": amount(card.bytes),
        "mirrored": "half of the images, in training" if card.flips else "never (--no-flips)",
        "fingerprint": card.fingerprint,
        **{f"note {i}": note for i, note in enumerate(card.notes, 1)},
    }
    for name, value in lines.items():
        print_line(f"{name:<12} {value}")
    rows = [(c.name, f"{c.images:,}", f"{c.test:,}") for c in card.classes]
    print_table(card.name, ("class", "train and tune", "test"), rows)


def _resizing(card: "DataCard") -> str:
    """Way in which pictures became square, and the effect of each way on the average picture."""
    if not card.oblong:
        return f"{card.resize}; all images are square, so crop, pad and squash are the same"
    percent = f"{100 * card.oblong:.0f} %"
    effects = {
        "crop": f"cuts off {percent} of the average picture",
        "pad": f"leaves {percent} of the square black",
        "squash": f"stretches one side about {1 / (1 - card.oblong):.2f} times",
    }
    others = ", ".join(f"{name} {effect}" for name, effect in effects.items() if name != card.resize)
    return f"{card.resize}, which {effects[card.resize]}; instead, --resize {others}"
