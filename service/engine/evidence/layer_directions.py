"""The direction of every unit of a layer in the dissector's space, as it is stored: float16, with its length."""

import safetensors.torch
import torch

from service.engine.evidence.directions import directions_of
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.probing.activations import LayerActivations

DIRECTIONS, LENGTHS = "directions", "lengths"
"""The tensors' names: float16 [U, D] of length 1, or 0 for a unit that never changes; float32 [U]."""

_UNITS_AT_ONCE = 4096


def encode_directions(activations: LayerActivations, context: ScoringContext) -> bytes:
    """The bytes of a layer's directions, fitted on all images (see `directions_of`); no concept has a part in them.

    Raises what `context.check_cancelled` raises.
    """
    units = torch.arange(next(activations.blocks()).shape[1])
    one_part = torch.zeros(len(activations), dtype=torch.int64)  # nothing is held out
    moments = (context.moments_of(activations, some, one_part, 1) for some in torch.split(units, _UNITS_AT_ONCE))
    vectors = torch.cat([directions_of(of_units, context.axes).cpu() for of_units in moments])
    lengths = vectors.norm(dim=1)
    of_length_one = vectors / torch.where(lengths > 0, lengths, 1.0)[:, None]

    tensors = {DIRECTIONS: of_length_one.half().contiguous(), LENGTHS: lengths.float().contiguous()}
    data: bytes = safetensors.torch.save(tensors)
    return data
