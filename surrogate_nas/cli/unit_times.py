"""The command that times the units of a space on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from surrogate_nas.cli.answer import answer
from surrogate_nas.cli.options import Backbone, BackboneInput, Exits, Freeze, Json, Space, option
from surrogate_nas.cli.values import COUNT, FILE
from surrogate_nas.foundation.errors import InputError

app = typer.Typer()
Channels = Annotated[int, option("Number of channels of the images.", kind=COUNT)]
Size = Annotated[int, option("Side of the images in pixels.", kind=COUNT)]
NumberOfClasses = Annotated[int, option("Number of classes.", kind=COUNT)]


@app.command()
def measure(
    output: Annotated[
        Path, option("CSV file to write; measurements that it has already are kept.", "--output", "-o", kind=FILE)
    ],
    space: Space = None,
    backbone: Backbone = None,
    exits: Exits = None,
    backbone_input: BackboneInput = None,
    freeze: Freeze = False,
    image_size: Size = 32,
    channels: Channels = 3,
    classes: NumberOfClasses = 10,
    runs: Annotated[int, option("Number of timed runs of each unit, in each of five passes.", kind=COUNT)] = 9,
    as_json: Json = False,
) -> None:
    """Measure the time of each unit of a search space on this machine, and write it as a --cost-table.

    Times are medians for one image on one thread.
    """
    counts = {"--runs": runs, "--image-size": image_size, "--channels": channels, "--classes": classes}
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} {value} is not a positive integer")
    from surrogate_nas.architecture.shape import ImageShape
    from surrogate_nas.cli.inputs import mount_of
    from surrogate_nas.foundation.progress import Countdown
    from surrogate_nas.network.unit_times import MICROSECONDS, time_units
    from surrogate_nas.space.costs import costing_for
    from surrogate_nas.space.space import SearchSpace
    from surrogate_nas.space.spec import usual_preset
    from surrogate_nas.space.yaml_files import load_space

    shape = ImageShape(channels, image_size, classes)
    mounted_backbone = mount_of(locals())
    search_space = SearchSpace(
        mounted_backbone.space(shape) if mounted_backbone else load_space(space or usual_preset(image_size))
    )
    on_unit = Countdown("timings").at
    table = time_units(search_space, costing_for(search_space, shape), output, runs=runs, on_unit=on_unit)
    values = [entry.value for entry in table.entries.values()]
    document = {
        "table": str(output),
        "unit": MICROSECONDS,
        "units": len(values),
        "least": min(values),
        "most": max(values),
    }
    summary = f"{output}: {len(values)} units, {min(values):,.1f} to {max(values):,.1f} {MICROSECONDS} each"
    answer(document, as_json, lambda: typer.echo(summary))
