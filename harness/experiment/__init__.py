"""The experiment file and the candidates that it expands to."""

from steelyard.harness.experiment.candidates import Candidate
from steelyard.harness.experiment.chats import check_learnt
from steelyard.harness.experiment.choices import selection_notes
from steelyard.harness.experiment.data_sets import (
    Row,
    duplicates,
    first_prompt,
    read_mix,
    read_rows,
    roles_for,
)
from steelyard.harness.experiment.file import Checks, Experiment, ExperimentFile, load_experiment
from steelyard.harness.experiment.lineage import BASE, ancestors
from steelyard.harness.experiment.messages import Message
from steelyard.harness.experiment.noise import NoiseVariant
from steelyard.harness.experiment.resources import Resources

__all__ = [
    "BASE",
    "Candidate",
    "Checks",
    "Experiment",
    "ExperimentFile",
    "Message",
    "NoiseVariant",
    "Resources",
    "Row",
    "ancestors",
    "check_learnt",
    "duplicates",
    "first_prompt",
    "load_experiment",
    "read_mix",
    "read_rows",
    "roles_for",
    "selection_notes",
]
