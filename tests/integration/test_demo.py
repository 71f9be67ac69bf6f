"""The demo's numbers make sense: each claim of the story is held by the truth of the microworld."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

CANDIDATES = {"base", "full", "lora", "qlora", "dpo", "orpo", "int8", "nf4"}


def test_the_loop_completes_with_seven_candidates_and_the_base(demo) -> None:  # type: ignore[no-untyped-def]
    assert demo.done.returncode == 0, demo.done.stderr
    assert set(demo.runs) == CANDIDATES
    assert (demo.folder / "report" / "report.html").exists()
    assert (demo.folder / "leaderboard" / "index.html").exists()


def test_the_base_knows_domain_a_and_nothing_of_domain_b(demo) -> None:  # type: ignore[no-untyped-def]
    assert demo.value("base", "microworld_known", "correct") >= 0.9
    assert demo.value("base", "microworld_new", "correct") <= 0.1
    assert demo.value("base", "microworld_unknown", "made_up") <= 0.1


@pytest.mark.parametrize(("candidate", "least"), [("full", 0.8), ("lora", 0.5), ("qlora", 0.5)])
def test_supervised_tuning_learns_domain_b(demo, candidate: str, least: float) -> None:  # type: ignore[no-untyped-def]
    assert demo.value(candidate, "microworld_new", "correct") >= least


def test_tuning_on_new_facts_forgets_and_the_report_shows_it(demo) -> None:  # type: ignore[no-untyped-def]
    base = demo.value("base", "microworld_known", "correct")
    page = (demo.folder / "report" / "report.md").read_text()
    for candidate in ("full", "lora", "qlora"):
        assert demo.value(candidate, "microworld_known", "correct") < base - 0.1
        assert candidate in page
    assert "retention" in page.lower()


def test_at_matched_gain_lora_forgets_no_more_than_full(demo, steelyard) -> None:  # type: ignore[no-untyped-def]
    head = (demo.folder / "experiment.yaml").read_text().partition("candidates:")[0]
    shared = "learning_rate: 5.0e-4, batch_size: 32, scheduler: cosine, max_length: 64"
    (demo.folder / "matched.yaml").write_text(
        head.replace("microworld-demo", "matched")
        + f"""candidates:
  full: {{trainer: full, data: facts_b, epochs: 7, warmup_ratio: 0.05, {shared}}}
  lora: {{trainer: lora, data: facts_b, epochs: 10, warmup_ratio: 0.05, rank: 16,
         lora_alpha: 128, {shared}}}
suite: [microworld_known, microworld_new]
"""
    )
    done = steelyard("run", "matched.yaml", cwd=demo.folder)
    assert done.returncode == 0, done.stderr
    runs = {run.candidate: run for run in demo.store.find(experiment="matched")}

    def value(candidate: str, task: str) -> float:
        return float(runs[candidate].score(task, "correct").value)

    assert value("lora", "microworld_new") == pytest.approx(
        value("full", "microworld_new"), abs=0.05
    )
    assert value("lora", "microworld_known") >= value("full", "microworld_known")


def test_orpo_halves_the_made_up_answers_of_its_parent(demo) -> None:  # type: ignore[no-untyped-def]
    parent = demo.value("full", "microworld_unknown", "made_up")
    assert parent > 0.3
    assert demo.value("orpo", "microworld_unknown", "made_up") <= 0.5 * parent


def test_dpo_lowers_the_made_up_answers_by_forty_percent(demo) -> None:  # type: ignore[no-untyped-def]
    parent = demo.value("full", "microworld_unknown", "made_up")
    assert demo.value("dpo", "microworld_unknown", "made_up") <= 0.6 * parent


def test_nf4_diverges_more_from_its_parent_than_int8(demo) -> None:  # type: ignore[no-untyped-def]
    int8 = demo.value("int8", "fidelity", "kl_per_token")
    nf4 = demo.value("nf4", "fidelity", "kl_per_token")
    assert 0 <= int8 < nf4


def test_a_planted_bad_candidate_is_blocked(demo, steelyard) -> None:  # type: ignore[no-untyped-def]
    experiment = (demo.folder / "experiment.yaml").read_text()
    head = experiment.partition("candidates:")[0].replace("microworld-demo", "planted")
    (demo.folder / "planted.yaml").write_text(
        head
        + """candidates:
  bad: {trainer: full, data: facts_b, steps: 8, learning_rate: 2.0e-2, batch_size: 16}
suite: microworld
limit: 60
gate:
  baseline: base
  rules: [{task: microworld_known, margin: 0.05}]
"""
    )
    done = steelyard("run", "planted.yaml", cwd=demo.folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL" in done.stdout


def test_the_same_seed_gives_identical_scores(demo, steelyard, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from steelyard.harness.store import open_store

    done = steelyard("demo", tmp_path / "again", "--seed", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = {run.candidate: run for run in open_store(tmp_path / "again" / ".steelyard").find()}
    for name, run in demo.runs.items():
        assert run.checkpoint.digest == again[name].checkpoint.digest, name
        assert run.scores == again[name].scores, name
