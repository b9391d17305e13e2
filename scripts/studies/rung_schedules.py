"""Compare learning-rate schedules by which a network can be measured at several rungs of one training.

    python scripts/studies/rung_schedules.py --data-root FOLDER --ledger data/rung-schedules.jsonl
    python scripts/studies/rung_schedules.py --ledger data/rung-schedules.jsonl --report

Networks of `compact` within 1 M MACs, spread evenly over log MACs, are trained on the images of `data/eenn-cifar10` up
to 27 × 18,000 image passes, and measured at 1, 3, 9 and 27 of 27. A line of the ledger is one training; the same
command continues. All exits are measured on tune and on 20,000 other images, so that differences are of networks, not
of the images that judge them.

Schedules: `one-cycle` (trained anew for each rung is `alone`), `cosine` (its warm-up ends before the first rung),
`constant`, `cyclic` (one cycle from each rung to the next) and `schedule-free` (needs `pip install schedulefree`).
Of each but the last two, a rung is measured in these ways: `raw`; `branch-D`, weights of a branch whose rate falls to 0
over the share D of the rung's passes; and `average`, of the weights over the last quarter of the passes, with
batch-norm statistics computed again. All passes of a branch count.
"""

import argparse
import copy
import math
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eenn_table import EACH_TRAIN, part_of
from ledger import Ledger
from scipy.stats import kendalltau, t
from torch import Tensor, nn

from surrogate_nas import datasets
from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.architecture.shape import ImageShape
from surrogate_nas.datasets.dataset import Dataset, LabeledImages, Splits
from surrogate_nas.datasets.splitting import split
from surrogate_nas.exits.limits import Limits
from surrogate_nas.foundation.arrays import Floats
from surrogate_nas.network.network import EarlyExitNetwork
from surrogate_nas.space.costs import costing_for
from surrogate_nas.space.sampling import sample_within
from surrogate_nas.space.space import SearchSpace
from surrogate_nas.space.spec import preset
from surrogate_nas.training import augmentation as augment
from surrogate_nas.training import training as train
from surrogate_nas.training.losses import TrainingObjective
from surrogate_nas.training.recipe import Recipe

UNIT = 18_000
RUNGS = (1, 3, 9, 27)
BATCH = 128
MAX_MACS = 1e6
TUNE_SHARE = 0.1
NETWORK_SEED = 1
DRAWN = 1000
FEWEST = 5
"""Trainings whose ranks say something."""
JUDGES = 1000
"""Images of each class, of the training images that nothing else uses; the test images judge too."""
DECAYS = (0.1, 0.2)
AVERAGED = 0.25
WARM_UP = 0.5
"""Share of the first rung in which the rate of `cosine`, `constant` and `schedule-free` rises."""
SCHEDULE_FREE: dict[str, dict[str, float]] = {
    "schedule-free": {},
    "schedule-free-r1": {"r": 1.0},
    "schedule-free-m95": {"momentum": 0.95},
    "schedule-free-m95-r1": {"momentum": 0.95, "r": 1.0},
    "schedule-free-wd1": {"weight_decay": 1e-4},
    "schedule-free-wd2": {"weight_decay": 2e-4},
}
"""Variants: options that differ from momentum 0.9, uniform weights and the recipe's weight decay."""
FORWARD, MOST_FORWARD = 0.1, 16
"""Share of a rung's steps, and most steps, whose forward passes alone estimate batch-norm statistics of averages."""
LEVEL = 0.95
"""One-sided level of each end of an interval."""
Line = dict[str, Any]
Rate = Callable[[float], float]
"""Learning rate as a share of the largest, at a number of image passes in units of `UNIT`."""


@dataclass(frozen=True)
class Case:
    """One training: `rates` names the schedule, with its largest learning rate."""

    network: str
    seed: int
    schedule: str
    rate: float

    @property
    def key(self) -> Line:
        return {"network": self.network, "seed": self.seed, "schedule": self.schedule, "rate": self.rate}


def one_cycle(start: float, end: float) -> Rate:
    """The schedule of `training.learning_rate` from `start` to `end`."""

    def rate(at: float) -> float:
        share = (at - start) / (end - start)
        if share < train.WARM_UP_SHARE:
            return share / train.WARM_UP_SHARE
        return 0.5 * (1 + math.cos(math.pi * (share - train.WARM_UP_SHARE) / (1 - train.WARM_UP_SHARE)))

    return rate


