"""Distillation, merging, pruning: formulas by hand, ordering of what they are made from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from steelyard.harness.checkpoints import check, load_model, open_base
from steelyard.harness.errors import CheckpointError, ConfigError, TrainingError
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.experiment.lineage import ancestors
from steelyard.harness.records import Checkpoint
from steelyard.trainers.distill import Distill, distillation_loss
from steelyard.trainers.merge import Merge
from steelyard.trainers.prune import Prune
from steelyard.trainers.weights import merging
from tests.harness.scoring import tiny
from tests.trainers import tiny_jobs

FAST: dict[str, Any] = {"steps": 3, "batch_size": 8, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """Two random models of the base's shape."""
    return {
        name: tiny_jobs.save_base(tmp_path_factory.mktemp(name), seed=seed)
        for seed, name in enumerate("ab", start=1)
    }


# --- distillation -------------------------------------------------------------------------------


def test_the_divergence_is_the_one_of_the_formula() -> None:
    teacher = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    student = torch.log(torch.tensor([[0.25, 0.5, 0.25]]))
    labels = torch.tensor([0])

    def loss(**options: Any) -> float:
        return float(distillation_loss(student, teacher, Distill(teacher="t", **options), labels))

    # .5 ln 2 - .25 ln 2, both ways round, since the two are mirror images
    assert loss() == pytest.approx(0.25 * math.log(2))
    assert loss(divergence="reverse") == pytest.approx(0.25 * math.log(2))
    assert loss(sft_weight=2.0) == pytest.approx(0.25 * math.log(2) + 2 * math.log(4))
    # At T = 2 the probabilities go with their roots: (s, 1, 1) / (s + 2) with s = sqrt 2.
    root = math.sqrt(2)
    by_hand = 4 * (root * math.log(root) - math.log(root)) / (root + 2)
    assert loss(temperature=2.0) == pytest.approx(by_hand)


def test_rows_of_a_head_that_stand_for_no_token_are_left_out() -> None:
    """One tokenizer, and a head that one of two models pads: Qwen 2.5's sizes do."""
    teacher = torch.log(torch.tensor([[0.5, 0.25, 0.25, 1.0, 9.0]]))
    student = torch.log(torch.tensor([[0.25, 0.5, 0.25]]))
    loss = float(distillation_loss(student, teacher, Distill(teacher="t"), torch.tensor([0])))
    assert loss == pytest.approx(0.25 * math.log(2))


def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    base: Checkpoint, tmp_path: Path
) -> None:
    same = tiny_jobs.train("distill", base, tmp_path / "d", teacher="t", beside={"t": base}, **FAST)
    assert same.manifest.loss_curve[0].loss == pytest.approx(0, abs=1e-6)


def test_a_student_moves_towards_its_teacher(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path: Path
) -> None:
    tuned = tiny_jobs.train(
        "distill", base, tmp_path / "d", teacher="a", beside=others, steps=20, learning_rate=1e-2
    )
    curve = tuned.manifest.loss_curve
    assert curve[-1].loss < 0.5 * curve[0].loss
    assert tuned.manifest.notes[0].startswith(f"learnt from 'a' ({others['a'].manifest.digest[:8]}")


def test_accumulated_batches_count_each_response_token_once(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path: Path
) -> None:
    def first_loss(folder: str, **options: Any) -> float:
        done = tiny_jobs.train(
            "distill", base, tmp_path / folder / "d", teacher="a", beside=others, steps=1, **options
        )
        return done.manifest.loss_curve[0].loss

    whole = first_loss("whole", batch_size=8)
    parts = first_loss("parts", batch_size=2, gradient_accumulation=4)
    assert parts == pytest.approx(whole, rel=1e-4)


def test_a_teacher_with_another_tokenizer_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    other = tiny_jobs.save_base(tmp_path / "other")
    tiny.save_tokenizer(other.folder, vocabulary=300)
    from steelyard.harness.checkpoints import open_base

    with pytest.raises(TrainingError, match="the teacher 't' has another tokenizer"):
        tiny_jobs.train(
            "distill", base, tmp_path / "d", teacher="t",
            beside={"t": open_base(str(other.folder))}, **FAST,
        )  # fmt: skip


# --- merging ------------------------------------------------------------------------------------


def test_linear_is_the_weighted_mean() -> None:
    found = merging.linear([torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])], (3.0, 1.0))
    assert found.tolist() == [1.5, 3.0]


def test_slerp_keeps_to_the_arc() -> None:
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    half = merging.slerp(one, two, 0.5)
    assert half.tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    third = merging.slerp(one, two, 1 / 3)
    assert third.tolist() == pytest.approx([math.cos(math.pi / 6), 0.5])
    assert merging.slerp(one, 3 * one, 0.5).tolist() == pytest.approx([2.0, 0.0])
    assert merging.slerp(one * 0, one * 0, 0.5).tolist() == [0.0, 0.0]


