"""lm-eval tasks whose document is asked several times: other wordings, a control, samples."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

Doc = dict[str, Any]
Asked = tuple[str, dict[str, Any]]


class ClassNamed(ConfigurableTask):
    """A task whose YAML names its class."""

    def __init__(self, config: dict[str, Any]) -> None:
        # lm-eval leaves the key that named this class in, and its own constructor refuses it.
        super().__init__(config={key: value for key, value in config.items() if key != "class"})


class _Several(ClassNamed):
    """One generation for each of ``asked``."""

    def asked(self, doc: Doc, context: str) -> Sequence[Asked]:
        """(prompt, generation settings) of each request; ``context`` is lm-eval's own prompt."""
        raise NotImplementedError

    def construct_requests(self, doc: Doc, ctx: str | list[str], **kwargs: Any) -> list[Instance]:
        """lm-eval's requests of one document."""
        kwargs.pop("apply_chat_template", None)
        kwargs.pop("chat_template", None)
        return [
            Instance(
                request_type="generate_until", doc=doc, arguments=arguments, idx=index, **kwargs
            )
            for index, arguments in enumerate(self.asked(doc, str(ctx)))
        ]

    def settings(self) -> dict[str, Any]:
        """A copy of the task's generation settings."""
        return dict(deepcopy(self.config.generation_kwargs or {}))


class SeveralPrompts(_Several):
    """Asks every text of the document's ``prompts``; ``doc_to_text`` must be the first of them."""

    def asked(self, doc: Doc, context: str) -> Sequence[Asked]:
        """The other prompts take the first one's place in lm-eval's context."""
        first, *_ = prompts = doc["prompts"]
        before, found, after = context.rpartition(first)
        if not found:
            return [(prompt, self.settings()) for prompt in prompts]
        return [(before + prompt + after, self.settings()) for prompt in prompts]


class Sampled(_Several):
    """A greedy answer, then ``metadata.samples`` answers drawn at ``metadata.temperature``.

    The scorer seeds each drawn answer with a digest of its prompt, settings and number, so the same
    model gives the same samples wherever and in whatever company it is asked.
    """

    def asked(self, doc: Doc, context: str) -> Sequence[Asked]:
        """The same prompt every time."""
        own = self.config.metadata or {}
        drawn = self.settings() | {"do_sample": True, "temperature": own.get("temperature", 1.0)}
        count = int(own.get("samples", 5))
        return [(context, self.settings()), *((context, dict(drawn)) for _ in range(count))]
