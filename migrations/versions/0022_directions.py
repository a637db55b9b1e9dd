"""The directions of units in the dissector's space."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "layer_directions",
        sa.Column("layer_id", sa.Uuid(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("directions", sa.LargeBinary(), nullable=False),
        sa.Column("lengths", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["layers.id"], name=op.f("fk_layer_directions_layer_id_layers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("layer_id", name=op.f("pk_layer_directions")),
    )


def downgrade() -> None:
    op.drop_table("layer_directions")
