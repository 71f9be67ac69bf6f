"""Experiment -> stages, before anything is opened: what follows what, and what each needs."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.experiment import BASE, Candidate, Experiment
from steelyard.harness.pipeline.stage import Stage


def plan(experiment: Experiment, only: Sequence[str] = (), *, scoring: bool = True) -> list[Stage]:
    """The stages of an experiment (or of ``only`` these candidates and what they are made from).

    Training comes before scoring, parents before children: carried out one after another in this
    order, every stage finds what it needs.

    Raises ``UnknownNameError`` for a candidate that is not there.
    """
    wanted = _wanted(experiment, only)
    stages = [_training(experiment, candidate) for candidate in wanted]
    if scoring:
        for name in (BASE, *(candidate.name for candidate in wanted if candidate.scored)):
            stages += _scoring(experiment, name)
    return stages


def _wanted(experiment: Experiment, only: Sequence[str]) -> list[Candidate]:
    if not only:
        return list(experiment.candidates)
    graph = experiment.graph
    meant = experiment.meant_by(only)
    waiting = [experiment.candidate(name).name for name in meant if name != BASE]
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in graph and name not in needed:
            needed.add(name)
            waiting += graph[name]
    return [candidate for candidate in experiment.candidates if candidate.name in needed]


def _training(experiment: Experiment, candidate: Candidate) -> Stage:
    made_from = dict.fromkeys((candidate.parent, *candidate.sources))
    return Stage(
        name=f"train {candidate.name}",
        kind="train",
        candidate=candidate.name,
        after=tuple(f"train {name}" for name in made_from if name in experiment.names),
        resources=candidate.resources or experiment.settings.resources.train,
    )


def _scoring(experiment: Experiment, name: str) -> list[Stage]:
    needs = experiment.settings.resources.score
    after = () if name == BASE else (f"train {name}",)
    shards = [
        Stage(
            name=f"score {name} {number + 1}/{needs.shards}",
            kind="shard",
            candidate=name,
            after=after,
            resources=needs,
            share=(number, needs.shards),
        )
        for number in range(needs.shards if needs.shards > 1 else 0)
    ]
    whole = Stage(
        name=f"score {name}",
        kind="score",
        candidate=name,
        after=(*after, *(shard.name for shard in shards)),
        resources=needs,
    )
    return [*shards, whole]
