"""A network as built, before its weights are in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from service.domain.input_contract import GivenInput, LibraryInput
from service.engine.architectures.mending import Rename

FITTING_WEIGHTS = "Give the weights of this architecture, or name the architecture that the weights belong to."


@dataclass(frozen=True)
class Blueprint:
    """What a family makes of a model name and a checkpoint."""

    module: nn.Module
    """The network that the weights are loaded into, on the CPU or the meta device."""

    weights: Mapping[str, Tensor]
    """The checkpoint's weights that belong into `module`, under its own names."""

    input: LibraryInput
    """What its library says of how images reach it."""

    tower: str = ""
    """The part of `module` that is the target; empty for all of it."""

    layer_prefix: str = ""
    """See `Target`."""

    heads: Sequence[str] = ()
    """Names of the classifiers in `module`, which weights of another task or of none have no entries for."""

    renames: Sequence[Rename] = ()
    """What the library does itself with older or foreign files."""

    unused: Sequence[str] | None = None
    """Entries of the file that the library left aside, where it put the weights into the network itself."""

    channels: int | None = None
    """The channels that images must have, where its library says it; None for those of the first convolution."""

    warnings: Sequence[str] = ()
    """What whoever reads results has to know of how it was built."""

    remedy: str = FITTING_WEIGHTS
    """What to do where the weights do not fit it."""


@dataclass(frozen=True)
class Family:
    """Architectures that are built alike: how their names are listed, and how one is built for given weights."""

    models: Callable[[], Sequence[str]]

    draw: Callable[[str, Mapping[str, Tensor], GivenInput], Blueprint]
    """Takes the model's name, the weights, and what was given of the input: some networks are built for one size."""

    takes_arguments: bool = False
    """May a slash and arguments of the network follow the model's name? `draw` reads them."""

    inner_prefix: str = ""
    """What stands before the module's own names in the weights that `draw` takes."""


def rows(weights: Mapping[str, Tensor], key: str) -> int | None:
    """How many outputs the layer with this weight has; None where there is no such weight."""
    weight = weights.get(key)
    return weight.shape[0] if weight is not None and weight.ndim > 0 else None