def cosine(at: float) -> float:
    """A linear rise, and a cosine to 0 at the last rung."""
    return constant(at) * 0.5 * (1 + math.cos(math.pi * at / RUNGS[-1]))


def constant(at: float) -> float:
    """A linear rise, and no fall."""
    return min((at + 1e-3) / WARM_UP, 1.0)


def cyclic(at: float) -> float:
    """A cycle from each rung to the next."""
    ends = (0, *RUNGS)
    k = next(k for k in range(1, len(ends)) if at < ends[k])
    return one_cycle(ends[k - 1], ends[k])(at)


TRUNKS: dict[str, Rate] = {
    "one-cycle": one_cycle(0, RUNGS[-1]),
    "cosine": cosine,
    "constant": constant,
    "cyclic": cyclic,
}


class Images:
    """The images of one process."""

    def __init__(self, root: Path) -> None:
        whole = datasets.load("cifar10", root)
        assert whole.test is not None
        used = part_of(whole.train, EACH_TRAIN)
        more = part_of(whole.train, EACH_TRAIN + JUDGES)
        fresh = _without(more, EACH_TRAIN)
        judge = LabeledImages(
            np.concatenate([whole.test.images, fresh.images]), np.concatenate([whole.test.labels, fresh.labels])
        )
        data = Dataset("cifar10", used, judge, whole.classes, whole.flips)
        self.splits: Splits = split(data, 0, TUNE_SHARE)
        self.classes, self.flips = len(whole.classes), whole.flips


def _without(data: LabeledImages, each: int) -> LabeledImages:
    """The images of each class after its first `each`."""
    keep = np.sort(np.concatenate([np.flatnonzero(data.labels == k)[each:] for k in np.unique(data.labels)]))
    return LabeledImages(data.images[keep], data.labels[keep])


@cache
def images(root: Path) -> Images:
    torch.set_num_threads(1)
    return Images(root)


class Trunk:
    """A training. Batches depend on the seed and the step alone, so that a branch sees what the trunk does."""

    def __init__(self, case: Case, data: Images) -> None:
        self.recipe = Recipe(batch_size=BATCH, learning_rate=case.rate)
        self.data, self.seed = data, case.seed
        self.images, self.labels = (torch.from_numpy(a) for a in (data.splits.train.images, data.splits.train.labels))
        architecture = Architecture.parse(case.network)
        device = torch.device("cpu")
        self.network = train.build(architecture, data.splits, data.classes, case.seed, device)
        self.optimizer = self._optimizer(case)
        self.objective = TrainingObjective(self.recipe, self.network.exit_macs("all"))
        self.step = 0
        self._epoch: tuple[int, list[tuple[Tensor, augment.Draw]]] = (-1, [])

    def _optimizer(self, case: Case) -> Any:
        if case.schedule not in SCHEDULE_FREE:
            return train.optimizer_of(self.network, self.recipe)
        from schedulefree import SGDScheduleFree

        options = {"momentum": 0.9, **SCHEDULE_FREE[case.schedule]}
        recipe = self.recipe.model_copy(update={"weight_decay": options.pop("weight_decay", self.recipe.weight_decay)})
        groups, warm_up = train.parameter_groups(self.network, recipe), round(WARM_UP * UNIT / BATCH)
        return SGDScheduleFree(groups, lr=case.rate, warmup_steps=warm_up, **options)

    @property
    def passes(self) -> float:
        return self.step * BATCH / UNIT

    def batch(self) -> tuple[Tensor, augment.Draw]:
        per_epoch = len(self.labels) // BATCH
        epoch, at = divmod(self.step, per_epoch)
        if self._epoch[0] != epoch:
            generator = torch.Generator().manual_seed(self.seed * 1000 + epoch)
            order = torch.randperm(len(self.labels), generator=generator)[: per_epoch * BATCH].reshape(per_epoch, BATCH)
            size = self.images.shape[-1]
            draws = [augment.draw(BATCH, size, self.recipe, self.data.flips, generator) for _ in range(per_epoch)]
            self._epoch = epoch, list(zip(order, draws, strict=True))
        return self._epoch[1][at]

    def advance(self, rate: float | None) -> None:
        index, drawn = self.batch()
        if rate is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        pictures, targets = self.images[index], self.labels[index]
        assert drawn.offset is not None
        pictures = augment.shift(pictures, drawn.offset, drawn.mirrored)
        outputs = self.network.exit_outputs(pictures.contiguous(memory_format=torch.channels_last))
        loss = self.objective(outputs, targets, targets, 0)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), train.GRADIENT_NORM)
        self.optimizer.step()
        self.step += 1

    def state(self) -> Any:
        return copy.deepcopy((self.network.state_dict(), self.optimizer.state_dict())), self.step

    def restore(self, state: Any) -> None:
        (network, optimizer), self.step = state
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict(copy.deepcopy(optimizer))

    def estimate_batch_norm(self, batches: int) -> None:
        """Compute batch-norm statistics again, as plain means over batches of augmented training images."""
        norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)]
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None
        self.network.train()
        with torch.no_grad():
            for _ in range(batches):
                index, drawn = self.batch()
                assert drawn.offset is not None
                pictures = augment.shift(self.images[index], drawn.offset, drawn.mirrored)
                self.network.exit_outputs(pictures.contiguous(memory_format=torch.channels_last))
                self.step += 1
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum


