"""The most activating images of each unit, exactly and in one order, however the images arrive.

A value and its index are packed into one 64-bit integer whose order is "larger value first, then lower index":
the keys of a unit are all different, so `torch.topk`, which promises nothing about ties, has none to break.
"""

import torch
from torch import Tensor

from service.errors import InvalidActivations, TooFewImages

_HIGHEST = 0x7FFFFFFF
_ROWS_AT_ONCE = 4096


class RunningTopK:
    """The k largest of a stream of values for each of U units; memory is U x k, whatever the length of the stream.

    Values arrive in pieces [n, U], counted from 0 over all pieces. Of equal values the lower index comes first;
    -0.0 equals 0.0. The split into pieces changes nothing, not even one bit. Values must not be NaN.
    """

    def __init__(self, k: int, *, keys: Tensor | None = None, seen: int = 0) -> None:
        """keys, seen: the state of a ranking that was stored (see `keys`)."""
        self.k = k
        self.seen = seen
        self._keys = keys

    def update(self, values: Tensor) -> None:
        """Take the next n rows, float32 [n, U]; at most 2**31 rows in all."""
        self._add(_pack(values, self.seen))
        self.seen += values.shape[0]

    def merge(self, following: "RunningTopK") -> None:
        """Take the ranking of a stream that follows this one, counted from 0 itself; as if its values had come here.

        The two must rank as many units, and `following` must have kept as many values as this one keeps.
        """
        if following.seen > 0:
            self._add(following.keys - self.seen)  # the index counts down in a key's lower half
            self.seen += following.seen

    @property
    def keys(self) -> Tensor:
        """The packed values and indices, best first: int64 [U, min(k, seen)]."""
        if self._keys is None:
            raise ValueError("nothing was given to rank")
        return self._keys

    @property
    def values(self) -> Tensor:
        """The largest values, descending: float32 [U, min(k, seen)]."""
        ordered = (self.keys >> 32).to(torch.int32)
        return (ordered ^ ((ordered >> 31) & _HIGHEST)).view(torch.float32)

    @property
    def indices(self) -> Tensor:
        """Where they were in the stream: int64 [U, min(k, seen)]."""
        return _HIGHEST - (self.keys & _HIGHEST)

    def _add(self, keys: Tensor) -> None:
        if self._keys is not None:
            keys = torch.cat([self._keys, keys], dim=1)
        self._keys = torch.topk(keys, min(self.k, keys.shape[1]), dim=1, sorted=True).values


def top_k_images(activations: Tensor, k: int) -> Tensor:
    """Indices of each unit's k most activating images, most activating first, ties by the lower index.

    activations: float32 [N, U]. Returns int64 [U, k]. Raises TooFewImages when N < k, InvalidActivations for NaN.
    """
    if activations.shape[0] < k:
        raise TooFewImages(f"There are {activations.shape[0]} images but top-k is {k}.", field="top_k", value=k)
    if bool(activations.isnan().any()):
        raise InvalidActivations("There are NaN activations.", field="activations")

    ranking = RunningTopK(k)
    for start in range(0, len(activations), _ROWS_AT_ONCE):
        ranking.update(activations[start : start + _ROWS_AT_ONCE])
    return ranking.indices


def _pack(values: Tensor, first: int) -> Tensor:
    """[n, U] -> keys [U, n]: the float's bits, made to order like integers, above the descending index."""
    bits = (values.float() + 0.0).t().contiguous().view(torch.int32)
    ordered = bits ^ ((bits >> 31) & _HIGHEST)
    index = torch.arange(first, first + values.shape[0], device=values.device)
    return (ordered.to(torch.int64) << 32) + (_HIGHEST - index)
