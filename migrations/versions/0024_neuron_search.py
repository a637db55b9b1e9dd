"""Directions as rows that pgvector searches, and what searches go by that workers read: texts and images."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from alembic import op
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

from service.errors import Conflict

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_WIDTHS = (128, 256, 512, 768, 1024, 1536, 2048, 4000)
_OLDEST = (0, 8)
"""The first release of pgvector whose index goes on where a filter has left too few."""
_AT_ONCE = 1_000
_STAGES = ("ck_work_items_stage", "ck_work_items_preparation")
_READ = "'read'::text"
_AND_EMBED = f"{_READ}, 'embed'::text"


def upgrade() -> None:
    _have_pgvector()
    op.rename_table("layer_directions", "old_directions")
    op.execute("ALTER TABLE old_directions RENAME CONSTRAINT pk_layer_directions TO pk_old_directions")
    op.execute(
        "ALTER TABLE old_directions "
        "RENAME CONSTRAINT fk_layer_directions_layer_id_layers TO fk_old_directions_layer_id_layers"
    )
    _make_tables()
    for layer_id, width, directions, lengths in _old_layers():
        _copy(layer_id, np.frombuffer(directions, "<f2").reshape(-1, width), np.frombuffer(lengths, "<f4"))
    op.drop_table("old_directions")

    # Once all rows are there: that is many times faster than row by row.
    op.execute("SET LOCAL statement_timeout = '6h'")
    op.execute("SET LOCAL maintenance_work_mem = '512MB'")
    for width in _WIDTHS:
        op.execute(
            f"CREATE INDEX ix_neuron_directions_{width} ON neuron_directions "
            f"USING hnsw ((direction::halfvec({width})) halfvec_cosine_ops) WHERE vector_dims(direction) = {width}"
        )
    op.execute("SET LOCAL statement_timeout = '10min'")

    op.create_table(
        "search_vectors",
        sa.Column("dissector_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("problem", postgresql.JSONB(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('text', 'image')", name=op.f("ck_search_vectors_kind")),
        sa.ForeignKeyConstraint(
            ["dissector_id"],
            ["resources.id"],
            name=op.f("fk_search_vectors_dissector_id_resources"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dissector_id", "kind", "query", name=op.f("pk_search_vectors")),
    )
    op.create_index(
        "ix_search_vectors_open",
        "search_vectors",
        ["dissector_id"],
        postgresql_where=sa.text("vector IS NULL AND problem IS NULL"),
    )
    _change_stages(_READ, _AND_EMBED)


def downgrade() -> None:
    op.execute("DELETE FROM work_items WHERE stage = 'embed'")
    _change_stages(_AND_EMBED, _READ)
    op.drop_table("search_vectors")
    op.execute("ALTER TABLE layer_directions ADD COLUMN directions bytea, ADD COLUMN lengths bytea")
    for layer_id, width, units in _layers_of_rows():
        _copy_back(layer_id, width, units)
    op.execute("ALTER TABLE layer_directions ALTER COLUMN directions SET NOT NULL, ALTER COLUMN lengths SET NOT NULL")
    op.drop_table("neuron_directions")
    op.drop_column("layer_directions", "dissector")
    op.drop_column("layer_directions", "neurons")
    # The extension stays: an administrator may have made it.


def _have_pgvector() -> None:
    """Raises Conflict where the server has no pgvector that can be used, or the login may not make the extension."""
    connection = op.get_bind()
    installed = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    version = connection.scalar(sa.text(installed))
    if version is None:
        if not connection.scalar(sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")):
            raise Conflict(
                "The database's server has no pgvector, by which neurons are searched.",
                field="database_url",
                remedy="Install pgvector 0.8 or newer on the server (Debian: postgresql-18-pgvector; image: "
                "pgvector/pgvector:0.8.6-pg18-trixie), then migrate again.",
            )
        try:
            with connection.begin_nested():
                connection.execute(sa.text("CREATE EXTENSION vector"))
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != "42501":
                raise
            raise Conflict(
                "The database's login may not make the extension vector.",
                field="database_url",
                remedy="Have an administrator run `CREATE EXTENSION vector` in this database, then migrate again.",
            ) from error
        version = connection.scalar(sa.text(installed))

    if tuple(int(part) for part in str(version).split(".")[:2]) < _OLDEST:
        raise Conflict(
            f"The database has pgvector {version}, which is too old.",
            field="database_url",
            remedy="Install pgvector 0.8 or newer on the server, and have an administrator run "
            "`ALTER EXTENSION vector UPDATE` in this database, then migrate again.",
        )


def _make_tables() -> None:
    op.create_table(
        "layer_directions",
        sa.Column("layer_id", sa.Uuid(), nullable=False),
        sa.Column("dissector", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("neurons", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["layers.id"], name=op.f("fk_layer_directions_layer_id_layers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("layer_id", name=op.f("pk_layer_directions")),
    )
    # Rows stay whole: a direction that lay elsewhere would be fetched for each comparison.
    op.execute(
        """
        CREATE TABLE neuron_directions (
          layer_id uuid NOT NULL,
          unit integer NOT NULL,
          length real NOT NULL,
          direction halfvec NOT NULL,
          CONSTRAINT pk_neuron_directions PRIMARY KEY (layer_id, unit),
          CONSTRAINT fk_neuron_directions_layer_id_layer_directions
            FOREIGN KEY (layer_id) REFERENCES layer_directions (layer_id) ON DELETE CASCADE
        ) WITH (toast_tuple_target = 8160)
        """
    )
    op.execute(
        """
        INSERT INTO layer_directions (layer_id, dissector, width, neurons)
        SELECT layer_id, coalesce(jobs.manifest->'dissector'->>'digest', resources.digest), width, 0
        FROM old_directions
          JOIN layers ON layers.id = layer_id
          JOIN jobs ON jobs.id = layers.job_id
          JOIN resources ON resources.id = jobs.dissector_id
        """
    )


def _old_layers() -> Iterator[tuple[UUID, int, bytes, bytes]]:
    """One layer at a time: all of them may not fit into memory."""
    connection = op.get_bind()
    for layer_id in connection.scalars(sa.text("SELECT layer_id FROM old_directions")).all():
        query = sa.text("SELECT layer_id, width, directions, lengths FROM old_directions WHERE layer_id = :layer_id")
        row = connection.execute(query, {"layer_id": layer_id}).one()
        yield row.layer_id, row.width, row.directions, row.lengths


def _copy(layer_id: UUID, directions: NDArray[np.float16], lengths: NDArray[np.float32]) -> None:
    connection = op.get_bind()
    width = directions.shape[1]
    stored_width = next((indexed for indexed in _WIDTHS if indexed >= width), width)
    zeros = ",0" * (stored_width - width)

    units = np.flatnonzero(lengths).tolist()
    insert = sa.text("INSERT INTO neuron_directions VALUES (:layer_id, :unit, :length, CAST(:direction AS halfvec))")
    for start in range(0, len(units), _AT_ONCE):
        rows: list[dict[str, Any]] = []
        for unit in units[start : start + _AT_ONCE]:
            numbers = ",".join([f"{number:.6g}" for number in directions[unit].tolist()])
            length = float(lengths[unit])
            rows.append({"layer_id": layer_id, "unit": unit, "length": length, "direction": f"[{numbers}{zeros}]"})
        connection.execute(insert, rows)

    counted = sa.text("UPDATE layer_directions SET neurons = :neurons WHERE layer_id = :layer_id")
    connection.execute(counted, {"layer_id": layer_id, "neurons": len(units)})


def _layers_of_rows() -> list[tuple[UUID, int, int]]:
    query = "SELECT layer_id, width, units FROM layer_directions JOIN layers ON layers.id = layer_id"
    return [(row.layer_id, row.width, row.units) for row in op.get_bind().execute(sa.text(query)).all()]


def _copy_back(layer_id: UUID, width: int, units: int) -> None:
    connection = op.get_bind()
    directions, lengths = np.zeros((units, width), "<f2"), np.zeros(units, "<f4")
    query = "SELECT unit, length, direction::text FROM neuron_directions WHERE layer_id = :layer_id"
    for unit, length, direction in connection.execute(sa.text(query), {"layer_id": layer_id}):
        directions[unit] = np.array(direction[1:-1].split(",")[:width], dtype=np.float32)
        lengths[unit] = length

    stored = {"layer_id": layer_id, "directions": directions.tobytes(), "lengths": lengths.tobytes()}
    update = "UPDATE layer_directions SET directions = :directions, lengths = :lengths WHERE layer_id = :layer_id"
    connection.execute(sa.text(update), stored)


def _change_stages(before: str, after: str) -> None:
    """Change what the constraints list, and nothing else of it: other releases list other stages."""
    connection = op.get_bind()
    query = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'work_items'::regclass AND conname = :name"
    )
    for name in _STAGES:
        definition = connection.execute(sa.text(query), {"name": name}).scalar_one()
        op.execute(f"ALTER TABLE work_items DROP CONSTRAINT {name}")
        op.execute(f"ALTER TABLE work_items ADD CONSTRAINT {name} {definition.replace(before, after)}")
