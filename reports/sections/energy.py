"""What it cost: energy with its grade on every figure, carbon with its source."""

from __future__ import annotations

from steelyard.harness.records import Energy, Run
from steelyard.reports.cells import (
    carbon_number,
    energy_number,
    phases,
    run_heading,
    size_number,
    time_number,
)
from steelyard.reports.document import Block, Column, Number, Paragraph, Row, Section, Table, Text
from steelyard.reports.material import Material


def energy_section(material: Material) -> Section | None:
    """Training, parents and scoring of each candidate; the sum counts every parent once."""
    if not any(run.energy for run in material.runs):
        return None
    trials = _trials(material)
    own = [pair for run in material.runs for pair in phases(run, "train", "score")] + trials
    total = Row(
        cells=(
            Text(text="The whole experiment", note="every parent once"),
            _phase(own, "train"),
            Text(text="counted in their own rows"),
            _phase(own, "score"),
            _phase(own, "train", "score"),
            carbon_number(own),
            time_number(own),
            Text(text="–"),
            Text(text="–"),
        ),
        emphasis=True,
    )
    table = Table(
        id="energy-table",
        caption="Energy of each candidate",
        columns=(
            Column(title="Candidate"),
            Column(title="Training", numeric=True),
            Column(title="Inherited", detail="training of its parents", numeric=True),
            Column(title="Scoring", numeric=True),
            Column(title="Together", numeric=True),
            Column(title="CO₂e", detail="derived from energy", numeric=True),
            Column(title="Time", numeric=True),
            Column(title="Size on disk", numeric=True),
            Column(title="Peak memory", detail="in training", numeric=True),
        ),
        rows=(
            *(_energy_row(run) for run in material.runs),
            *([_trials_row(trials)] if trials else []),
            total,
        ),
    )
    blocks: list[Block] = [table]
    blocks += [Paragraph(text=text) for text in _provenance(material)]
    blocks.append(_components_table(material))
    return Section(
        id="energy",
        title="What it cost",
        short="Energy",
        lead=(
            "Each figure is measured, estimated or unavailable, and says which; a sum is as good "
            "as its weakest part. Unavailable is not zero."
        ),
        blocks=tuple(blocks),
    )


def _trials(material: Material) -> list[tuple[str, Energy]]:
    """What training checkpoints took that no suite scored, such as the trials of a sweep."""
    return [
        (f"checkpoints/{manifest.digest}/energy", manifest.energy)
        for manifest in material.unscored
        if manifest.energy is not None
    ]


def _trials_row(trials: list[tuple[str, Energy]]) -> Row:
    nothing = Text(text="–")
    return Row(
        cells=(
            Text(text="Trained, not scored", note=f"{len(trials)} checkpoints, as of a sweep"),
            _phase(trials, "train"),
            nothing,
            nothing,
            _phase(trials, "train"),
            carbon_number(trials),
            time_number(trials),
            nothing,
            nothing,
        )
    )


def _phase(own: list[tuple[str, Energy]], *phases_: str) -> Number:
    """The sum over candidates; the notes of each stand in its own row."""
    added = energy_number([pair for pair in own if pair[1].phase in phases_])
    return added.model_copy(update={"note": None})


def _energy_row(run: Run) -> Row:
    every = phases(run)
    peak = run.checkpoint.peak_memory_bytes
    return Row(
        cells=(
            run_heading(run),
            energy_number(phases(run, "train"), none="not trained here"),
            energy_number(phases(run, "inherited"), none="no trained parent"),
            energy_number(phases(run, "score")),
            energy_number(every).model_copy(update={"note": None}),
            carbon_number(every),
            time_number(every),
            size_number(run),
            Number(
                value=None if peak is None else float(peak),
                unit="bytes",
                source=f"runs/{run.id}/checkpoint/peak_memory_bytes",
            ),
        ),
        run=run.candidate,
    )


def _provenance(material: Material) -> list[str]:
    energies = [energy for run in material.runs for energy in run.energy]
    intensities = {e.intensity for e in energies if e.intensity is not None}
    lines = [
        f"Grams are energy times {i.g_per_kwh:g} g CO₂e per kWh for {i.region}"
        + (f" in {i.year}" if i.year else "")
        + f" ({i.source})."
        for i in sorted(intensities, key=lambda i: i.region)
    ]
    if not intensities:
        lines.append("No country was given, so there are no grams: `energy: {country: FRA}`.")
    meters = sorted({e.meter for e in energies})
    pues = sorted({e.pue for e in energies})
    lines.append(
        f"Meter: {', '.join(meters)}. Power usage effectiveness: "
        f"{', '.join(f'{p:g}' for p in pues)}."
    )
    # Parents' seconds stand in their own rows.
    own = [e.embodied_co2e_g for e in energies if e.phase != "inherited"]
    measured = [grams for grams in own if grams is not None]
    if measured:
        sources = sorted({e.embodied_source for e in energies if e.embodied_source})
        lines.append(
            f"Embodied emissions, an assumption and not in the grams above: {sum(measured):.3g} g "
            f"CO₂e over the experiment ({'; '.join(sources)}). SCI is both together."
        )
    return lines


def _components_table(material: Material) -> Table:
    rows = [
        Row(
            cells=(
                Text(text=run.candidate),
                Text(text=energy.phase),
                Text(text=part.name),
                Number(
                    value=part.energy_kwh,
                    unit="kWh",
                    grade=part.grade,
                    source=f"{source}/components/{index}",
                ),
                Text(text=part.method),
            ),
            tags=(f"candidate={run.candidate}", f"phase={energy.phase}"),
        )
        for run in material.runs
        for source, energy in phases(run)
        for index, part in enumerate(energy.components)
    ]
    return Table(
        id="energy-components",
        caption="Energy by component",
        columns=(
            Column(title="Candidate"),
            Column(title="Phase"),
            Column(title="Component"),
            Column(title="Energy", numeric=True),
            Column(title="Method"),
        ),
        rows=tuple(rows),
        filters=("candidate", "phase"),
        folded=True,
    )
