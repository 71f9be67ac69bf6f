"""What a comparison may be read to say: about a checkpoint, or about the recipe that made it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare.scored import Scored
from harness.identity import digest_json
from harness.records import CheckpointManifest

CHECKPOINT = "these checkpoints on items like these; not the recipe (one seed)"
#: With fewer seeds the spread between them is a guess.
MIN_SEEDS = 3


def recipe_of(manifest: CheckpointManifest) -> str:
    """A digest of how a checkpoint was made, its seed left out."""
    return digest_json(
        {
            "trainer": manifest.trainer,
            "recipe": {k: v for k, v in manifest.recipe.items() if k != "seed"},
            "data": dict(manifest.data_digests),
            "base": manifest.base_digest,
        }
    )


def claim_of(candidate: Scored, candidates: Sequence[Scored]) -> str:
    """The claim that the candidates at hand allow for this one."""
    manifest = candidate.run.checkpoint
    if manifest.seed is None:
        return CHECKPOINT
    recipe = recipe_of(manifest)
    kin = [c for c in candidates if recipe_of(c.run.checkpoint) == recipe]
    seeds = {c.run.checkpoint.seed for c in kin} - {None}
    if len(seeds) < 2:
        return CHECKPOINT
    names = ", ".join(sorted(c.name for c in kin))
    if len(seeds) < MIN_SEEDS:
        return (
            f"this checkpoint on items like these; {len(seeds)} seeds of its recipe ({names}) are "
            f"too few for a claim about the recipe ({MIN_SEEDS} needed)"
        )
    return (
        f"this checkpoint on items like these; its recipe by the spread over {len(seeds)} seeds "
        f"({names})"
    )
