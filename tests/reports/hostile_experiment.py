"""An experiment in which every text that comes from outside is hostile."""

from __future__ import annotations

from steelyard.harness.records import Failure
from steelyard.reports.build import build_report
from steelyard.reports.document import Document
from tests.reports.fake_runs import fake_experiment
from tests.reports.hostile import CORPUS


def hostile_document() -> Document:
    """Names, notes, commands, failures, recipes, slices and answers are all of the corpus."""
    fake = fake_experiment(flips_per_task=3)
    bad = [text[:300] for text in CORPUS]
    names = {run.candidate: bad[i] for i, run in enumerate(fake.runs)}
    tasks = {t: bad[(i + 5) % len(bad)] + t for i, t in enumerate(_tasks(fake.runs))}
    runs = [
        run.model_copy(
            update={
                "candidate": names[run.candidate],
                "scores": tuple(
                    s.model_copy(update={"task": tasks[s.task], "note": bad[i % len(bad)]})
                    for i, s in enumerate(run.scores)
                ),
                "checkpoint": run.checkpoint.model_copy(
                    update={"recipe": {b: b for b in bad[:19]}, "trainer": bad[0], "base": bad[1]}
                ),
            }
        )
        for run in fake.runs
    ]
    comparisons = [
        c.model_copy(
            update={
                "baseline": names[c.baseline],
                "candidate": names[c.candidate],
                "problems": tuple(bad),
                "claim": bad[2],
                "deltas": _retasked(c.deltas, tasks),
                "slices": tuple(
                    d.model_copy(update={"task": tasks[d.task], "slice": f"{bad[3]}={bad[4]}"})
                    for d in c.slices
                ),
                "flip_counts": _retasked(c.flip_counts, tasks),
                "flips": tuple(
                    f.model_copy(
                        update={
                            "task": tasks[f.task],
                            "prompt": CORPUS[i % len(CORPUS)],
                            "target": CORPUS[(i + 1) % len(CORPUS)],
                            "baseline_response": CORPUS[(i + 2) % len(CORPUS)],
                            "candidate_response": CORPUS[(i + 3) % len(CORPUS)],
                            "slices": {bad[5]: bad[6]},
                        }
                    )
                    for i, f in enumerate(c.flips)
                ),
            }
        )
        for c in fake.comparisons
    ]
    verdicts = [
        v.model_copy(
            update={
                "candidate": names[v.candidate],
                "baseline": names[v.baseline],
                "summary": bad[i],
                "rules": tuple(
                    r.model_copy(update={"rule": bad[j], "why": bad[j + 8]})
                    for j, r in enumerate(v.rules)
                ),
            }
        )
        for i, v in enumerate(fake.verdicts)
    ]
    return build_report(
        bad[1],
        runs,
        comparisons,
        verdicts,
        baseline=names["base"],
        commands=bad,
        notes=bad,
        failures=[Failure(stage=b, message=b) for b in bad],
    )


def _tasks(runs):
    return dict.fromkeys(s.task for run in runs for s in run.scores)


def _retasked(records, tasks):
    return tuple(r.model_copy(update={"task": tasks[r.task]}) for r in records)
