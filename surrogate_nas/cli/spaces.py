"""Commands about search spaces: built-in ones, a user's own, and genomes of published systems."""

from typing import Annotated

import typer

from surrogate_nas.cli import completion
from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.options import Json, option
from surrogate_nas.cli.values import COUNT, Kind
from surrogate_nas.foundation.errors import InputError, JobError

spaces_app = typer.Typer(help="List the search spaces, or show, check or measure one.")
Which = Annotated[
    str,
    typer.Argument(
        metavar="SPACE", help="A search space's name, or a YAML file of your own.", autocompletion=completion.spaces
    ),
]
Published = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Published system: edanas, edanas-resolution, nachos or aebnas.",
        autocompletion=completion.published,
    ),
]


@spaces_app.callback()
def spaces(context: typer.Context, as_json: Json = False) -> None:
    """List the search spaces."""
    if context.invoked_subcommand is not None:
        return
    from surrogate_nas.cli.output import print_rows
    from surrogate_nas.space.card import space_rows

    rows = space_rows()
    answer(rows, as_json, lambda: print_rows(rows, "Search spaces"))


@spaces_app.command("show")
def show(space: Which, as_json: Json = False) -> None:
    """Show the choices of a search space."""
    from surrogate_nas.cli.output import print_rows
    from surrogate_nas.space.card import gene_rows
    from surrogate_nas.space.space import SearchSpace
    from surrogate_nas.space.yaml_files import load_space

    rows = gene_rows(SearchSpace(load_space(space)))
    answer(rows, as_json, lambda: print_rows(rows, f"Choices of {space}"))


@spaces_app.command("check")
def check(
    space: Which,
    samples: Annotated[int, option("Number of random networks that each law is tried on.", kind=COUNT)] = 200,
    channels: Annotated[int, option("Number of channels of the images.", kind=COUNT)] = 3,
    classes: Annotated[int, option("Number of classes.", kind=COUNT)] = 10,
    as_json: Json = False,
) -> None:
    """Check the laws of search spaces on one, and print its size and the costs of its networks."""
    for name, value in (("--samples", samples), ("--channels", channels), ("--classes", classes)):
        if value < 1:
            raise InputError(f"{name} {value} is not a positive integer")
    from surrogate_nas.cli.print_catalogue import print_space_check
    from surrogate_nas.space.card import check_space
    from surrogate_nas.space.yaml_files import load_space

    document = check_space(load_space(space), samples, channels, classes)
    answer(document, as_json, lambda: print_space_check(document))
    if not all(law["holds"] for law in document["laws"]):
        raise JobError(f"space {space} breaks laws that searches rely on")


@spaces_app.command("decode")
def decode(
    name: Published,
    genes: Annotated[str, typer.Argument(help="Integers between commas.")],
    as_json: Json = False,
) -> None:
    """Convert a genome of a published system to an encoding, and thresholds where they are genes."""
    from surrogate_nas.space.genomes import genome

    try:
        numbers = [int(word) for word in genes.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"genes are integers between commas, got {genes!r}") from None
    architecture, point = genome(name).decode(numbers)
    document = {"encoding": str(architecture), "thresholds": None if point is None else str(point)}
    lines = [f"encoding {architecture}", *([f"thresholds {point}"] if point else [])]
    answer(document, as_json, lambda: typer.echo("\n".join(lines)))


@spaces_app.command("encode")
def encode(
    name: Published,
    encoding: Annotated[str, option("Encoding of a network, as text or as numbers between commas.", kind=Kind("TEXT"))],
    thresholds: Annotated[
        str | None,
        option(
            "Threshold of each early exit, or off, such as 0.1,off,0.2,off, for systems in which they are genes.",
            kind=Kind("LIST"),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert an encoding, and thresholds where they are genes, to the genome of a published system."""
    from surrogate_nas.exits.operating_point import OperatingPoint
    from surrogate_nas.space.genomes import genome

    codec = genome(name)
    point = None if thresholds is None else OperatingPoint.parse(thresholds, codec.space.positions)
    genes = codec.encode(codec.space.parse(encoding), point)
    answer(list(genes), as_json, lambda: typer.echo(",".join(map(str, genes))))
