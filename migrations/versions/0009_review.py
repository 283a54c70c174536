"""The review queue's own rows: lanes, orders, search, reservations, drafts, verdicts, undo.

Revision: 0009
After: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

LANES = "('waiting', 'accepted', 'edited', 'refused', 'disagreement', 'gone')"

ITEM = """
INSERT INTO reviewitem (project_id, feedback_id, lane, kind, rating, person_id, adapter_id, received_at)
SELECT f.project_id, f.id, {lane},
  CASE WHEN f.correction IS NOT NULL THEN 'correction' WHEN f.preferred_over IS NOT NULL THEN 'preference'
       WHEN f.rating IS NOT NULL THEN 'rating' WHEN f.signal IS NOT NULL THEN 'signal' ELSE 'comment' END,
  f.rating, f.person_id, e.adapter_id, f.received_at
FROM {source} LEFT JOIN exchange e ON e.id = f.exchange_id
WHERE {which}
ON CONFLICT (feedback_id) DO NOTHING
"""
NEW = ITEM.format(lane="'waiting'", source='feedback f', which='f.id = NEW.feedback_id')
MOVE = """
UPDATE reviewitem SET lane = CASE NEW.status
    WHEN 'review' THEN 'waiting'
    WHEN 'withdrawn' THEN 'gone'
    WHEN 'forgotten' THEN 'gone'
    WHEN 'refused' THEN 'refused'
    WHEN 'waiting' THEN CASE WHEN lane IN ('accepted', 'edited') THEN lane ELSE 'accepted' END
    ELSE lane END
WHERE feedback_id = NEW.feedback_id
"""
DECIDED = """
INSERT INTO reviewitem (project_id, feedback_id, lane, kind, rating, person_id, adapter_id, received_at)
SELECT f.project_id, f.id,
  CASE WHEN r.status = 'review' THEN 'waiting' WHEN r.status IN ('withdrawn', 'forgotten') THEN 'gone'
       WHEN r.status = 'refused' THEN 'refused'
       WHEN EXISTS (SELECT 1 FROM review v WHERE v.feedback_id = f.id AND v.decision = 'edit')
         AND r.accepted_by = 'reviewer' THEN 'edited' ELSE 'accepted' END,
  CASE WHEN f.correction IS NOT NULL THEN 'correction' WHEN f.preferred_over IS NOT NULL THEN 'preference'
       WHEN f.rating IS NOT NULL THEN 'rating' WHEN f.signal IS NOT NULL THEN 'signal' ELSE 'comment' END,
  f.rating, f.person_id, e.adapter_id, f.received_at
