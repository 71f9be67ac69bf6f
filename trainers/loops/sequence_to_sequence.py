"""Encoder-decoders (T5, BART) learn the completion that the decoder gives to an encoded prompt.

As in transformers' summarisation guide: ``Seq2SeqTrainer`` with ``DataCollatorForSeq2Seq``.
"""

from __future__ import annotations

from functools import partial

from steelyard.harness.checkpoints import added_tokens
from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Row
from steelyard.harness.plugins import TrainJob
from steelyard.trainers.loops import training
from steelyard.trainers.loops.lessons import Lessons
from steelyard.trainers.loops.libraries import datasets, peft, transformers
from steelyard.trainers.loops.options import ValidatedOptions

#: Arguments that TRL's configurations know and transformers' own do not.
_TRL_ONLY = ("max_length", "activation_checkpointing")


def seq2seq_trainer(
    options: ValidatedOptions,
    job: TrainJob,
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    data: Lessons,
    peft_config: peft.PeftConfig | None,
) -> transformers.Trainer:
    """The trainer over tokenised rows. Raises ``DataError`` for whole texts, or with packing."""
    if not data.answers or options.packs:
        what = "packed rows" if data.answers else "whole texts"
        fix = "give prompt and completion, and no packing"
        raise DataError(f"an encoder-decoder cannot learn {what}", file=job.data[0].path, fix=fix)
    if "tools" in data.rows.column_names or any(_calls_tool(row) for row in data.rows):
        fix = "leave the rows with tools out"
        raise DataError("an encoder-decoder learns no calls", file=job.data[0].path, fix=fix)
    if peft_config is not None:
        peft_config.task_type = "SEQ_2_SEQ_LM"
        model = peft.get_peft_model(model, peft_config)
    arguments = training.arguments(options, job)

    def mapped(rows: datasets.Dataset | None) -> datasets.Dataset | None:
        if rows is None:
            return None
        encode = partial(_encoded, tokenizer=tokenizer, length=options.max_length)
        return rows.map(encode, remove_columns=rows.column_names)

    return transformers.Seq2SeqTrainer(
        model,
        args=transformers.Seq2SeqTrainingArguments(
            **{name: value for name, value in arguments.items() if name not in _TRL_ONLY}
        ),
        train_dataset=mapped(data.rows),
        eval_dataset=mapped(data.held_out),
        processing_class=tokenizer,
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer, model=model),
    )


def _calls_tool(row: Row) -> bool:
    answer = row["completion"]
    return isinstance(answer, list) and bool(answer[0].get("tool_calls"))


def _encoded(
    row: Row, *, tokenizer: transformers.PreTrainedTokenizerBase, length: int
) -> dict[str, list[int]]:
    """Token ids of the prompt, and of the completion as labels that end with EOS."""
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, list):
        prompt = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        completion = completion[0]["content"]
    added = added_tokens(tokenizer)
    room = length - len(added.before) - len(added.after)
    tokens = added.put_around(tokenizer.encode(prompt, add_special_tokens=False)[:room])
    labels = tokenizer(text_target=completion, truncation=True, max_length=length)["input_ids"]
    if labels[-1] != tokenizer.eos_token_id:  # or the model would never learn to end
        labels = [*labels[: length - 1], tokenizer.eos_token_id]
    return {
        "input_ids": tokens,
        "attention_mask": [1] * len(tokens),
        "labels": labels,
    }
