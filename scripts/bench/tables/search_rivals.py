"""Searches to compare with: random, pymoo's NSGA-II, and Optuna's samplers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from search_table import Ints, TableProblem

from surrogate_nas.foundation.errors import InputError


class Random:
    """Any rows."""

    def __init__(self, problem: TableProblem, seed: int) -> None:
        self.problem, self.rng = problem, np.random.default_rng([seed, 1])

    def __call__(self, evaluated: list[int], q: int) -> list[int]:
        return self.rng.permutation(self.problem.untaken(evaluated))[:q].tolist()


class Nsga2:
    """NSGA-II (Deb et al., 2002): pymoo's survival of the fittest, tournaments, uniform crossover, mutation of about
    one choice. Survivors are as many as the initial design; every batch is a generation."""

    def __init__(self, problem: TableProblem, seed: int) -> None:
        self.problem, self.rng, self.survivors = problem, np.random.default_rng([seed, 2]), 0

    def __call__(self, evaluated: list[int], q: int) -> list[int]:
        self.survivors = self.survivors or len(evaluated)
        codes, rank, crowding = self._parents(evaluated)
        proposed = list[int]()
        for _ in range(q):
            child = self._mutated(self._crossed(codes, rank, crowding))
            proposed.append(self.problem.nearest(child, [*evaluated, *proposed], self.rng))
        return proposed

    def _parents(self, evaluated: list[int]) -> tuple[Ints, Ints, Ints]:
        from pymoo.core.population import Population
        from pymoo.core.problem import Problem
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        codes, floor = self.problem.codes[evaluated], self.problem.floor
        y = self.problem.table.y[evaluated]
        short = np.zeros((len(y), 1)) if floor is None else np.maximum(floor - y, 0)[:, None]
        problem = Problem(n_var=codes.shape[1], n_obj=2, n_ieq_constr=1)
        everyone = Population.new(X=codes, F=np.stack([-y, self.problem.cost[evaluated]], axis=1), G=short)
        survivors = RankAndCrowding().do(problem, everyone, n_survive=self.survivors)
        short, rank, crowding = (survivors.get(name) for name in ("G", "rank", "crowding"))
        rank = np.array([0 if r is None else r for r in rank]) + 1e3 * (short[:, 0] > 0) + short[:, 0]
        crowding = np.array([0.0 if c is None else c for c in crowding])
        return survivors.get("X").astype(np.int64), rank, crowding

    def _crossed(self, codes: Ints, rank: Ints, crowding: Ints) -> Ints:
        def winner() -> Ints:
            a, b = self.rng.choice(len(codes), size=2, replace=False)
            return codes[a if (rank[a], -crowding[a]) <= (rank[b], -crowding[b]) else b]

        return np.where(self.rng.random(codes.shape[1]) < 0.5, winner(), winner())

    def _mutated(self, child: Ints) -> Ints:
        """Every choice, one time in d, becomes another: any name, or a neighbouring number."""
        child = child.copy()
        for j in np.flatnonzero(self.rng.random(len(child)) < 1 / len(child)):
            last = len(self.problem.levels[j]) - 1
            if self.problem.nominal[j]:
                child[j] = (child[j] + self.rng.integers(1, last + 1)) % (last + 1)
            else:
                child[j] = np.clip(child[j] + self.rng.choice([-1, 1]), 0, last)
        return child


class Optuna:
    """A multi-objective study. What was evaluated is what the study is told, where that is not what it asked for."""

    def __init__(self, problem: TableProblem, seed: int, sampler: str) -> None:
        try:
            import optuna
        except ImportError:
            raise InputError(f"--strategies optuna-{sampler}: needs Optuna, which is not installed") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna, self.problem, self.seed, self.sampler = optuna, problem, seed, sampler
        self.rng = np.random.default_rng([seed, 3])
        self.attributes = dict[int, dict[str, Any]]()
        self.n_told, self.study = 0, None
        pairs = list(zip(problem.levels, problem.nominal, strict=True))
        self.space = {f"x{j}": _distribution(optuna, len(v), nominal) for j, (v, nominal) in enumerate(pairs)}

    def __call__(self, evaluated: list[int], q: int) -> list[int]:
        if self.study is None:
            self.study = self.optuna.create_study(
                directions=["maximize", "minimize"], sampler=self._make_sampler(len(evaluated))
            )
        for row in evaluated[self.n_told :]:
            self._tell(row)
        self.n_told = len(evaluated)
        trials, proposed = [], list[int]()
        for _ in range(q):
            trial = self.study.ask(self.space)
            codes = np.array([trial.params[name] for name in self.space])
            row = self.problem.nearest(codes, [*evaluated, *proposed], self.rng)
            self.attributes[row] = dict(self.study.trials[trial.number].system_attrs)
            trials.append(trial)
            proposed.append(row)
        for trial in trials:  # their rows are told instead, once they are evaluated
            self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        return proposed

    def _tell(self, row: int) -> None:
        first = {"NSGAIISampler:generation": 0} if self.sampler == "nsga2" else {}
        short = {} if self.problem.floor is None else {"floor": self.problem.floor - float(self.problem.table.y[row])}
        params = dict(zip(self.space, self.problem.codes[row].tolist(), strict=True))
        self.study.add_trial(
            self.optuna.trial.create_trial(
                params=params,
                distributions=self.space,
                system_attrs=self.attributes.get(row, first),
                values=[float(self.problem.table.y[row]), float(self.problem.cost[row])],
                **_constraints(short),
            )
        )

    def _make_sampler(self, initial: int) -> Any:
        samplers = self.optuna.samplers
        if self.sampler == "tpe":
            return samplers.TPESampler(seed=self.seed, n_startup_trials=initial, multivariate=True, constant_liar=True)
        if self.sampler == "nsga2":
            return samplers.NSGAIISampler(seed=self.seed, population_size=max(initial, 2))
        return samplers.GPSampler(seed=self.seed, n_startup_trials=initial, deterministic_objective=True)


def _constraints(short: dict[str, float]) -> dict[str, Any]:
    return {"constraints": short} if short else {}


def _distribution(optuna: Any, levels: int, nominal: bool) -> Any:
    if nominal:
        return optuna.distributions.CategoricalDistribution(list(range(levels)))
    return optuna.distributions.IntDistribution(0, levels - 1)


RIVALS: dict[str, Callable[[TableProblem, int], Any]] = {
    "random": Random,
    "nsga2": Nsga2,
    "optuna-tpe": lambda problem, seed: Optuna(problem, seed, "tpe"),
    "optuna-nsga2": lambda problem, seed: Optuna(problem, seed, "nsga2"),
    "optuna-gp": lambda problem, seed: Optuna(problem, seed, "gp"),
}
