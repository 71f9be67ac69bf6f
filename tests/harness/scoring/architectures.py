"""Tiny random models of many architectures. Wide weights make attention matter to the output."""

from __future__ import annotations

from typing import Any

from tests.harness.scoring.tiny import VOCABULARY

SIZE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "initializer_range": 0.2,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
MAMBA = {"state_size": 8, "expand": 2, "conv_kernel": 4}
WINDOW = {"sliding_window": 24}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "phi3": {},
    "gemma2": {"head_dim": 8, **WINDOW},
    "gemma3_text": {"head_dim": 8, "sliding_window_pattern": 2, **WINDOW},
    "mistral": WINDOW,
    "gpt_oss": {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, **WINDOW},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt2": GPT,
    "gpt_neox": {},
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 24,
    },
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "falcon": {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256},
    "mamba": MAMBA,
    "mamba2": {**MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 8},
    "falcon_h1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_n_groups": 1,
        "mamba_d_state": 8,
        "mamba_chunk_size": 8,
        "head_dim": 8,
    },
    "qwen3_next": {
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 32,
    },
    "rwkv": {"attention_hidden_size": 32, "context_length": 256},
}

#: The rung that each architecture is expected to reach, at least.
FALCON_ALIBI = {"alibi": True, "new_decoder_architecture": False, "multi_query": True}


def build(name: str, seed: int = 0, **changes: Any) -> Any:
    """A random model in eval mode whose logits depend on far tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = SIZE | ARCHITECTURES.get(name, {}) | changes
    if name == "bloom":
        settings.pop("num_attention_heads")
    torch.manual_seed(seed)
    config = AutoConfig.for_model(name, **settings)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() > 1 and float(value.std()) < 0.15:
                value.normal_(std=0.15)
    return model


def build_t5(seed: int = 0) -> Any:
    """A random T5."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=2,
        pad_token_id=2,
        eos_token_id=1,
        n_positions=256,
    )
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() > 1:
                value.normal_(std=0.15)
    return model
