"""Layers by their depth below the head: which rate each learns at, and when each begins to learn.

Discriminative learning rates and gradual unfreezing are ULMFiT's [Howard & Ruder 2018, arXiv
1801.06146, sections 3.2 and 3.3].
"""

from __future__ import annotations

import re

from steelyard.trainers.loops.libraries import torch, transformers


def depths(model: transformers.PreTrainedModel) -> dict[str, int]:
    """Parameter name -> depth: 0 above the stack of layers, 1 the last layer, and so on.

    The embedding, which may also be the head, lies below the first layer. The stack is a numbered
    list, whatever the architecture calls it.
    """
    count = int(model.config.get_text_config().num_hidden_layers)
    embedding = {id(p) for p in model.get_input_embeddings().parameters()}
    depth = {}
    for name, parameter in model.named_parameters():
        at = re.search(r"\.(\d+)\.", name)
        above = count + 1 if id(parameter) in embedding else 0
        depth[name] = count - int(at[1]) if at else above
    return depth


def discriminative_optimizer(trainer: transformers.Trainer, decay: float) -> torch.optim.Optimizer:
    """The optimizer that the trainer would make, its rate times ``decay`` for each layer down."""
    model, args = trainer.model, trainer.args
    decayed = set(trainer.get_decay_parameter_names(model))
    depth = depths(model)
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((depth[name], name in decayed), []).append(parameter)
    optimizer, options = trainer.get_optimizer_cls_and_kwargs(args, model)
    made: torch.optim.Optimizer = optimizer(
        [
            {
                "params": parameters,
                "lr": args.learning_rate * decay**down,
                "weight_decay": args.weight_decay if weighed else 0.0,
            }
            for (down, weighed), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        **options,
    )
    return made


class GradualUnfreezing:
    """Thaws one layer after the other from the last, evenly over a share of the steps."""

    def __init__(self, model: transformers.PreTrainedModel, share: float) -> None:
        self.parameters = dict(model.named_parameters())
        self.depth = depths(model)
        self.share = share

    def on_step_begin(
        self, args: object, state: transformers.TrainerState, control: object, **_: object
    ) -> None:
        """Let the gradient into what has thawed by this step, of a resumed run too."""
        done = min(1.0, state.global_step / max(1.0, self.share * state.max_steps))
        deepest = max(self.depth.values())
        thawed = 1 + int(done * (deepest - 1))
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(self.depth[name] <= thawed)
