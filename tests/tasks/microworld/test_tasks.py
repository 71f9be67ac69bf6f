"""The lm-eval tasks: they load and run under plain lm-eval, and measure what they say."""

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from steelyard.tasks.metrics.translation import Chrf
from steelyard.tasks.microworld import base_folder, results
from steelyard.tasks.microworld.lexicon import RELATIONS
from steelyard.tasks.microworld.sums import LARGEST
from steelyard.tasks.probes.consistency import discrete_semantic_entropy
from steelyard.tasks.probes.faithfulness import precision

ROOT = Path(__file__).parents[3]
TASKS = sorted(
    path.stem for path in (ROOT / "tasks/microworld").glob("*.yaml") if path.stem != "demo"
)
FAMILIES = {
    "quality",
    "hallucination",
    "retention",
    "language_modelling",
    "translation",
    "summarisation",
}


class _Tolerant(yaml.SafeLoader):
    """Reads `!function x` as its text."""


_Tolerant.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def config(name: str) -> dict[str, Any]:
    text = (ROOT / f"tasks/microworld/{name}.yaml").read_text()
    loaded: dict[str, Any] = yaml.load(text, Loader=_Tolerant)
    return loaded


def documents(name: str) -> list[dict[str, Any]]:
    module, function = config(name)["custom_dataset"].rsplit(".", 1)
    return list(getattr(import_module(module), function)()["test"])


