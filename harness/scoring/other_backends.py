"""Any lm-eval backend by name: ``lm-eval:vllm``, ``lm-eval:local-completions,base_url=...``.

Journal, rows and identity work as with our own scorer; speed and exactness are the backend's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import lm_eval.models  # noqa: F401  (fills the registry)
from lm_eval.api.model import LM
from lm_eval.api.registry import get_model, model_registry
from lm_eval.utils import simple_parse_args_string

from steelyard.harness.checkpoints import require_whole_folder
from steelyard.harness.environment import quiet
from steelyard.harness.errors import MissingExtraError, ScoringError, UnknownNameError, did_you_mean
from steelyard.harness.files import first_secret
from steelyard.harness.plugins import missing_package

PREFIX = "lm-eval:"


def open_backend(backend: str, options: Mapping[str, object]) -> tuple[LM, dict[str, object]]:
    """The backend's model and the settings that key its responses.

    Args:
        backend: ``lm-eval:NAME``, with lm-eval's ``model_args`` behind a comma.
        options: arguments that the caller knows (``pretrained``, ``max_length``, ...); those in
            ``backend`` win, None is left out.

    Raises:
        UnknownNameError: lm-eval has no such backend.
        MissingExtraError: the backend's own package is not installed.
        ScoringError: the backend refuses its arguments, or one holds a secret.
        CheckpointError: the folder that it would read is not whole.
    """
    name, _, rest = backend.removeprefix(PREFIX).partition(",")
    if name not in model_registry:
        names = [str(key) for key in model_registry.keys()]  # noqa: SIM118
        raise UnknownNameError(
            "no such lm-eval backend", key="backend", value=name, fix=did_you_mean(name, names)
        )
    arguments = {key: value for key, value in options.items() if value is not None}
    arguments |= dict(simple_parse_args_string(rest)) if rest else {}
    _refuse_foreign(arguments)
    try:
        with quiet():
            lm: LM = get_model(name).create_from_arg_obj(arguments)
    except (ImportError, ModuleNotFoundError) as error:
        raise missing_package(error, f"backend {name}") or MissingExtraError(
            f"backend {name} needs a package that is not here: {_first_line(error)}",
            fix=f"install it, for instance: pip install 'lm-eval[{name}]'",
        ) from error
    except (TypeError, ValueError, AssertionError, OSError) as error:
        fix = "check the arguments behind the comma"
        raise ScoringError(
            f"backend {name} cannot be opened: {_first_line(error)}", key="backend", fix=fix
        ) from error
    shown = {key: str(value) for key, value in arguments.items()}
    return lm, {"backend": f"{PREFIX}{name}", "options": shown}


#: Names of backends' arguments for an adapter's folder, and of one that adds other weights.
_ADAPTERS, _OTHER_WEIGHTS = ("peft", "lora_local_path"), "delta"


def _refuse_foreign(arguments: Mapping[str, object]) -> None:
    """Refuse a folder with files that are not its own, a pickle, Python of its own, or tensors that
    are not whole; and a secret, which would be kept with the answers.

    What the backend computes with them is the backend's.
    """
    place = first_secret({name: str(value) for name, value in arguments.items()})
    if place is not None:
        raise ScoringError(
            "holds a password or a key, which would be kept with the answers",
            key="backend",
            value=place,
            fix="give it in the environment (OPENAI_API_KEY)",
        )
    if arguments.get("trust_remote_code") not in (None, False):
        raise ScoringError(
            "Python that comes with a model is not run",
            key="backend",
            value="trust_remote_code",
            fix="leave it out, or serve the model yourself (lm-eval:local-completions)",
        )
    named = Path(str(arguments.get("pretrained", "")))
    if not named.is_dir():
        return
    if arguments.get(_OTHER_WEIGHTS) is not None:
        raise ScoringError(
            "other weights that are added to a model's are not checked",
            key="backend",
            value=_OTHER_WEIGHTS,
            fix="add them, and name the folder that comes of it",
        )
    adapters = [str(arguments[name]) for name in _ADAPTERS if arguments.get(name) is not None]
    gguf_file = arguments.get("gguf_file")
    require_whole_folder(
        named,
        adapter=adapters[0] if adapters else None,
        gguf_file=None if gguf_file is None else str(gguf_file),
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