def test_ties_trims_elects_and_averages_as_in_the_papers_figure() -> None:
    one = torch.tensor([4.0, -3.0, 0.1, 2.0])
    two = torch.tensor([2.0, 5.0, 0.2, -0.3])
    # Half of each is kept: (4, -3, 0, 0) and (2, 5, 0, 0). Signs: +, +.
    found = merging.ties([one, two], (1.0, 1.0), 0.5)
    assert found.tolist() == [3.0, 5.0, 0.0, 0.0]
    # With more weight on the first, its minus wins the second entry; means are weighted.
    heavy = merging.ties([one, two], (3.0, 1.0), 0.5)
    assert heavy.tolist() == [3.5, -3.0, 0.0, 0.0]


def test_dare_keeps_the_sum_in_expectation() -> None:
    draw = torch.Generator().manual_seed(0)
    found = merging.dare(torch.ones(100_000), 0.1, draw)
    assert set(found.unique().tolist()) == {0.0, 10.0}
    assert float(found.mean()) == pytest.approx(1, abs=0.04)  # four standard errors


def weight(checkpoint: Checkpoint) -> torch.Tensor:
    model, _ = load_model(checkpoint)
    found: torch.Tensor = model.get_parameter("model.layers.0.mlp.up_proj.weight").detach()
    return found


def test_every_tensor_of_a_merge_is_the_formulas(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path: Path
) -> None:
    def merged(method: str, **options: Any) -> Checkpoint:
        return tiny_jobs.train(
            "merge", base, tmp_path / method, beside=others, sources=["a", "b"], method=method,
            **options,
        )  # fmt: skip

    one, two, start = weight(others["a"]), weight(others["b"]), weight(base)
    assert torch.allclose(weight(merged("linear", weights=[1, 3])), 0.25 * one + 0.75 * two)
    assert torch.allclose(weight(merged("slerp")), merging.slerp(one, two, 0.5), atol=1e-7)
    expected = start + 0.5 * merging.ties([one - start, two - start], (1, 1), 0.3)
    ties = merged("ties", density=0.3, scale=0.5)
    assert torch.allclose(weight(ties), expected, atol=1e-7)
    whole = merged("dare_linear", density=1.0)  # nothing dropped: task arithmetic
    assert torch.allclose(weight(whole), one + two - start, atol=1e-6)
    assert check(ties, base)["finite"]
    assert "merged from 'a' (" in ties.manifest.notes[0]


def test_a_router_s_bias_is_merged_with_its_weights(tmp_path: Path) -> None:
    """DeepSeek V3 chooses experts by a buffer that training moves, and no gradient."""
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 8}
    heads |= {"kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    experts = {"n_routed_experts": 4, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2}
    config = transformers.DeepseekV3Config(
        vocab_size=320, num_hidden_layers=1, first_k_dense_replace=0, **sizes, **heads, **experts
    )
    name = "model.layers.0.mlp.gate.e_score_correction_bias"
    models = []
    for seed, value in enumerate((0.0, 1.0, 4.0)):
        torch.manual_seed(seed)
        model = transformers.DeepseekV3ForCausalLM(config)
        model.get_buffer(name).fill_(value)
        model.save_pretrained(tmp_path / str(seed))
        tiny.save_tokenizer(tmp_path / str(seed))
        models.append(open_base(str(tmp_path / str(seed))))
    start, one, two = models
    merged = tiny_jobs.train(
        "merge", start, tmp_path / "m", beside={"a": one, "b": two}, sources=["a", "b"]
    )
    assert load_model(merged)[0].get_buffer(name).tolist() == [2.5] * 4


def test_adapters_merge_into_an_adapter_and_linear_is_the_mean_of_their_updates(
    base: Checkpoint, tmp_path: Path
) -> None:
    lent = {
        name: tiny_jobs.train("lora", base, tmp_path / name, rank=3, seed=seed, **FAST)
        for seed, name in enumerate("ab")
    }
    merged = tiny_jobs.train(
        "merge", base, tmp_path / "m", beside=lent, sources=["a", "b"], adapter=True
    )
    assert merged.manifest.format == "adapter"
    assert merged.weights_folder == base.folder
    assert "move by" in check(merged, base)["adapter applied"]
    mean = (weight(lent["a"]) + weight(lent["b"])) / 2
    assert torch.allclose(weight(merged), mean, atol=1e-6)
    for method in ("ties", "dare_linear", "dare_ties"):
        found = tiny_jobs.train(
            "merge", base, tmp_path / method, beside=lent, sources=["a", "b"], adapter=True,
            method=method,
        )  # fmt: skip
        assert check(found, base)["finite"]


def test_sources_that_do_not_fit_are_named(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path: Path
) -> None:
    wide = tiny_jobs.save_base(tmp_path / "wide", intermediate_size=96)
    sources = {"sources": ["a", "w"]}
    difference = r"another model than the parent \(intermediate_size is 64 here and 96 there\)"
    with pytest.raises(TrainingError, match=difference):
        tiny_jobs.train(
            "merge", base, tmp_path / "m", beside={"a": others["a"], "w": wide}, **sources
        )
    with pytest.raises(TrainingError, match="the source 'a' is no adapter"):
        tiny_jobs.train(
            "merge", base, tmp_path / "n", beside={"a": base, "w": wide}, adapter=True, **sources
        )


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
            r"rope_parameters.rope_theta is 10000.0 here and 500.0 there",
        ),
        ({"hidden_act": "gelu"}, "hidden_act is silu here and gelu there"),
    ],
)
def test_sources_of_equal_shapes_that_compute_something_else_are_named(
    base: Checkpoint,
    others: dict[str, Checkpoint],
    tmp_path: Path,
    changes: dict[str, Any],
    difference: str,
) -> None:
    other = tiny_jobs.save_base(tmp_path / "other", **changes)
    with pytest.raises(TrainingError, match=difference):
        tiny_jobs.train(
            "merge", base, tmp_path / "m", beside={"a": others["a"], "o": other}, sources=["a", "o"]
        )


