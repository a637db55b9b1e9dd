"""Evidence: what speaks for each neuron's label, and the null of each layer."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSONB = postgresql.JSONB(astext_type=sa.Text())
_NOTHING_ASKED = """
    UPDATE jobs SET options =
      options || '{"evidence": {"draws": 0, "resamples": 0, "halves": 0}, "shuffled": null}'::jsonb
"""


def upgrade() -> None:
    op.add_column("layers", sa.Column("significant", sa.Integer()))
    op.add_column("layers", sa.Column("null", _JSONB))
    op.add_column("neurons", sa.Column("z", sa.Float(53)))
    op.add_column("neurons", sa.Column("significant", sa.Boolean()))
    op.add_column("neurons", sa.Column("evidence", _JSONB))
    op.add_column("neurons", sa.Column("resampled", postgresql.ARRAY(sa.Integer())))
    op.add_column("neurons", sa.Column("halves", postgresql.ARRAY(sa.Integer())))
    op.execute(_NOTHING_ASKED)


def downgrade() -> None:
    op.execute("UPDATE jobs SET options = options - 'evidence' - 'shuffled'")
    for column in ("halves", "resampled", "evidence", "significant", "z"):
        op.drop_column("neurons", column)
    op.drop_column("layers", "null")
    op.drop_column("layers", "significant")
