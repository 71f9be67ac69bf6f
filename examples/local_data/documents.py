"""Documents of the tasks beside this module, read from JSON lines, CSV and text files."""

import csv
import hashlib
import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from steelyard.harness.errors import DataError

Rows = list[dict[str, Any]]
Splits = dict[str, Dataset]
SHORTEST_PARAGRAPH = 200


def folder() -> Path:
    """The folder of the data sets: ``STEELYARD_REAL_DATA``, or ``../shared/data`` of the
    repository.
    """
    given = os.environ.get("STEELYARD_REAL_DATA")
    found = Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not found.is_dir():
        fix = "set STEELYARD_REAL_DATA to the folder of the data sets"
        raise DataError("no such folder of data sets", file=found, fix=fix)
    return found


def text(name: str) -> str:
    """A data file's text."""
    path = folder() / name
    if not path.is_file():
        fix = "set STEELYARD_REAL_DATA to a folder that has it"
        raise DataError("no such data file", file=path, fix=fix)
    return path.read_text(encoding="utf-8")


def jsonl(name: str, needs: Sequence[str]) -> Rows:
    """Rows of a JSON lines file; every row must have the columns that a task ``needs``."""
    rows: Rows = []
    # Not splitlines(): JSON strings may hold line separators of Unicode.
    for number, line in enumerate(text(name).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            said = f"line {number} is not JSON: {error}"
            raise DataError(said, file=folder() / name) from None
        missing = [column for column in needs if column not in row]
        if missing:
            said, there = f"line {number} has no '{missing[0]}'", ", ".join(row)
            raise DataError(said, file=folder() / name, fix=f"it has {there}")
        rows.append(row)
    return rows


def shuffled(items: list[Any], content: str) -> list[Any]:
    """The items in an order that depends on ``content`` alone, the same on every machine."""
    seed = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")
    return random.Random(seed).sample(items, len(items))


def gsm8k(**_: object) -> Splits:
    """Grade-school problems with worked solutions."""
    columns = ("question", "answer")
    return {
        split: Dataset.from_list(jsonl(f"gsm8k/{split}.jsonl", columns))
        for split in ("train", "test")
    }


def mmlu(**_: object) -> Splits:
    """Four-choice questions of 57 subjects."""
    columns = ("subject", "question", "choices", "answer")
    return {
        split: Dataset.from_list(jsonl(f"mmlu/{split}.jsonl", columns)) for split in ("dev", "test")
    }


class ShotsOfTheSubject(ConfigurableTask):
    """A task whose few-shot examples come from the document's own subject."""

    def __init__(self, config: dict[str, Any]) -> None:
        # lm-eval leaves the key that named this class in the configuration and then refuses it.
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def fewshot_context(self, doc: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """lm-eval's context, with the sampler narrowed to the subject's examples."""
        if not hasattr(self, "_shots"):
            self._shots: dict[str, Rows] = defaultdict(list)
            for shot in self.fewshot_docs():
                self._shots[shot["subject"]].append(shot)
        self.sampler.replace_df(self._shots[doc["subject"]])
        return super().fewshot_context(doc, *args, **kwargs)


def dialogsum(**_: object) -> Splits:
    """Dialogues with three reference summaries."""
    names = ("summary1", "summary2", "summary3")
    rows = [
        {"dialogue": row["dialogue"], "summaries": [row[name] for name in names]}
        for row in jsonl("dialogsum/test.jsonl", ("dialogue", *names))
    ]
    return {"test": Dataset.from_list(rows)}


def articles(**_: object) -> Splits:
    """Whole articles of WikiText-2."""
    return {"test": Dataset.from_list(_articles())}


def paragraphs(**_: object) -> Splits:
    """Paragraphs of WikiText-2 with the article that they stand in."""
    rows = [
        {"article": article["article"], "text": paragraph.strip()}
        for article in _articles()
        for paragraph in article["text"].split("\n")
        if len(paragraph.strip()) >= SHORTEST_PARAGRAPH
    ]
    return {"test": Dataset.from_list(rows)}


def _articles() -> Rows:
    # A title is ` = Title = `; headings within an article have more than one equals sign a side.
    pieces = re.split(r"^(?= = [^=].*[^=] = $)", text("wikitext2/test.txt"), flags=re.MULTILINE)
    found = [piece.strip() for piece in pieces if piece.strip()]
    return [
        {"article": f"{number:03d} {piece.splitlines()[0].strip(' =')}", "text": piece}
        for number, piece in enumerate(found)
    ]


def bbh(subtask: str, **_: object) -> Splits:
    """One task of BIG-Bench Hard: a question and its answer's text."""
    return {"test": Dataset.from_list(jsonl(f"bbh/{subtask}.jsonl", ("input", "target")))}


def speeches(**_: object) -> Splits:
    """The last tenth of the plays, twenty speeches a document."""
    every = [part.strip() for part in text("tinyshakespeare/input.txt").split("\n\n")]
    kept = [speech for speech in every[-(len(every) // 10) :] if speech]
    rows = [{"text": "\n\n".join(kept[i : i + 20])} for i in range(0, len(kept), 20)]
    return {"test": Dataset.from_list(rows)}


def wmt17(**_: object) -> Splits:
    """A reference and a machine's sentence in either order; equal ones ask nothing."""
    system = "newstest2017.online-G.0.en-de"
    rows = []
    for row in jsonl("wmt17_ende/segments.jsonl", ("reference", system)):
        if row["reference"] == row[system]:
            continue
        choices = shuffled([row["reference"], row[system]], row["reference"])
        rows.append({"choices": choices, "gold": choices.index(row["reference"])})
    return {"test": Dataset.from_list(rows)}


# --- rows that tasks/probes makes documents of; columns as on the hub ----------------------------


def _rows(name: str, *columns: str, split: str = "test") -> Splits:
    return {split: Dataset.from_list(jsonl(name, columns))}


def _table(name: str) -> Rows:
    return list(csv.DictReader(text(name).splitlines(keepends=True)))


def nq_open(**_: object) -> Splits:
    """Natural Questions open, the development set."""
    return _rows("nq_open/dev.jsonl", "question", "answer", split="validation")


def halueval_rows(**_: object) -> Splits:
    """HaluEval's questions with a right and a hallucinated answer."""
    columns = ("knowledge", "question", "right_answer", "hallucinated_answer")
    return _rows("halueval/qa_one_turn.jsonl", *columns, split="data")


def conflictqa(**_: object) -> Splits:
    """ConflictQA, StrategyQA part, for Llama-2-7B."""
    columns = ("question", "memory_answer", "counter_answer", "counter_memory")
    return _rows("conflictqa/strategyqa_llama2_7b.jsonl", *columns)


def truthfulqa_rows(**_: object) -> Splits:
    """TruthfulQA's table under the hub's names of its columns."""
    rows: Rows = [
        {
            "question": row["Question"],
            "category": row["Category"],
            "best_answer": row["Best Answer"].strip(),
            "correct_answers": _answers(row["Correct Answers"]),
            "incorrect_answers": _answers(row["Incorrect Answers"]),
        }
        for row in _table("truthfulqa/TruthfulQA.csv")
    ]
    return {"validation": Dataset.from_list(rows)}


def _answers(joined: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in joined.split(";") if part.strip()))


def dialogsum_rows(**_: object) -> Splits:
    """DialogSum's test dialogues."""
    return _rows("dialogsum/test.jsonl", "dialogue", "summary1")


def crows_pairs(**_: object) -> Splits:
    """CrowS-Pairs."""
    return {"test": Dataset.from_list(_table("crows_pairs/crows_pairs_anonymized.csv"))}


def bbq(**_: object) -> Splits:
    """BBQ, the part on religion."""
    columns = ("context", "question", "label", "answer_info", "additional_metadata")
    return _rows("bbq/religion.jsonl", *columns)


def hh_rlhf(**_: object) -> Splits:
    """Anthropic's red-team dialogues, the harmless test set."""
    return _rows("hh_rlhf/harmless_base_test.jsonl", "chosen")