def test_a_source_of_another_vocabulary_is_named(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path: Path
) -> None:
    other = tiny_jobs.save_base(tmp_path / "other")
    tiny.save_tokenizer(other.folder, vocabulary=300)
    beside = {"a": others["a"], "o": open_base(str(other.folder))}
    with pytest.raises(TrainingError, match="vocabulary: 320 tokens here and 300 there"):
        tiny_jobs.train("merge", base, tmp_path / "m", beside=beside, sources=["a", "o"])


def test_rslora_adapters_add_up_to_the_mean_of_their_updates(
    base: Checkpoint, tmp_path: Path
) -> None:
    """PEFT's sum would keep rsLoRA's way of scaling, and be the root of its rank too large."""
    lent = {
        name: tiny_jobs.train(
            "lora", base, tmp_path / name, rank=3, seed=seed, use_rslora=True, **FAST
        )
        for seed, name in enumerate("ab")
    }
    merged = tiny_jobs.train(
        "merge", base, tmp_path / "m", beside=lent, sources=["a", "b"], adapter=True
    )
    mean = (weight(lent["a"]) + weight(lent["b"])) / 2
    assert torch.allclose(weight(merged), mean, atol=1e-6)


def test_dora_adapters_do_not_add_up(base: Checkpoint, tmp_path: Path) -> None:
    lent = {
        name: tiny_jobs.train("lora", base, tmp_path / name, rank=3, use_dora=True, **FAST)
        for name in "ab"
    }
    with pytest.raises(TrainingError, match="use_dora, and only plain LoRA adds up"):
        tiny_jobs.train(
            "merge", base, tmp_path / "m", beside=lent, sources=["a", "b"], adapter=True
        )


@pytest.mark.parametrize("scheme", ["int8", "nf4"])
def test_quantised_sources_are_not_merged(
    base: Checkpoint, others: dict[str, Checkpoint], tmp_path: Path, scheme: str
) -> None:
    """LLM.int8's codes have the shape of the weights that they stand for."""
    quantised = tiny_jobs.train("quantize", others["a"], tmp_path / "q", scheme=scheme)
    beside = {"q": quantised, "b": others["b"]}
    with pytest.raises(CheckpointError, match="quantised weights cannot be trained, merged"):
        tiny_jobs.train("merge", base, tmp_path / "m", beside=beside, sources=["q", "b"])
    distilled = tiny_jobs.train(
        "distill", base, tmp_path / "d", teacher="q", beside={"q": quantised}, **FAST
    )
    assert "as trained" in check(distilled, base)["loss"]


