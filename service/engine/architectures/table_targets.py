"""Targets that are tables: see `service.engine.networks.recorded`."""

from service.domain.models import TargetSpec
from service.domain.table_targets import AS_IT_IS, check_no_network_fields, check_not_shuffled
from service.engine.networks.protocols import Target
from service.engine.networks.recorded.network import TableNetwork
from service.engine.networks.recorded.reading import read_recorded


def open_table_target(spec: TargetSpec) -> Target:
    """Read a table; its numbers stay in memory, where no device needs them.

    Raises InvalidCheckpoint, UnsafeCheckpoint, DigestMismatch, FileOutOfReach; InvalidInput where something was given
    that only a network has.
    """
    check_no_network_fields(given_input=spec.input, weights=spec.weights, autoencoder=spec.autoencoder)
    check_not_shuffled(spec.shuffled)
    file = read_recorded(spec.checkpoint, sha256=spec.sha256, ids_digest=spec.described_by, roots=spec.roots)

    return Target(
        module=TableNetwork(file.table).eval(),
        architecture=spec.architecture,
        preprocessing=AS_IT_IS,
        sha256=file.sha256,
        main_layers=tuple(file.table.layers),
        origin={} if file.ids_digest is None else {"ids": file.ids_digest},
        recorded=file.table,
    )
