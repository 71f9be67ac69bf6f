"""llama.cpp itself, and tokenizers of the shapes that it knows, made for the tests."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

#: What the published tokenizers split words by, copied from their tokenizer.json.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN_3_5 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPACE = "\u2581"

#: Texts in which ways to split words part: digits, contractions, case, ends of lines, spaces,
#: scripts with and without spaces, marks, symbols, control characters, and special tokens.
TEXTS = (
    "",
    "hello",
    " hello world",
    "Hello,   world!  It's 12345 o'clock; they'LL say WE'VE won.",
    "I'M here, you'd said 'twas 3.14159 or 1,000,000.00 (50%)!",
    "x = [1,22,333];\n\n\tif (a != b) {\r\n    return `a`;  // trailing  \n}\n",
    "    four spaces\n  two\n\n\nthree newlines \n ends\n",
    "tabs\t\there\u00a0nbsp\u2003em \u3000wide",
    "Žluťoučký kůň, Straße, naïve façade, İstanbul, ǅ",
    "नमस्ते दुनिया, यह १२३ है।",
    "你好，世界！今天是2024年。",
    "こんにちは世界、カタカナとひらがな。",
    "안녕하세요 세계 123",
    "مرحبا بالعالم ١٢٣ العربية",
    "שלום עולם",
    "สวัสดีชาวโลก",
    "emoji 👩‍👩‍👧‍👦 🎉🎉 🏳️‍🌈 and math ∑∫√≠ ½ ² Ⅻ",
    "e\u0301 combining, n\u0303, \u1e9b\u0323",
    "\u0000\u0001\u001f control",
    "a" * 70 + " " * 40 + "." * 30,
    "<s>within</s> <|im_start|>user\nhi<|im_end|>\n<s> spaced </s> x",
    "mixedCaseWORDSAndÜBER123abc4567DEF",
    "''' \"quotes\" -- dashes — … ‘curly’ “double”",
    "https://example.org/a_b?c=d&e=%20#f user@host.tld #tag @you $5 €6 C++ C#",
    f"literal {SPACE}{SPACE} block and \ufffd replaced",
)
#: Without NUL, which no published vocabulary has in a token.
CORPUS = [
    *(text.replace("\0", "") for text in TEXTS * 2),
    "the old man and the sea , and a man who knows that he does not know .",
]


def save(folder: Path, inner: tokenizers.Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    """As transformers saves it."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.save_pretrained(folder)
    return tokenizer


def byte_level(
    folder: Path,
    *steps: pre_tokenizers.PreTokenizer,
    bos: bool = False,
    ignore_merges: bool = False,
    normalizer: normalizers.Normalizer | None = None,
    size: int = 700,
) -> PreTrainedTokenizerFast:
    """A BPE over bytes that are written as letters."""
    inner = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    inner.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(list(steps))
    inner.decoder = decoders.ByteLevel()
    if normalizer is not None:
        inner.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "</s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(CORPUS, trainer)
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return save(folder, inner, bos_token="<s>", eos_token="</s>")


def split(regex: str) -> pre_tokenizers.PreTokenizer:
    """As Llama 3 and Qwen do it."""
    return pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")


def letters(*, use_regex: bool = False) -> pre_tokenizers.PreTokenizer:
    """Bytes as letters, after GPT-2's splitting of words or without it."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def spaced(
    folder: Path, *, prefix: bool, every_merge: bool = True, strip: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """SentencePiece's BPE as transformers converts it: Gemma's without ``prefix``, Phi 3's with it.

    ``every_merge``: a token may be merged of any two tokens, as the conversion of a
    SentencePiece model makes it; else only of those that training merged.
    """
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", SPACE)
    trainer = trainers.BpeTrainer(vocab_size=700, max_token_length=12, show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    content = json.loads(trained.to_str())["model"]
    special = ["<unk>", "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    pieces = sorted(set(content["vocab"]) - set(special), key=content["vocab"].get)
    tokens = [*special, *map("<0x{:02X}>".format, range(256)), *pieces]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [tuple(merge) for merge in content["merges"] if "".join(merge) in vocabulary]
    if every_merge:
        made = dict.fromkeys("".join(merge) for merge in merges)
        merges = [
            (text[:n], text[n:])
            for text in made
            for n in range(1, len(text))
            if text[:n] in vocabulary and text[n:] in vocabulary
        ]
    inner = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    escape = normalizers.Replace(" ", SPACE)
    inner.normalizer = (
        normalizers.Sequence([normalizers.Prepend(SPACE), escape]) if prefix else escape
    )
    if not prefix:  # as Gemma has it
        inner.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    inner.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    inner.add_special_tokens(
        [
            tokenizers.AddedToken(token, rstrip=token in strip, normalized=False, special=True)
            for token in special
        ]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return save(folder, inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


class LlamaCpp:
    """llama.cpp's server in this process."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def tokens(self, text: str) -> list[int]:
        """The text's tokens, with what belongs around it."""
        content = {"content": text, "add_special": True, "parse_special": True}
        tokens: list[int] = self._asked("/tokenize", content)["tokens"]
        return tokens

    def text(self, tokens: Sequence[int]) -> str:
        """The tokens' text."""
        content: str = self._asked("/detokenize", {"tokens": list(tokens)})["content"]
        return content

    def continued(self, prompt: str | Sequence[int], count: int) -> list[int]:
        """The likeliest tokens after a prompt of text or of tokens."""
        content = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n_predict": count,
            "temperature": 0.0,
            "top_k": 1,
            "return_tokens": True,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        tokens: list[int] = self._asked("/completion", content)["tokens"]
        return tokens

    def _asked(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            asked: dict[str, Any] = json.load(answer)
        return asked


@contextmanager
def llama_cpp(file: Path) -> Iterator[LlamaCpp]:
    """llama.cpp with the model in ``file``."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx, parameters.n_parallel = 256, 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    # Keys and values in float32: by default they are float16, and random weights have near ties.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.warmup, parameters.verbosity, parameters.port = False, 0, 0
    server = xllamacpp.Server(parameters)
    yield LlamaCpp(server)
    del server