FROM receipt r JOIN feedback f ON f.id = r.feedback_id LEFT JOIN exchange e ON e.id = f.exchange_id
WHERE r.status = 'review' OR EXISTS (SELECT 1 FROM review v WHERE v.feedback_id = r.feedback_id)
ORDER BY f.id
"""

SQLITE = (
    f"CREATE TRIGGER reviewitem_arrives AFTER INSERT ON receipt WHEN NEW.status = 'review' BEGIN {NEW}; END",
    f"""
    CREATE TRIGGER reviewitem_moves AFTER UPDATE OF status ON receipt WHEN NEW.status <> OLD.status
    BEGIN {MOVE}; {NEW.replace("WHERE f.id", "WHERE NEW.status = 'review' AND f.id")}; END
    """,
    # Its content stays in the table; what is deleted from the index is gone from its pages at once.
    """
    CREATE VIRTUAL TABLE reviewtext USING fts5(
      words, content='reviewitem', content_rowid='id', prefix='2 3',
      tokenize="unicode61 remove_diacritics 0"
    )
    """,
    "INSERT INTO reviewtext (reviewtext, rank) VALUES ('secure-delete', 1)",
    """
    CREATE TRIGGER reviewtext_added AFTER INSERT ON reviewitem BEGIN
      INSERT INTO reviewtext (rowid, words) VALUES (NEW.id, NEW.words);
    END
    """,
    """
    CREATE TRIGGER reviewtext_removed AFTER DELETE ON reviewitem BEGIN
      INSERT INTO reviewtext (reviewtext, rowid, words) VALUES ('delete', OLD.id, OLD.words);
    END
    """,
    """
    CREATE TRIGGER reviewtext_changed AFTER UPDATE OF words ON reviewitem WHEN NEW.words <> OLD.words BEGIN
      INSERT INTO reviewtext (reviewtext, rowid, words) VALUES ('delete', OLD.id, OLD.words);
      INSERT INTO reviewtext (rowid, words) VALUES (NEW.id, NEW.words);
    END
    """,
)
POSTGRES = (
    f"""
    CREATE FUNCTION reviewitem_arrives() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN {NEW}; RETURN NULL; END $$
    """,
    f"""
    CREATE FUNCTION reviewitem_moves() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN {MOVE}; IF NEW.status = 'review' THEN {NEW}; END IF; RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER reviewitem_arrives AFTER INSERT ON receipt FOR EACH ROW
    WHEN (NEW.status = 'review') EXECUTE FUNCTION reviewitem_arrives()
    """,
    """
    CREATE TRIGGER reviewitem_moves AFTER UPDATE OF status ON receipt FOR EACH ROW
    WHEN (NEW.status <> OLD.status) EXECUTE FUNCTION reviewitem_moves()
    """,
    # The words as they are: both databases find the same.
    """
    CREATE INDEX reviewtext ON reviewitem USING gin
    (array_to_tsvector(string_to_array(words, ' ')))
    """,
)


def upgrade() -> None:
    op.create_table(
        'reviewitem',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('feedback_id', sa.String(), nullable=False),
        sa.Column('lane', sa.String(), nullable=False),
        sa.Column('kind', sa.String(), nullable=False),
        sa.Column('rating', sa.Float(), nullable=True),
        sa.Column('person_id', sa.String(), nullable=False),
        sa.Column('adapter_id', sa.String(), nullable=True),
        sa.Column('received_at', sa.Float(), nullable=False),
        sa.Column('language', sa.String(), nullable=True),
        sa.Column('topic', sa.String(), nullable=True),
        sa.Column('trust', sa.Float(), nullable=True),
        sa.Column('cluster', sa.String(), nullable=True),
        sa.Column('rank', sa.Float(), server_default='0', nullable=False),
        sa.Column('why', sa.String(), server_default='', nullable=False),
        sa.Column('words', sa.String(), server_default='', nullable=False),
        sa.Column('stale', sa.Boolean(), server_default=sa.text('true'), nullable=False),
        sa.Column('version', sa.Integer(), server_default='0', nullable=False),
        sa.Column('reserved_by', sa.String(), nullable=True),
        sa.Column('reserved_until', sa.Float(), nullable=True),
        sa.CheckConstraint(f'lane IN {LANES}', name='ck_review_item_lane'),
        sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id']),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('feedback_id', name='uq_review_item_feedback'),
    )
    for name, columns in (
        ('best', ['project_id', 'lane', 'rank', 'feedback_id']),
        ('oldest', ['project_id', 'lane', 'feedback_id']),
        ('topic', ['project_id', 'lane', 'topic', 'rank', 'feedback_id']),
        ('adapter', ['project_id', 'lane', 'adapter_id', 'rank', 'feedback_id']),
        ('person', ['person_id']),
        ('cluster', ['cluster', 'lane', 'feedback_id']),
    ):
        op.create_index(f'ix_review_item_{name}', 'reviewitem', columns, unique=False)
    for name, column, sqlite, postgres in (
        ('stale', 'feedback_id', 'stale = 1', 'stale'),
        ('reserved', 'reserved_by', 'reserved_by IS NOT NULL', 'reserved_by IS NOT NULL'),
    ):
        op.create_index(
            f'ix_review_item_{name}',
            'reviewitem',
            [column],
            unique=False,
            sqlite_where=sa.text(sqlite),
            postgresql_where=sa.text(postgres),
        )
    op.create_table(
        'reviewaction',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('batch', sa.String(), nullable=False),
        sa.Column('feedback_id', sa.String(), nullable=False),
        sa.Column('reviewer', sa.String(), nullable=False),
        sa.Column('decision', sa.String(), nullable=False),
        sa.Column('before', sa.JSON(), nullable=False),
        sa.Column('after', sa.String(), nullable=False),
        sa.Column('at', sa.Float(), nullable=False),
        sa.Column('undone_at', sa.Float(), nullable=True),
        sa.Column('undone_by', sa.String(), nullable=True),
        sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id']),
        sa.PrimaryKeyConstraint('id'),
    )
    for name, columns in (
        ('feedback', ['feedback_id', 'id']),
        ('batch', ['batch']),
        ('reviewer', ['project_id', 'reviewer', 'id']),
        ('at', ['project_id', 'at']),
    ):
        op.create_index(f'ix_review_action_{name}', 'reviewaction', columns, unique=False)
    op.create_table(
        'reviewdraft',
        sa.Column('feedback_id', sa.String(), nullable=False),
        sa.Column('reviewer', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('correction', sa.String(), nullable=True),
        sa.Column('reason', sa.String(), nullable=True),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('updated_at', sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id']),
        sa.PrimaryKeyConstraint('feedback_id', 'reviewer'),
    )
    op.create_index(
        'ix_review_draft_reviewer', 'reviewdraft', ['project_id', 'reviewer', 'feedback_id']
    )
    op.create_table(
        'reviewverdict',
        sa.Column('feedback_id', sa.String(), nullable=False),
        sa.Column('reviewer', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('decision', sa.String(), nullable=False),
        sa.Column('correction', sa.String(), nullable=True),
        sa.Column('reason', sa.String(), nullable=True),
        sa.Column('at', sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id']),
        sa.PrimaryKeyConstraint('feedback_id', 'reviewer'),
    )
    op.create_table(
        'reviewcomment',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('feedback_id', sa.String(), nullable=False),
        sa.Column('reviewer', sa.String(), nullable=False),
        sa.Column('text', sa.String(), nullable=False),
        sa.Column('at', sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id']),
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index('ix_review_comment_feedback', 'reviewcomment', ['feedback_id', 'id'])
    op.create_table(
        'reviewtag',
        sa.Column('feedback_id', sa.String(), nullable=False),
        sa.Column('kind', sa.String(), nullable=False),
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('reviewer', sa.String(), nullable=True),
        sa.CheckConstraint("kind IN ('tag', 'reason')", name='ck_review_tag_kind'),
        sa.ForeignKeyConstraint(['feedback_id'], ['feedback.id']),
        sa.PrimaryKeyConstraint('feedback_id', 'kind', 'name'),
    )
    op.create_index('ix_review_tag_name', 'reviewtag', ['project_id', 'kind', 'name', 'feedback_id'])
    op.create_table(
        'reviewqueue',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('owner', sa.String(), nullable=False),
        sa.Column('shared', sa.Boolean(), nullable=False),
        sa.Column('filters', sa.JSON(), nullable=False),
        sa.Column('created_at', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('project_id', 'owner', 'name', name='uq_review_queue_name'),
    )
    op.execute(DECIDED)
    for statement in SQLITE if _is_sqlite() else POSTGRES:
        op.execute(statement)
    if _is_sqlite():
        op.execute("INSERT INTO reviewtext (reviewtext) VALUES ('rebuild')")


def downgrade() -> None:
    if _is_sqlite():
        for name in ('reviewitem_arrives', 'reviewitem_moves'):
            op.execute(f'DROP TRIGGER {name}')
        op.execute('DROP TABLE reviewtext')
    else:
        for name in ('reviewitem_arrives', 'reviewitem_moves'):
            op.execute(f'DROP TRIGGER {name} ON receipt')
            op.execute(f'DROP FUNCTION {name}')
    for table in (
        *('reviewqueue', 'reviewtag', 'reviewcomment', 'reviewverdict', 'reviewdraft'),
        *('reviewaction', 'reviewitem'),
    ):
        op.drop_table(table)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == 'sqlite'
