"""Rewards that an experiment file names: small checks of a completion, each between 0 and 1.

``reward: function`` takes any function with TRL's signature by its import path, so rewards of a
team's own package, and TRL's (``trl.rewards:think_format_reward``), plug in.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from steelyard.harness.checkpoints import is_reward_model, open_tokenizer, read_weights, without_end
from steelyard.harness.errors import CheckpointError, ConfigError, TrainingError
from steelyard.harness.files import code_digest
from steelyard.harness.records import Checkpoint, HeldOutAccuracy
from steelyard.harness.texts import plain, split_unspaced
from steelyard.trainers.loops.libraries import torch, transformers

#: TRL's: called with prompts=, completions= and the data's other columns, all lists of one length.
RewardFunction = Callable[..., list[float] | list[float | None]]


class _Reward(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(1.0, description="What this reward counts beside the others.")


class ExactMatch(_Reward):
    """1 where the completion is the data's answer, whitespace at its ends aside.

    One text in two spellings (an accent as a mark of its own, full width) is one answer.
    """

    reward: Literal["exact_match"]

    def of(self, completion: str, answer: str) -> float:
        """The reward of one completion."""
        return float(plain(completion).strip() == plain(answer).strip())


class Contains(_Reward):
    """1 where the data's answer occurs in the completion."""

    reward: Literal["contains"]

    def of(self, completion: str, answer: str) -> float:
        """The reward of one completion."""
        return float(plain(answer).strip() in plain(completion))


