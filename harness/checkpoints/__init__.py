"""Opens, loads, writes and checks checkpoints: full weights, adapters, quantised, GGUF."""

from steelyard.harness.checkpoints.adapters import read_adapters
from steelyard.harness.checkpoints.as_trained import (
    FLOAT32_BOUND,
    FOUR_BIT_BOUND,
    HALF_BOUND,
    NOT_ASKED,
    AskedRow,
    AsTrained,
    keep_logits,
    label_values,
    write_as_trained,
)
from steelyard.harness.checkpoints.bases import BASE_LINK, MANIFEST, model_folder
from steelyard.harness.checkpoints.chat_time import (
    CHAT_TIME,
    asks_for_time,
    draws_at_random,
    is_told_fixed_time,
)
from steelyard.harness.checkpoints.checks import check
from steelyard.harness.checkpoints.conversion import dequantised
from steelyard.harness.checkpoints.differences import (
    configuration_difference,
    vocabulary_difference,
)
from steelyard.harness.checkpoints.digests import likelihood_digest
from steelyard.harness.checkpoints.folder import stray_note, tokenizer_folder
from steelyard.harness.checkpoints.foreign import own_python, trust_python, trusted_python
from steelyard.harness.checkpoints.four_bits import keep_layout
from steelyard.harness.checkpoints.fresh_process import (
    check_in_fresh_process,
    fork_server,
    server,
)
from steelyard.harness.checkpoints.handing_over import require_whole_folder
from steelyard.harness.checkpoints.loading import load_model
from steelyard.harness.checkpoints.merging import merged, tied, untie
from steelyard.harness.checkpoints.model import (
    LoadedModel,
    Source,
    find_source,
    load_model_folder,
    open_tokenizer,
)
from steelyard.harness.checkpoints.opening import is_reward_model, open_base, open_checkpoint
from steelyard.harness.checkpoints.special_tokens import (
    AddedTokens,
    added_tokens,
    around,
    own_marks,
    own_marks_pattern,
    without_end,
)
from steelyard.harness.checkpoints.taking_in import chosen_folder, content_of, take_in
from steelyard.harness.checkpoints.weights import read_config, read_weights
from steelyard.harness.checkpoints.writing import (
    finish,
    link_base,
    relink,
    save_adapter,
    save_beside,
    save_full,
    with_checks,
    with_copies,
    with_energy,
    with_rewards,
    write_manifest,
)

__all__ = [
    "BASE_LINK",
    "CHAT_TIME",
    "FLOAT32_BOUND",
    "FOUR_BIT_BOUND",
    "HALF_BOUND",
    "MANIFEST",
    "NOT_ASKED",
    "AddedTokens",
    "AsTrained",
    "AskedRow",
    "LoadedModel",
    "Source",
    "added_tokens",
    "around",
    "asks_for_time",
    "check",
    "check_in_fresh_process",
    "chosen_folder",
    "configuration_difference",
    "content_of",
    "dequantised",
    "draws_at_random",
    "find_source",
    "finish",
    "fork_server",
    "is_reward_model",
    "is_told_fixed_time",
    "keep_layout",
    "keep_logits",
    "label_values",
    "likelihood_digest",
    "link_base",
    "load_model",
    "load_model_folder",
    "merged",
    "model_folder",
    "open_base",
    "open_checkpoint",
    "open_tokenizer",
    "own_marks",
    "own_marks_pattern",
    "own_python",
    "read_adapters",
    "read_config",
    "read_weights",
    "relink",
    "require_whole_folder",
    "save_adapter",
    "save_beside",
    "save_full",
    "server",
    "stray_note",
    "take_in",
    "tied",
    "tokenizer_folder",
    "trust_python",
    "trusted_python",
    "untie",
    "vocabulary_difference",
    "with_checks",
    "with_copies",
    "with_energy",
    "with_rewards",
    "without_end",
    "write_as_trained",
    "write_manifest",
]
