"""What a comparison may be read to say: about a checkpoint, or about the recipe that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steelyard.harness.compare.scored import Scored
from steelyard.harness.files import digest_json
from steelyard.harness.records import CheckpointManifest

CHECKPOINT = "these checkpoints on items like these; not the recipe (one seed)"
#: With fewer seeds the spread between them is a guess.
MIN_SEEDS = 3


def recipe_of(
    manifest: CheckpointManifest, ancestors: Mapping[str, CheckpointManifest] | None = None
) -> str:
    """A digest of how a checkpoint was made, its parents' recipes included, every seed left out.

    ``ancestors`` holds manifests by digest; a parent that is not among them counts as itself. A
    candidate in a recipe (``sources``) that is a seed's copy counts as what it is a copy of.
    """
    parent = (ancestors or {}).get(manifest.parent or "")
    # What came back to weights that it was made from (nothing changed) ends the chain.
    above = {k: m for k, m in (ancestors or {}).items() if k != manifest.digest}
    recipe = {k: v for k, v in manifest.recipe.items() if k != "seed"}
    return digest_json(
        {
            "trainer": manifest.trainer,
            "recipe": _with_originals(recipe, manifest.copies),
            "data": dict(manifest.data_digests),
            "base": manifest.base_digest,
            "parent": manifest.parent
            if parent is None or parent.digest == manifest.digest
            else recipe_of(parent, above),
        }
    )


def manifests(candidates: Sequence[Scored]) -> dict[str, CheckpointManifest]:
    """The candidates' manifests by digest."""
    return {c.run.checkpoint.digest: c.run.checkpoint for c in candidates}


def _with_originals(value: object, copies: Mapping[str, str]) -> object:
    """``value`` with each name in ``copies`` replaced by the name in the experiment file."""
    if isinstance(value, str):
        return copies.get(value, value)
    if isinstance(value, list | tuple):
        return [_with_originals(item, copies) for item in value]
    if isinstance(value, Mapping):
        return {key: _with_originals(item, copies) for key, item in value.items()}
    return value


def claim_of(candidate: Scored, candidates: Sequence[Scored]) -> str:
    """The claim that the candidates at hand allow for this one."""
    manifest = candidate.run.checkpoint
    if manifest.seed is None:
        return CHECKPOINT
    ancestors = manifests(candidates)
    recipe = recipe_of(manifest, ancestors)
    kin = [c for c in candidates if recipe_of(c.run.checkpoint, ancestors) == recipe]
    seeds = {c.run.checkpoint.seed for c in kin} - {None}
    if len(seeds) < 2:
        return CHECKPOINT
    names = ", ".join(sorted(c.name for c in kin))
    models = len({c.run.checkpoint.digest for c in kin})
    if models == 1:
        return (
            f"this checkpoint on items like these; its recipe made the same one with {len(seeds)} "
            f"seeds ({names}), which are one draw"
        )
    if models < MIN_SEEDS <= len(seeds):
        return (
            f"this checkpoint on items like these; {len(seeds)} seeds of its recipe ({names}) made "
            f"{models} different models, too few for a claim about the recipe ({MIN_SEEDS} needed)"
        )
    if len(seeds) < MIN_SEEDS:
        return (
            f"this checkpoint on items like these; {len(seeds)} seeds of its recipe ({names}) are "
            f"too few for a claim about the recipe ({MIN_SEEDS} needed)"
        )
    return (
        f"this checkpoint on items like these; its recipe by the spread over {len(seeds)} seeds "
        f"({names})"
    )