class Matches(_Reward):
    """1 where a regular expression is found in the completion."""

    reward: Literal["matches"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from error
        return pattern

    def of(self, completion: str, answer: str) -> float:
        """The reward of one completion."""
        return float(re.search(self.pattern, completion) is not None)


class Length(_Reward):
    """1 at ``words`` words, falling to 0 at none and at twice as many.

    Words stand between spaces; of scripts without spaces every character is one.
    """

    reward: Literal["length"]
    words: int = Field(ge=1)

    def of(self, completion: str, answer: str) -> float:
        """The reward of one completion."""
        words = sum(len(split_unspaced(word)) for word in completion.split())
        return max(0.0, 1 - abs(words - self.words) / self.words)


class Function(_Reward):
    """A function of one's own, ``package.module:name``, with TRL's signature."""

    reward: Literal["function"]
    name: str = Field(pattern=r"^[\w.]+:\w+$")


class ByModel(_Reward):
    """The number that a reward model gives: a candidate of ``trainer: reward``, or a folder."""

    reward: Literal["model"]
    model: str


Reward = Annotated[
    ExactMatch | Contains | Matches | Length | Function | ByModel, Field(discriminator="reward")
]


def needs_answer(rewards: Sequence[Reward]) -> bool:
    """Whether one of the rewards compares with the data's answer."""
    return any(isinstance(reward, ExactMatch | Contains) for reward in rewards)


def functions(
    rewards: Sequence[Reward], models: Mapping[str, Checkpoint] | None = None
) -> list[RewardFunction | transformers.PreTrainedModel]:
    """The rewards as TRL takes them: functions, and the reward models among ``models``.

    Raises ``ConfigError`` where a function is not there, ``CheckpointError`` where a model gives no
    rewards.
    """
    return [_as_trl_takes_it(reward, models or {}) for reward in rewards]


def accuracies(
    rewards: Sequence[Reward], models: Mapping[str, Checkpoint]
) -> dict[str, HeldOutAccuracy | None]:
    """The reward models by name, each with its accuracy on held-out pairs where that is known."""
    names = [reward.model for reward in rewards if isinstance(reward, ByModel)]
    return {name: models[name].manifest.held_out_accuracy for name in names}


def doubts(models: Mapping[str, HeldOutAccuracy | None]) -> list[str]:
    """A warning for each reward model that is no better than a coin, or of unknown accuracy."""
    warnings = []
    for name, accuracy in models.items():
        if accuracy is None:
            warnings.append(f"warning: how good the reward model '{name}' is is not known")
        elif accuracy.shows_nothing:
            warnings.append(
                f"warning: the reward model '{name}' is not shown to be better than chance: "
                f"{accuracy.in_words()}"
            )
    return warnings


def _as_trl_takes_it(
    reward: Reward, models: Mapping[str, Checkpoint]
) -> RewardFunction | transformers.PreTrainedModel:
    if isinstance(reward, Function):
        function = _imported(reward.name)
        return (
            function  # TRL awaits it
            if inspect.iscoroutinefunction(function)
            else CheckedRewards(function, reward.name)
        )
    if isinstance(reward, ByModel):
        return _loaded(models[reward.model], reward.model)
    return _called(reward)


class CheckedRewards:
    """A user's function whose rewards are finite numbers, or None, of which it keeps count.

    TRL leaves None out of a group and takes infinity in. NaN is no number and is None here.
    """

    def __init__(self, function: RewardFunction, name: str) -> None:
        self._function, self._name = function, name
        self.__name__ = str(getattr(function, "__name__", name))
        self.asked = self.missing = 0

    def __call__(self, *positional: object, **named: object) -> list[float | None]:
        """The rewards; raises ``TrainingError`` where one is infinite."""
        values = [self._checked(value) for value in self._function(*positional, **named)]
        self.asked += len(values)
        self.missing += values.count(None)
        return values

    def _checked(self, value: float | None) -> float | None:
        if value is None or math.isnan(value):
            return None
        if math.isinf(value):
            what = f"the reward function '{self._name}' gave {value}"
            fix = "give a finite number, or None where a completion has no reward"
            raise TrainingError(what, fix=fix)
        return float(value)


def missing_notes(functions: Sequence[object]) -> list[str]:
    """How many completions a user's function gave no reward for, a note for each that did not."""
    return [
        f"'{function.__name__}' gave no reward for {function.missing} of {function.asked} "
        "completions: they count for nothing"
        for function in functions
        if isinstance(function, CheckedRewards) and function.missing
    ]


def source_of(reward: Function) -> str | None:
    """Digest of the function's file and of what it imports beside it; None where there is none."""
    try:
        module = find_spec(reward.name.partition(":")[0])
    except (ImportError, ValueError):  # an error, with its fix, where it is imported
        return None
    path = Path(module.origin) if module is not None and module.origin else None
    return code_digest(path) if path is not None and path.is_file() else None


def tokenizers(
    rewards: Sequence[Reward], models: Mapping[str, Checkpoint], *, chats: bool
) -> list[transformers.PreTrainedTokenizerBase | None]:
    """For each reward the tokenizer of its model; None where it is no model.

    Texts are read as the model was trained on them; ``chats`` are what their template writes.
    """
    return [_reading(models[r.model], chats) if isinstance(r, ByModel) else None for r in rewards]


def _reading(checkpoint: Checkpoint, chats: bool) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer with BOS in front of a text and EOS behind it, as TRL's RewardTrainer has them.

    TRL's policy trainers ask a reward model without either, and so for the reward at another token
    than the one that it has learnt to give it at.
    """
    tokenizer = without_end(open_tokenizer(checkpoint.weights_folder))
    if chats:
        return tokenizer
    end = tokenizer.eos_token or ""
    kind: type = type(tokenizer)

    class Reading(kind):
        def __call__(self, text: Sequence[str], **options: Any) -> transformers.BatchEncoding:
            ended = [own if own.endswith(end) else own + end for own in text]
            return super().__call__(text=ended, **options | {"add_special_tokens": True})

    reading = copy.copy(tokenizer)
    reading.__class__ = Reading
    return reading


def _loaded(checkpoint: Checkpoint, name: str) -> transformers.PreTrainedModel:
    if not is_reward_model(checkpoint):
        fix = "train one with trainer: reward"
        raise CheckpointError(f"'{name}' gives no rewards", file=checkpoint.folder, fix=fix)
    kind = transformers.AutoModelForSequenceClassification
    weights = read_weights(kind, checkpoint.weights_folder, dtype=torch.float32)
    numbers = int(weights.model.config.num_labels)
    if (
        numbers != 1
    ):  # TRL takes the first of them: of a sentiment classifier, how negative a text is
        fix = "train one with trainer: reward, or wrap the label that is meant: reward: function"
        raise CheckpointError(
            f"'{name}' gives {numbers} numbers for a text, and a reward is one",
            file=checkpoint.folder,
            fix=fix,
        )
    return weights.model.eval().requires_grad_(False)


def _called(reward: ExactMatch | Contains | Matches | Length) -> RewardFunction:
    def function(
        completions: Sequence[str | list[dict[str, str]]],
        answer: Sequence[str] | None = None,
        **_: object,
    ) -> list[float]:
        answers = answer or [""] * len(completions)
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        return [reward.of(text, own) for text, own in zip(texts, answers, strict=True)]

    function.__name__ = reward.reward
    return function


def _imported(name: str) -> RewardFunction:
    module, _, attribute = name.partition(":")
    try:
        function: RewardFunction = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        fix = (
            "name it package.module:function; install it, or name its folder in PYTHONPATH "
            "(the working folder is not looked into)"
        )
        raise ConfigError(f"no such reward function: {error}", value=name, fix=fix) from error
    return function
