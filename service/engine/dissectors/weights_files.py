"""The weights of a dissector's file, whatever they are wrapped in: by the rule that targets have, too."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from service.domain.json_values import JsonObject
from service.engine.architectures.choosing import Choice, choose
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.engine.networks.checkpoints import Checkpoint
from service.engine.weights.sets import DEFAULTS, WHOLE_FILE
from service.errors import InvalidCheckpoint, InvalidDissector

WEIGHTS = "weights"
"""The entry of dissector.json that chooses one of several sets of weights."""

_PLAIN = (WHOLE_FILE, *DEFAULTS)


def open_weights(folder: DissectorFolder, file: str, config: JsonObject) -> Checkpoint:
    """Open a weights file of the folder, with the set of weights that dissector.json names or that is likely.

    Raises InvalidDissector where `weights` is not a name, and as `open_checkpoint` does.
    """
    return folder.open_checkpoint(file, _wanted(config, folder))


def fitting_weights(
    checkpoint: Checkpoint, model: nn.Module, config: JsonObject, folder: DissectorFolder
) -> tuple[Mapping[str, Tensor], Sequence[str]]:
    """The weights that fit the model best, under its own names, and what there is to say of the choice.

    What does not fit is left in, for the strict check to name. Raises InvalidCheckpoint where several sets fit and
    none is the default, where the one that was asked for is not there, or where there are no weights at all.
    """
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    try:
        choice = choose(checkpoint, shapes, _wanted(config, folder))
    except InvalidCheckpoint as error:
        if error.field != WEIGHTS:
            raise
        chosen = f'A dissector\'s folder chooses it in {CONFIG}: {{"{WEIGHTS}": "<name>"}}.'
        remedy = f"{(error.remedy or '').rstrip('.')}. {chosen}"
        raise InvalidCheckpoint(error.detail, field=WEIGHTS, value=error.value, remedy=remedy) from error

    source, prefix = checkpoint.fetch(choice.candidate.source), choice.candidate.prefix
    own = {key.removeprefix(prefix): value for key, value in source.weights.items() if key.startswith(prefix)}
    return own, _notes(choice, len(source.weights) - len(own))


def _wanted(config: JsonObject, folder: DissectorFolder) -> str | None:
    wanted = config.get(WEIGHTS)
    if wanted is None or (isinstance(wanted, str) and wanted):
        return wanted
    raise InvalidDissector(
        f"The {WEIGHTS} of {CONFIG} is not the name of a set of weights.",
        field="dissector",
        value=folder.path,
        remedy=f'Write it as text, as in "{WEIGHTS}": "state_dict_ema", or leave it out.',
    )


def _notes(choice: Choice, unused: int) -> list[str]:
    """Nothing of a plain file: then there was no choice."""
    candidate = choice.candidate
    notes = []
    if len(choice.names) > 1 or candidate.name not in _PLAIN:
        others = ", ".join(f"'{name}'" for name in choice.names if name != candidate.name)
        how = "as asked for" if choice.chosen == "given" else "by default"
        beside = f", {how}; the file also holds {others}" if others else ""
        notes.append(f"The weights are those of '{candidate.name}'{beside}.")

    if candidate.prefix not in {"", "module."}:
        notes.append(f"The weights' names begin with '{candidate.prefix}', which was taken off.")
    if unused:
        notes.append(f"{unused} other entries beside the weights are not used.")
    return notes
