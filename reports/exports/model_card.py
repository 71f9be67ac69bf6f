"""A run as a Hugging Face model card: ``model-index`` and ``co2_eq_emissions``."""

from __future__ import annotations

from steelyard.harness.energy import total
from steelyard.harness.records import Run
from steelyard.reports.renderers.markdown import escape
from steelyard.reports.words import metric_title, plain


def model_card(run: Run, *, name: str | None = None) -> str:
    """README.md with its metadata block, through ``huggingface_hub``.

    Emissions are those of training, its parents included, in grams; they are left out where they
    are unknown. Only primary scores go into the index; every value stands with its interval in the
    table below.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    title = name or f"{run.experiment}-{run.candidate}"
    primary = [score for score in run.scores if score.primary and score.value is not None]
    data = ModelCardData(
        model_name=title,
        base_model=run.checkpoint.base,
        co2_eq_emissions=_emissions(run),
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type=score.task,
                dataset_name=score.task,
                metric_type=score.metric,
                metric_value=score.value,
            )
            for score in primary
        ],
    )
    lines = ["---", data.to_yaml(), "---", "", f"# {_card_cell(title)}", ""]
    lines += [
        f"Made by `{_card_cell(run.checkpoint.trainer)}` from `{_card_cell(run.checkpoint.base)}`.",
        "",
    ]
    lines += ["| task | metric | value | interval | samples |", "|---|---|---|---|---|"]
    lines += [
        f"| {_card_cell(s.task)} | {_card_cell(metric_title(s.metric))} | {plain(s.value)} | "
        f"{plain(s.low)} to {plain(s.high)} ({s.confidence:.0%}) | {s.n} |"
        for s in primary
    ]
    return str(ModelCard("\n".join(lines) + "\n"))


def _card_cell(text: str) -> str:
    return escape(text)


def _emissions(run: Run) -> dict[str, object] | None:
    energies = [energy for energy in run.energy if energy.phase in ("train", "inherited")]
    if not energies:
        return None
    added = total(energies)
    if added.co2e_g is None:
        return None
    region = added.intensity.region if added.intensity else None
    emissions: dict[str, object] = {
        "emissions": added.co2e_g,
        "source": f"{added.meter}, {added.grade}",
        "training_type": "fine-tuning",
        "geographical_location": region,
        "hardware_used": ", ".join(run.environment.gpus) or run.environment.cpu,
    }
    return {key: value for key, value in emissions.items() if value is not None}
