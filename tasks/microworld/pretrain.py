"""Make the shipped base model: tokenizer, then a small Llama trained on the microworld's texts.

    python -m steelyard.tasks.microworld.pretrain --out DIR --seed 0

Needs no network. One thread and one seed, so one machine gives the same weights twice. The shipped
model (984,192 parameters, 3.9 MB in fp32) is the default: 1,200 steps of 32 x 128 tokens, about 9
minutes of one core, last loss 0.57. What it gave: domain A 1.00; domain B .00 with 99% abstentions;
made-up answers about people never told .025; answers from the context .98; paraphrases agree 1.00;
translation BLEU 100; summaries ROUGE-L 1.00; sums .42 (its weakest skill, seen or not); held-out
text .356 bits per byte.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from steelyard.tasks.microworld.corpus import pretraining
from steelyard.tasks.microworld.lexicon import FIRST_NAMES, LAST_NAMES
from steelyard.tasks.microworld.world import World, world

VOCABULARY, ROWS, LENGTH = 1024, 32, 128
PAD, END = "<|pad|>", "<|end|>"
_WORD = r" ?\d| ?\p{L}+(?:-li)?| ?[^\s\p{L}\d]+|\s+"
_CHAT = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
)


def tokenizer(w: World) -> PreTrainedTokenizerFast:
    """Byte-level BPE over words with their leading space; digits stand alone, so sums can align."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    texts = list(islice(pretraining(w, w.random("tokenizer")), 20_000))
    texts += [f" {name}" for name in (*FIRST_NAMES, *LAST_NAMES) for _ in range(20)]
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[PAD, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        bos_token=END,
        model_max_length=256,
        clean_up_tokenization_spaces=False,
        chat_template=_CHAT,
    )


def batches(w: World, tokens: PreTrainedTokenizerFast) -> Iterator[tuple[torch.Tensor, ...]]:
    """(token ids, positions, labels), each ROWS x LENGTH: documents packed, each from position 0.

    Positions that start again keep the documents of a row from seeing one another (transformers
    reads them as a block-diagonal mask), as in evaluation. A third of the documents begin with the
    end token, as rolling log-likelihoods do.
    """
    rng = w.random("pretraining")
    stream = pretraining(w, rng)
    end, pad = tokens.eos_token_id, tokens.pad_token_id
    held: list[int] = []
    while True:
        ids = torch.full((ROWS, LENGTH), pad)
        positions = torch.zeros((ROWS, LENGTH), dtype=torch.long)
        for row in range(ROWS):
            used = 0
            while used + len(held) <= LENGTH:
                ids[row, used : used + len(held)] = torch.tensor(held, dtype=torch.long)
                positions[row, used : used + len(held)] = torch.arange(len(held))
                used += len(held)
                held = [end] * (rng.random() < 1 / 3) + tokens.encode(next(stream)) + [end]
            positions[row, used:] = torch.arange(LENGTH - used)
        labels = ids.masked_fill((ids == pad) | (positions == 0), -100)
        yield ids, positions, labels


def model(vocabulary: int, end: int, pad: int) -> LlamaForCausalLM:
    """An untrained Llama of about a million parameters with tied embeddings."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=pad,
    )
    return LlamaForCausalLM(config)


def pretrain(out: Path, seed: int, steps: int, peak: float, threads: int) -> None:
    """Train for `steps` optimizer steps (one cycle, `peak` learning rate) and save into `out`."""
    torch.manual_seed(seed)
    random.seed(seed)
    torch.set_num_threads(threads)
    w = world(0)
    tokens = tokenizer(w)
    net = model(len(tokens), tokens.eos_token_id, tokens.pad_token_id)
    decayed = [p for p in net.parameters() if p.dim() > 1]
    plain = [p for p in net.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=peak,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, steps, pct_start=0.1)
    started = time.perf_counter()
    net.train()
    for step, (ids, positions, labels) in enumerate(islice(batches(w, tokens), steps)):
        loss = net(input_ids=ids, position_ids=positions, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            seconds = time.perf_counter() - started
            print(f"step {step} loss {loss.item():.4f} {seconds:.0f} s", flush=True)
    save(net, tokens, out)


def save(net: LlamaForCausalLM, tokens: PreTrainedTokenizerFast, out: Path) -> None:
    """Write weights, greedy generation settings and tokenizer, loadable with plain transformers."""
    net.eval()
    net.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    net.save_pretrained(out)
    tokens.save_pretrained(out)
    print(json.dumps({"parameters": net.num_parameters(), "vocabulary": len(tokens)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pretrain the microworld's base model.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--peak", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    pretrain(arguments.out, arguments.seed, arguments.steps, arguments.peak, arguments.threads)