def measured(network: EarlyExitNetwork, splits: Splits) -> Line:
    network.eval()
    outputs = train.held_out_outputs(network, splits)
    network.train()
    return {
        name: [round(float(a), 5) for a in s.right.mean(axis=1)]
        for name, s in (("tune", outputs.tune), ("judge", outputs.test))
    }


def trained(case: Case, root: Path) -> Line:
    """Train one case, and measure it at every rung."""
    data = images(root)
    trunk = Trunk(case, data)
    trunk.network.train()
    if case.schedule.startswith("alone"):
        figures = dict(_alone(trunk, case, data))
    elif case.schedule in SCHEDULE_FREE:
        figures = dict(_schedule_free(trunk, data))
    else:
        figures = dict(_branched(trunk, case, data))
    return {**case.key, "rungs": figures}


def _alone(trunk: Trunk, case: Case, data: Images) -> Iterator[tuple[str, Line]]:
    start = trunk.state()
    for rung in RUNGS[:-1]:
        trunk.restore(start)
        rate = one_cycle(0, rung)
        while trunk.passes < rung:
            trunk.advance(case.rate * rate(trunk.passes))
        yield str(rung), {"raw": measured(trunk.network, data.splits)}


def _schedule_free(trunk: Trunk, data: Images) -> Iterator[tuple[str, Line]]:
    trunk.optimizer.train()
    for rung in RUNGS:
        steps = round(rung * UNIT / BATCH)
        forward = min(round(FORWARD * steps), MOST_FORWARD)
        while trunk.step < steps - forward:
            trunk.advance(None)
        state = trunk.state()
        trunk.optimizer.eval()
        trunk.estimate_batch_norm(forward)
        yield str(rung), {"raw": measured(trunk.network, data.splits)}
        trunk.restore(state)
        trunk.optimizer.train()


def _branched(trunk: Trunk, case: Case, data: Images) -> Iterator[tuple[str, Line]]:
    schedule = TRUNKS[case.schedule]
    branches = case.schedule in ("constant", "cosine")
    for rung in RUNGS:
        ways: Line = {}
        starts = {round((1 - d) * rung * UNIT / BATCH): d for d in DECAYS} if branches else {}
        if case.schedule == "cosine" and rung == RUNGS[-1]:
            starts = {}
        average: dict[str, Tensor] | None = None
        averaged = 0
        while trunk.passes < rung:
            if trunk.step in starts:
                state = trunk.state()
                d, first, last = starts[trunk.step], trunk.passes, rung
                top = case.rate * schedule(first)
                while trunk.passes < last:
                    trunk.advance(top * (last - trunk.passes) / (last - first))
                ways[f"branch-{d:g}"] = measured(trunk.network, data.splits)
                trunk.restore(state)
            trunk.advance(case.rate * schedule(trunk.passes))
            if branches and trunk.passes > (1 - AVERAGED) * rung:
                averaged += 1
                weights = {k: p.detach() for k, p in trunk.network.named_parameters()}
                if average is None:
                    average = {k: p.clone() for k, p in weights.items()}
                else:
                    for k, p in average.items():
                        p.lerp_(weights[k], 1 / averaged)
        ways["raw"] = measured(trunk.network, data.splits)
        if average is not None:
            state = trunk.state()
            trunk.network.load_state_dict(average, strict=False)
            trunk.estimate_batch_norm(2 * MOST_FORWARD)
            ways["average"] = measured(trunk.network, data.splits)
            trunk.restore(state)
        yield str(rung), ways


