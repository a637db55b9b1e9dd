"""Registered parts have states, which say what this release found: what an earlier one found has to be asked for.

A state follows from the preparation that opens a part. The layers of models, and the problems that they had, stay.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM work_items WHERE stage = 'inspect' AND status IN ('done', 'withdrawn')")


def downgrade() -> None:
    # The release before opens models alone.
    op.execute(
        "DELETE FROM work_items USING resources"
        " WHERE resources.id = work_items.resource_id AND resources.kind = 'dissector'"
    )
