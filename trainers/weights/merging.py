"""How weights are merged, tensor by tensor, in float32.

A *task vector* is what training added to the base: ``tau_i = theta_i - theta_0`` [Ilharco et al.
2022, arXiv 2212.04089].
"""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.trainers.loops.libraries import torch


def linear(models: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """The weighted mean [model soups, Wortsman et al. 2022, arXiv 2203.05482]."""
    total = sum(weights)
    return _sum([model * (weight / total) for model, weight in zip(models, weights, strict=True)])


def slerp(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Along the arc from ``first`` (share 0) to ``second`` (share 1) [Shoemake 1985].

    ``sin((1-t) w) / sin w * first + sin(t w) / sin w * second`` with w the angle between the two as
    flat vectors; where they point the same way, the straight line.
    """
    flat_first, flat_second = first.flatten().double(), second.flatten().double()
    norms = flat_first.norm() * flat_second.norm()
    cosine = (flat_first @ flat_second / norms).clamp(-1, 1) if norms > 0 else torch.tensor(1.0)
    angle = torch.arccos(cosine)
    if float(torch.sin(angle)) < 1e-6:
        return torch.lerp(first, second, share)
    near, far = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return ((near * first.double() + far * second.double()) / torch.sin(angle)).to(first.dtype)


def ties(vectors: Sequence[torch.Tensor], weights: Sequence[float], density: float) -> torch.Tensor:
    """Trim, elect a sign, take the mean of those that agree [Yadav et al. 2023, arXiv 2306.01708].

    Each task vector keeps the ``density`` largest of its entries by magnitude (in this tensor); the
    sign is that of the weighted sum; entries of the other sign, and zeros, do not count.
    """
    trimmed = [_largest(vector, density) for vector in vectors]
    weighted = [vector * weight for vector, weight in zip(trimmed, weights, strict=True)]
    sign = torch.sign(_sum(weighted))
    agreeing = [(torch.sign(vector) == sign) & (vector != 0) for vector in trimmed]
    total = _sum([v.where(agree, 0.0) for v, agree in zip(weighted, agreeing, strict=True)])
    share = _sum([agree * weight for agree, weight in zip(agreeing, weights, strict=True)])
    return total / share.where(share > 0, 1.0)


def dare(vector: torch.Tensor, density: float, draw: torch.Generator) -> torch.Tensor:
    """Drop entries at random and rescale the rest [Yu et al. 2023, arXiv 2311.03099]."""
    drawn = torch.rand(vector.shape, generator=draw) < density
    return vector * drawn.to(vector.device) / density


def _largest(vector: torch.Tensor, density: float) -> torch.Tensor:
    keep = max(1, round(density * vector.numel()))
    places = vector.flatten().abs().topk(keep).indices
    largest = torch.zeros_like(vector).flatten()
    largest[places] = vector.flatten()[places]
    return largest.reshape(vector.shape)


def _sum(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(tensors)).sum(0)