def test_a_tied_and_an_untied_source_merge_untied(tmp_path: Path) -> None:
    """As an adapter on the embedding leaves one of two children of a tied base."""
    start = tiny_jobs.save_base(tmp_path / "start", tie_word_embeddings=True)
    options = {"rank": 3, "merge": True, **FAST}
    lent = {
        "a": tiny_jobs.train(
            "lora", start, tmp_path / "a", target_modules=["embed_tokens"], **options
        ),
        "b": tiny_jobs.train("lora", start, tmp_path / "b", **options),
    }
    merged = tiny_jobs.train("merge", start, tmp_path / "m", beside=lent, sources=["a", "b"])
    assert "as trained" in check(merged, start)["loss"]
    head = load_model(merged)[0].lm_head.weight
    mean = (load_model(lent["a"])[0].lm_head.weight + load_model(lent["b"])[0].lm_head.weight) / 2
    assert torch.allclose(head, mean, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sources": ["a"]}, "sources"),
        ({"sources": ["a", "a"]}, "named twice"),
        ({"sources": ["a", "b"], "weights": [1.0]}, "1 weights for 2 sources"),
        ({"sources": ["a", "b"], "weights": [1.0, -1.0]}, "add up to more than 0"),
        ({"sources": ["a", "b", "c"], "method": "slerp"}, "slerp takes two sources"),
        ({"sources": ["a", "b"], "density": 0.2}, "density does not apply to method: linear"),
    ],
)
def test_options_of_merge_that_do_not_fit_are_refused(
    options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValidationError, match=expected):
        Merge.model_validate(options)


# --- pruning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["none", "rows", "2:4"])
def test_half_of_a_layer_becomes_zero_and_the_rest_stays(
    base: Checkpoint, tmp_path: Path, structure: str
) -> None:
    pruned = tiny_jobs.train("prune", base, tmp_path / "p", structure=structure)
    before, after = weight(base), weight(pruned)
    zero = after == 0
    assert float(zero.float().mean()) == 0.5
    assert torch.equal(after[~zero], before[~zero])
    if structure == "none":
        assert before[zero].abs().max() <= before[~zero].abs().min()
    elif structure == "rows":
        assert int(zero.all(dim=1).sum()) == len(zero) // 2
    else:
        assert (zero.reshape(len(zero), -1, 4).sum(-1) == 2).all()
    assert pruned.manifest.notes[0].startswith("sparsity 0.5000: ")
    assert pruned.manifest.size_bytes == base.manifest.size_bytes
    head = load_model(pruned)[0].get_output_embeddings().weight
    assert torch.equal(head, load_model(base)[0].get_output_embeddings().weight)


def test_global_pruning_takes_the_smallest_wherever_they_are(
    base: Checkpoint, tmp_path: Path
) -> None:
    pruned = tiny_jobs.train("prune", base, tmp_path / "p", amount=0.3, scope="global")
    assert pruned.manifest.notes[0].startswith("sparsity 0.3000: ")
    model, _ = load_model(pruned)
    shares = {
        float((m.weight == 0).float().mean()) for name, m in model.named_modules() if "proj" in name
    }
    assert len(shares) > 1
    for options in ({"structure": "rows", "scope": "global"}, {"structure": "2:4", "amount": 0.3}):
        with pytest.raises(ValidationError):
            Prune.model_validate(options)


# --- what they are made from --------------------------------------------------------------------


def experiment(folder: Path, candidates: str) -> Path:
    tiny_jobs.supervised(folder)
    file = folder / "experiment.yaml"
    file.write_text(
        "name: t\nbase: microworld\nsuite: [microworld_known]\n"
        f"data: {{d: {{path: supervised.jsonl}}}}\ncandidates:\n{candidates}"
    )
    return file


def test_sources_come_before_what_is_made_from_them(tmp_path: Path) -> None:
    file = experiment(
        tmp_path,
        "  m: {trainer: merge, sources: [x, y]}\n"
        "  s: {trainer: distill, teacher: m, data: d}\n"
        "  x: {trainer: full, data: d}\n"
        "  y: {trainer: full, parent: x, data: d}\n",
    )
    found = load_experiment(file)
    assert [c.name for c in found.candidates] == ["x", "y", "m", "s"]
    assert ancestors(found.graph, "s") == {"m", "x", "y"}
    assert found.candidate("m").sources == ("x", "y")


def test_a_model_by_name_is_a_source_too(tmp_path: Path) -> None:
    candidates = "  s: {trainer: distill, teacher: microworld, data: d}\n"
    assert load_experiment(experiment(tmp_path, candidates)).graph["s"] == ("base", "microworld")


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ("  m: {trainer: merge, sources: [base, fulll]}\n  full: {trainer: full, data: d}\n",
         r"candidates.m: neither a candidate nor a model .*fulll.*full"),
        ("  a: {trainer: merge, sources: [b, base]}\n  b: {trainer: merge, sources: [a, base]}\n",
         "parents form a cycle: a -> b -> a"),
    ],
)  # fmt: skip
def test_sources_that_are_not_there_and_cycles_are_named(
    tmp_path: Path, candidates: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        load_experiment(experiment(tmp_path, candidates))