def networks(n: int, seed: int = NETWORK_SEED) -> list[str]:
    """Networks within the limit with all their exits: the first n of a stratified sample, spread over log MACs."""
    space = SearchSpace(preset("compact"))
    costing = costing_for(space, ImageShape(3, 32, 10), "all")
    rng = np.random.default_rng(seed)
    limits = Limits(max_worst_macs=MAX_MACS)
    drawn = sample_within(space, DRAWN, costing, limits, rng, set(), "stratified")
    return [str(a) for a in drawn if costing.of(a).macs()[0, -1] <= MAX_MACS][:n]


def _work(case: Case, root: Path) -> Line:
    return trained(case, root)


def report(ledger: Ledger, reference: str) -> None:
    """Print, for each schedule and way of measuring, the difference at the top to the reference, and how well lower
    rungs rank the top: on tune, against the other images at the top; beside it, how well those of the reference do on
    the same trainings."""
    name, _, rate = reference.partition(":")
    known = {_key(line): line for line in ledger.lines(schedule=name, rate=float(rate))}
    print(
        f"| schedule | measured | trainings | top − {reference}, points [90 %] | τ of rungs {RUNGS[:-1]} | reference |"
    )
    print("|---" * 6 + "|")
    for schedule, own_rate in dict.fromkeys((x["schedule"], x["rate"]) for x in ledger.lines()):
        own = [x for x in ledger.lines(schedule=schedule, rate=own_rate) if _key(x) in known]
        beside = [known[_key(x)] for x in own]
        for way in own[0]["rungs"][str(RUNGS[0])] if len(own) > 1 else ():
            top = way if way in own[0]["rungs"][str(RUNGS[-1])] else "raw"
            off = np.array([_top(x, top) - _top(y, "raw") for x, y in zip(own, beside, strict=True)])
            cells = [schedule + f" {own_rate:g}", way, str(len(own)), interval(off), _ranks(own, way, top)]
            print("| " + " | ".join([*cells, _ranks(beside, "raw", "raw")]) + " |")


def _top(line: Line, way: str) -> float:
    return float(line["rungs"][str(RUNGS[-1])][way]["judge"][-1])


def _key(line: Line) -> tuple[str, int]:
    return line["network"], line["seed"]


def interval(differences: Floats) -> str:
    """Mean of paired differences in points, with its 90 % interval by Student's t."""
    if len(differences) < 2:
        return "–"
    reach = t.ppf(LEVEL, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    mean = differences.mean()
    return f"{100 * mean:+.2f} [{100 * (mean - reach):+.2f}, {100 * (mean + reach):+.2f}]"


def _ranks(lines: list[Line], way: str, top: str) -> str:
    if len(lines) < FEWEST:
        return "–"
    high = [_top(line, top) for line in lines]
    lower = [[line["rungs"][str(rung)][way]["tune"][-1] for line in lines] for rung in RUNGS[:-1]]
    return " / ".join(f"{kendalltau(low, high).statistic:.2f}" for low in lower)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--reference", default="one-cycle:0.3", metavar="NAME:RATE")
    parser.add_argument("--schedules", nargs="+", default=["one-cycle:0.1"], metavar="NAME:RATE")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--network-seed", type=int, default=NETWORK_SEED)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    ledger = Ledger(arguments.ledger)
    if arguments.report:
        report(ledger, arguments.reference)
        return
    cases = [
        Case(network, seed, name, float(rate))
        for seed in range(arguments.seeds)
        for network in networks(arguments.networks, arguments.network_seed)
        for name, _, rate in (text.partition(":") for text in arguments.schedules)
    ]
    left = [case for case in cases if not ledger.lines(**case.key)]
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        waiting = [pool.apply_async(_work, (case, arguments.data_root), callback=ledger.add) for case in left]
        for result in waiting:
            result.get()


if __name__ == "__main__":
    main()
