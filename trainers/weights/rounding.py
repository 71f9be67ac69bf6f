"""Round to nearest at 8, 4, 3 or 2 bits, group by group: the reference for every other scheme.

Symmetric ("absmax") and asymmetric ("zero-point") uniform quantisation as in Gholami et al. 2021,
arXiv 2103.13630, section III; the weights come back as the floats that the integers stand for.
"""

from __future__ import annotations

from steelyard.trainers.loops.libraries import torch


def rounded(weight: torch.Tensor, *, bits: int, group: int, zero_point: bool) -> torch.Tensor:
    """``weight`` of shape (out, in) as its quantised values, in its own dtype.

    Every run of ``group`` weights along ``in`` has its own scale (and zero point); the last run of
    a row may be shorter.

    absmax:      s = max|w| / (2^(bits-1) - 1),  w' = s * round(w / s)
    zero-point:  s = (max w - min w) / (2^bits - 1),  z = round(-min w / s),
                 w' = s * (clamp(round(w / s) + z, 0, 2^bits - 1) - z)
    """
    rows, columns = weight.shape
    short = -columns % group
    # Repeating a row's last weight moves neither the largest nor the smallest of its group.
    padded = torch.cat([weight, weight[:, -1:].expand(rows, short)], dim=1) if short else weight
    groups = padded.double().reshape(rows, -1, group)
    values = _zero_point(groups, bits) if zero_point else _absmax(groups, bits)
    return values.reshape(rows, -1)[:, :columns].to(weight.dtype)


def _absmax(groups: torch.Tensor, bits: int) -> torch.Tensor:
    scale = groups.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
    scale = scale.where(scale > 0, 1.0)
    return scale * torch.round(groups / scale)


def _zero_point(groups: torch.Tensor, bits: int) -> torch.Tensor:
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    top = 2**bits - 1
    scale = (high - low) / top
    flat = scale == 0
    scale = scale.where(~flat, 1.0)
    zero = torch.round(-low / scale)
    values = scale * (torch.clamp(torch.round(groups / scale) + zero, 0, top) - zero)
    return values.where(~flat, groups)