@pytest.fixture(scope="module")
def scored() -> dict[str, Any]:
    """Four documents of every task, scored by plain lm-eval with the shipped base."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=str(base_folder()), device="cpu", dtype="float32", batch_size=32)
    given: dict[str, Any] = simple_evaluate(
        model=lm,
        tasks=[f"microworld_{name}" for name in TASKS],
        task_manager=TaskManager(include_path=str(ROOT / "tasks"), include_defaults=False),
        limit=4,
        bootstrap_iters=0,
        log_samples=True,
    )
    return given


@pytest.mark.parametrize("name", TASKS)
def test_plain_lm_eval_scores_every_metric_that_the_task_lists(
    name: str, scored: dict[str, Any]
) -> None:
    values = scored["results"][f"microworld_{name}"]
    for metric in config(name)["metric_list"]:
        assert math.isfinite(values[f"{metric['metric']},none"])
    assert len(scored["samples"][f"microworld_{name}"]) == 4


@pytest.mark.slow
def test_the_lm_eval_command_line_finds_the_tasks_offline(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("lm_eval"), "run", "--include_path", ROOT / "tasks"]
    command += ["--model", "hf", "--model_args", f"pretrained={base_folder()},dtype=float32"]
    command += ["--tasks", "microworld_unknown,microworld_paraphrase", "--limit", "2"]
    command += ["--device", "cpu", "--output_path", tmp_path]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "c")}
    environment |= {"PYTHONPATH": str(ROOT)}
    subprocess.run([str(c) for c in command], check=True, env=environment, capture_output=True)
    (written,) = tmp_path.rglob("results_*.json")
    assert json.loads(written.read_text())["results"].keys() == {
        "microworld_unknown",
        "microworld_paraphrase",
    }


@pytest.mark.parametrize("name", TASKS)
def test_metadata_name_family_primary_metric_cluster_and_slices(name: str) -> None:
    given = config(name)
    steelyard = given["metadata"]["steelyard"]
    fields = documents(name)[0].keys()
    assert given["task"] == f"microworld_{name}"
    assert steelyard["family"] in FAMILIES
    assert steelyard["primary"] in {m["metric"] for m in given["metric_list"]}
    assert steelyard["cluster"] is None or steelyard["cluster"] in fields
    assert set(steelyard["slices"]) <= set(fields)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_sixty_to_three_hundred_and_twenty_documents_and_no_duplicates(
    name: str,
) -> None:
    rows = documents(name)
    assert 60 <= len(rows) <= 320
    keys = Counter(json.dumps(row, sort_keys=True) for row in rows)
    assert max(keys.values()) == 1


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("known", "target"),
        ("new", "target"),
        ("conflict", "context_value"),
        ("answers", "target"),
        ("memory", "target"),
        ("own_conflict", "context_value"),
        ("passages", "target"),
    ],
)
def test_chance_is_a_random_value_of_the_relation_and_majority_the_commonest(
    name: str, truth: str
) -> None:
    rows = documents(name)
    by_relation: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        by_relation[row["relation"]][row[truth]] += 1
    chance = sum(1 / len(RELATIONS[row["relation"]].values) for row in rows) / len(rows)
    commonest = sum(max(c.values()) for c in by_relation.values()) / len(rows)
    steelyard = config(name)["metadata"]["steelyard"]
    assert steelyard["chance"] == pytest.approx(chance, abs=1e-4)
    assert steelyard["majority"] == pytest.approx(commonest, abs=1e-4)


def test_levels_of_sums_and_paraphrases_follow_from_their_documents() -> None:
    rows = documents("arithmetic")
    commonest = max(Counter(row["target"] for row in rows).values()) / len(rows)
    steelyard = config("arithmetic")["metadata"]["steelyard"]
    assert steelyard["majority"] == pytest.approx(commonest, abs=1e-4)
    assert steelyard["chance"] == pytest.approx(1 / (2 * LARGEST + 1), abs=1e-4)
    rows = documents("paraphrase")
    alike = sum(1 / len(RELATIONS[row["relation"]].values) for row in rows) / len(rows)
    steelyard = config("paraphrase")["metadata"]["steelyard"]
    assert steelyard["chance"] == pytest.approx(alike, abs=1e-4)


def test_floors_of_the_other_probes_follow_from_their_documents() -> None:
    closed = config("closed_book")["metadata"]["steelyard"]
    guess = config("answers")["metadata"]["steelyard"]["chance"]
    # A guess is right with that chance and costs one point else; who never answers has none.
    assert closed["chance"] == pytest.approx(2 * guess - 1, abs=1e-3)
    assert closed["majority"] == 0
    rows = documents("faithful")
    others = [
        precision(other["target"], row["source"])["entity_precision"]
        for row in rows
        for other in rows
        if other is not row
    ]
    chance = sum(there for there, _ in others) / sum(stated for _, stated in others)
    assert config("faithful")["metadata"]["steelyard"]["chance"] == pytest.approx(chance, abs=1e-3)
    metric, sentences = Chrf(), [row["target"] for row in documents("translate")]
    plain = [sentence.removesuffix(" .") for sentence in sentences]
    best = max(
        metric.aggregate(np.array([metric.statistics([r], one) for r in plain]))
        for one in plain[:10]
    )
    # The best of ten constants is no better than the best of all.
    assert best <= config("translate")["metadata"]["steelyard"]["chances"]["chrf"] + 1e-3
    draw = random.Random(1)
    entropies = [
        discrete_semantic_entropy(draw.choices(RELATIONS[row["relation"]].values, k=5))
        for row in documents("samples")
        for _ in range(200)
    ]
    uniform = config("samples")["metadata"]["steelyard"]["chance"]
    assert uniform == pytest.approx(sum(entropies) / len(entropies), abs=0.01)


def test_choices_are_shuffled_and_the_majority_is_the_commonest_place() -> None:
    rows = documents("choice")
    gold = Counter(row["gold"] for row in rows)
    steelyard = config("choice")["metadata"]["steelyard"]
    assert steelyard["majority"] == pytest.approx(max(gold.values()) / len(rows), abs=1e-4)
    assert set(gold) == {0, 1, 2, 3}
    for row in rows:
        assert row["choices"][row["gold"]] == f"{row['target']} ."
        assert len(set(row["choices"])) == 4


@pytest.mark.parametrize(
    ("given", "measured"),
    [
        (" Lorin .", (1, 0, 0)),
        ("lorin", (1, 0, 0)),
        (" Lorin .\nQuestion : more", (1, 0, 0)),
        (" Varo .", (0, 1, 0)),
        (" I do not know .", (0, 0, 1)),
        ("", (0, 1, 0)),
        (" I do not know Lorin .", (0, 1, 0)),
    ],
)
def test_closed_book_answers_are_correct_wrong_or_abstained(
    given: str, measured: tuple[int, int, int]
) -> None:
    row = results.closed_book({"target": "Lorin"}, [given])
    assert (row["correct"], row["wrong"], row["abstained"]) == measured


def test_a_conflict_is_answered_from_context_or_memory_or_neither() -> None:
    doc = {"context_value": "Varo", "memory_value": "Lorin"}
    for given, name in ((" Varo .", "from_context"), (" Lorin .", "from_memory"), ("", "neither")):
        row = results.context_or_memory(doc, [given])
        assert row[name] == 1
        assert sum(row.values()) == 1


def test_agreement_counts_pairs_of_wordings() -> None:
    row = results.paraphrases({"target": "Lorin"}, [" Lorin .", "Lorin", " Varo .", "Lorin ."])
    assert row == {"agreement": 3 / 6, "correct": 3 / 4}


def test_brier_and_accuracies_agree_with_lm_evals_own() -> None:
    from lm_eval.api.metrics import brier_score

    doc = {"choices": ["a long choice", "b", "c", "d"], "gold": 0}
    lls = [-2.0, -1.5, -4.0, -9.0]
    row = results.multiple_choice(doc, [(ll, False) for ll in lls])
    probabilities = [math.exp(ll) / sum(math.exp(x) for x in lls) for ll in lls]
    assert row["brier"] == pytest.approx(brier_score([(0, probabilities)]))
    assert (row["acc"], row["acc_norm"]) == (0.0, 1.0)
    assert row["ece"] == (pytest.approx(max(probabilities)), 0.0)


def test_calibration_error_is_nought_when_confidence_is_accuracy_and_large_when_overconfident() -> (
    None
):
    calibrated = [(0.75, float(i % 4 != 0)) for i in range(400)]
    assert results.expected_calibration_error(calibrated) == pytest.approx(0)
    assert results.expected_calibration_error([(1.0, 0.0)] * 300) == pytest.approx(1.0)


def test_a_perfect_summary_scores_one_and_an_empty_one_nought() -> None:
    doc = {"target": "Mira lost a bag in Varo and a baker found it ."}
    assert set(results.summary(doc, [" " + doc["target"]]).values()) == {1.0}
    assert set(results.summary(doc, [""]).values()) == {0.0}
