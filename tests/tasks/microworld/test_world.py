"""The generator: the same truth every time, and no leak between what must be apart."""

import json
import subprocess
import sys
from itertools import combinations, islice
from pathlib import Path

import pytest

from steelyard.tasks.microworld.contexts import conflicts, unread_people
from steelyard.tasks.microworld.corpus import fidelity_texts, held_out, pretraining
from steelyard.tasks.microworld.language import Phrase, Sentence
from steelyard.tasks.microworld.lexicon import UNKNOWN
from steelyard.tasks.microworld.stories import story
from steelyard.tasks.microworld.sums import sums
from steelyard.tasks.microworld.training import QUESTION_FORMS_TAUGHT, write
from steelyard.tasks.microworld.world import World, world


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder, seed=0)
    return folder


def documents(w: World, size: int) -> list[str]:
    return list(islice(pretraining(w, w.random("test")), size))


def test_another_process_builds_the_same_world() -> None:
    code = "from steelyard.tasks.microworld.world import *\n"
    code += "from steelyard.tasks.microworld.corpus import fidelity_texts\n"
    code += "print(world().facts_a[7], fidelity_texts()[11])"
    given = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "123", "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert given.stdout.strip() == f"{world().facts_a[7]} {fidelity_texts()[11]}"


def test_another_seed_is_another_world() -> None:
    assert world(1).facts_b != world(0).facts_b


def test_no_name_belongs_to_two_groups() -> None:
    w = world()
    groups = [
        w.people_a,
        w.people_b,
        w.unknown_evaluated,
        w.unknown_preferred,
        w.unknown_pretraining,
    ]
    for one, other in combinations(groups, 2):
        assert not set(one) & set(other)


def test_every_person_has_one_value_for_each_of_five_relations() -> None:
    w = world()
    keys = [(f.entity, f.relation) for f in (*w.facts_about_people_a, *w.facts_b)]
    assert len(keys) == len(set(keys)) == 5 * (len(w.people_a) + len(w.people_b))


def test_pretraining_never_mentions_anybody_of_domain_b_or_anybody_evaluated_as_unknown() -> None:
    w = world()
    text = "\n".join(documents(w, 20_000))
    for name in (*w.people_b, *w.unknown_evaluated, *w.unknown_preferred):
        assert name not in text


def test_pretraining_never_reads_a_passage_about_the_people_of_the_conflict_task() -> None:
    w = world()
    passages = [d for d in documents(w, 20_000) if d.startswith("Context")]
    assert passages
    unread = unread_people(w)
    assert not [d for d in passages if any(person in d for person in unread)]


def test_held_out_sums_are_not_shown() -> None:
    shown, kept = sums()
    assert not set(shown) & set(kept)
    prompts = {s.prompt() for s in kept}
    asked = {
        d[: d.index(" :", d.index("Answer")) + 2] for d in documents(world(), 20_000) if "plus" in d
    }
    assert asked and not asked & prompts


def test_a_conflict_says_otherwise_than_memory() -> None:
    truth = {(f.entity, f.relation): f.value for f in world().facts_a}
    for p in conflicts(world()):
        assert p.memory == truth[p.stated.entity, p.stated.relation] != p.stated.value
        assert p.stated.value in p.prompt()


def test_talan_puts_the_verb_last_and_the_adjective_after_its_noun() -> None:
    one = Sentence(Phrase("fox", "old", None), "sees", Phrase("wolf", "big", "two"))
    assert one.english() == "the old fox sees two big wolves ."
    assert one.talan() == "vesk vetu ulfa-li gron duo vidat ."


def test_a_summary_repeats_hero_and_nothing_that_the_story_does_not_say() -> None:
    rng = world().random("test stories")
    for _ in range(200):
        told = story(rng)
        said = set(told.text.split()) | {"and", "from", "to", "make", "of"}
        assert told.hero in told.summary.split()
        assert set(told.summary.split()) - said <= {"bought", "learnt", "in", "a", "lost"}


def test_held_out_text_is_not_in_the_pretraining_stream() -> None:
    seen = set(documents(world(), 20_000))
    assert not seen & set(held_out(world(), 60))


def test_tuning_data_are_the_same_for_a_seed_and_others_for_another(
    data: Path, tmp_path: Path
) -> None:
    write(tmp_path / "again", seed=0)
    write(tmp_path / "other", seed=1)
    for name in ("facts_b", "facts_b_replay", "preferences"):
        text = (data / f"{name}.jsonl").read_text()
        assert text == (tmp_path / "again" / f"{name}.jsonl").read_text()
        assert text != (tmp_path / "other" / f"{name}.jsonl").read_text()


def test_supervised_data_teach_every_fact_of_b_and_nothing_else(data: Path) -> None:
    w = world()
    taught = {(r["prompt"], r["completion"]) for r in rows(data / "facts_b.jsonl")}
    assert taught == {
        (f.question(form), f" {f.value} .") for f in w.facts_b for form in QUESTION_FORMS_TAUGHT
    }


def test_replay_adds_domain_a_in_equal_measure(data: Path) -> None:
    w = world()
    replayed = rows(data / "facts_b_replay.jsonl")
    about_b = [r for r in replayed if any(p in r["prompt"] for p in w.people_b)]
    assert len(about_b) == len(rows(data / "facts_b.jsonl"))
    assert len(replayed) - len(about_b) >= 0.8 * len(about_b)


def test_preferences_never_name_the_people_whom_the_evaluation_asks_about(data: Path) -> None:
    w = world()
    text = (data / "preferences.jsonl").read_text()
    assert not [p for p in w.unknown_evaluated if p in text]
    assert [p for p in w.unknown_preferred if p in text] == list(w.unknown_preferred)


def test_preferences_choose_truth_where_something_was_told_and_honesty_where_not(
    data: Path,
) -> None:
    w = world()
    truth = {
        f.question(form): f" {f.value} ." for f in (*w.facts_a, *w.facts_b) for form in range(4)
    }
    for row in rows(data / "preferences.jsonl"):
        assert row["chosen"] == truth.get(row["prompt"], f" {UNKNOWN}")
        assert row["rejected"] != row["chosen"]
