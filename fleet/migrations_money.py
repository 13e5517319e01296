"""A version of the fleet's database: money goes through channels, comes back in parts, and late."""

from __future__ import annotations

# SQLite changes a CHECK by making the table anew; foreign keys are off meanwhile (see `fleet.database`).
CHANNELS_AND_REFUNDS = (
    """CREATE TABLE accounts_new (
      name TEXT PRIMARY KEY,
      kind TEXT NOT NULL CHECK (kind IN ('payer', 'merchant', 'equity', 'clearing', 'suspense', 'points')),
      opened_at INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO accounts_new SELECT name, kind, opened_at FROM accounts",
    "DROP TABLE accounts",
    "ALTER TABLE accounts_new RENAME TO accounts",
    """CREATE TABLE entries_new (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL
        CHECK (kind IN ('opening', 'topup', 'capture', 'reversal', 'late_capture', 'refund', 'points')),
      order_id TEXT, attempt INTEGER, at INTEGER NOT NULL, key TEXT,
      CHECK (kind NOT IN ('refund', 'topup', 'points') OR key IS NOT NULL)
    ) STRICT""",
    "INSERT INTO entries_new (id, kind, order_id, attempt, at) SELECT id, kind, order_id, attempt, at FROM entries",
    "DROP TABLE entries",
    "ALTER TABLE entries_new RENAME TO entries",
    # one capture per order, ever; one reversal per capture; a refund, top-up or credit of points once
    "CREATE UNIQUE INDEX one_capture_per_order ON entries (order_id) WHERE kind = 'capture'",
    "CREATE UNIQUE INDEX one_of_each_per_attempt ON entries (order_id, attempt, kind)"
    " WHERE kind IN ('capture', 'reversal', 'late_capture')",
    "CREATE UNIQUE INDEX one_entry_per_key ON entries (kind, key) WHERE key IS NOT NULL",
    "CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    """CREATE TABLE attempts_new (
      order_id TEXT NOT NULL REFERENCES orders (order_id), attempt INTEGER NOT NULL CHECK (attempt > 0),
      payer TEXT, factors TEXT, channel TEXT, flow TEXT, amount_minor INTEGER, provider_key TEXT UNIQUE,
      received_at INTEGER NOT NULL,
      status TEXT NOT NULL
        CHECK (status IN ('submitted', 'approved', 'declined', 'reversing', 'reversed', 'manual')),
      reason TEXT NOT NULL, reference TEXT, settled_at INTEGER,
      decided_at INTEGER, confirmed_at INTEGER CHECK (confirmed_at IS NULL OR status = 'approved'),
      by_refund INTEGER NOT NULL DEFAULT 0, look_again_at INTEGER,
      PRIMARY KEY (order_id, attempt)
    ) STRICT""",
    "INSERT INTO attempts_new (order_id, attempt, payer, factors, channel, flow, amount_minor, received_at, status,"
    " reason, reference, settled_at, decided_at, confirmed_at) SELECT a.order_id, a.attempt, a.payer, a.factors,"
    " a.channel, a.flow, CASE WHEN a.payer IS NULL THEN NULL ELSE o.amount_minor END, a.received_at, a.status,"
    " a.reason, a.reference, a.settled_at, a.decided_at, a.confirmed_at"
    " FROM attempts a JOIN orders o USING (order_id)",
    "DROP TABLE attempts",
    "ALTER TABLE attempts_new RENAME TO attempts",
    # one live attempt per order
    "CREATE UNIQUE INDEX one_live_attempt ON attempts (order_id)"
    " WHERE status IN ('submitted', 'approved', 'reversing', 'manual')",
    "CREATE INDEX attempts_unconfirmed ON attempts (settled_at) WHERE status = 'approved' AND confirmed_at IS NULL",
    "CREATE INDEX attempts_open ON attempts (received_at) WHERE status IN ('submitted', 'reversing')",
    "CREATE INDEX attempts_to_look_at ON attempts (look_again_at) WHERE look_again_at IS NOT NULL",
    # what the box has taken as approved stays so: the goods have gone
    "CREATE TRIGGER confirmed_stays BEFORE UPDATE ON attempts WHEN OLD.confirmed_at IS NOT NULL"
    " AND (NEW.status <> OLD.status OR NEW.confirmed_at IS NOT OLD.confirmed_at)"
    " BEGIN SELECT RAISE(ABORT, 'confirmed by the box'); END",
    """CREATE TABLE refunds (
      refund_id TEXT PRIMARY KEY, order_id TEXT NOT NULL, attempt INTEGER NOT NULL,
      amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), late INTEGER NOT NULL CHECK (late IN (0, 1)),
      status TEXT NOT NULL CHECK (status IN ('refunding', 'refunded', 'declined', 'manual', 'settled')),
      reason TEXT NOT NULL, reference TEXT, asked_by TEXT NOT NULL, why TEXT NOT NULL, box TEXT,
      created_at INTEGER NOT NULL, settled_at INTEGER,
      FOREIGN KEY (order_id, attempt) REFERENCES attempts (order_id, attempt)
    ) STRICT""",
    "CREATE INDEX refunds_by_order ON refunds (order_id, attempt)",
    "CREATE INDEX refunds_open ON refunds (created_at) WHERE status IN ('refunding', 'manual')",
    # never more than was captured, whatever the program does
    """CREATE TRIGGER refunds_within_the_capture BEFORE INSERT ON refunds
      WHEN NEW.amount_minor + (SELECT coalesce(sum(amount_minor), 0) FROM refunds r WHERE r.order_id = NEW.order_id
        AND r.attempt = NEW.attempt AND r.late = NEW.late AND r.status <> 'declined')
      > (SELECT coalesce(max(p.amount_minor), 0) FROM entries e JOIN postings p ON p.entry = e.id
        WHERE e.order_id = NEW.order_id AND e.attempt = NEW.attempt
        AND e.kind = CASE NEW.late WHEN 1 THEN 'late_capture' ELSE 'capture' END)
      BEGIN SELECT RAISE(ABORT, 'more than was captured'); END""",
    "CREATE TRIGGER refunds_remain BEFORE DELETE ON refunds BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    """CREATE TABLE resolutions (
      id INTEGER PRIMARY KEY AUTOINCREMENT, order_id TEXT NOT NULL, attempt INTEGER NOT NULL, refund_id TEXT,
      decision TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, before TEXT NOT NULL, at INTEGER NOT NULL,
      FOREIGN KEY (order_id, attempt) REFERENCES attempts (order_id, attempt)
    ) STRICT""",
    "CREATE TRIGGER resolutions_stay BEFORE UPDATE ON resolutions BEGIN SELECT RAISE(ABORT, 'append-only'); END",
    "CREATE TRIGGER resolutions_remain BEFORE DELETE ON resolutions BEGIN SELECT RAISE(ABORT, 'append-only'); END",
)

MEMBERS_AND_VOUCHERS = (
    # a payment that its box accepted while it could ask nobody
    "ALTER TABLE attempts ADD COLUMN accepted_at INTEGER",
    "ALTER TABLE attempts ADD COLUMN quote TEXT",
    "CREATE TABLE members (handle TEXT PRIMARY KEY, uid TEXT NOT NULL UNIQUE, joined_at INTEGER NOT NULL) STRICT",
    """CREATE TABLE coupon_kinds (
      kind TEXT PRIMARY KEY, title TEXT NOT NULL, currency TEXT NOT NULL,
      off_minor INTEGER NOT NULL CHECK (off_minor >= 0),
      permyriad INTEGER NOT NULL CHECK (permyriad BETWEEN 0 AND 10000),
      min_spend_minor INTEGER NOT NULL, max_off_minor INTEGER, combines INTEGER NOT NULL, lives_s INTEGER NOT NULL,
      on_success INTEGER NOT NULL, made_at INTEGER NOT NULL, CHECK ((off_minor > 0) <> (permyriad > 0))
    ) STRICT""",
    """CREATE TABLE coupons (
      code TEXT PRIMARY KEY, kind TEXT NOT NULL REFERENCES coupon_kinds (kind), handle TEXT,
      issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
      from_order TEXT, from_attempt INTEGER, used_order TEXT, used_attempt INTEGER,
      status TEXT NOT NULL CHECK (status IN ('open', 'held', 'used')),
      CHECK ((status = 'open') = (used_order IS NULL))
    ) STRICT""",
    "CREATE INDEX coupons_of_payer ON coupons (handle) WHERE status = 'open'",
    "CREATE UNIQUE INDEX one_offer_per_attempt ON coupons (from_order, from_attempt) WHERE from_order IS NOT NULL",
    "CREATE INDEX coupons_by_use ON coupons (used_order, used_attempt) WHERE used_order IS NOT NULL",
    """CREATE TABLE quotes (
      quote TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders (order_id), handle TEXT NOT NULL,
      payable_minor INTEGER NOT NULL CHECK (payable_minor > 0), off_minor INTEGER NOT NULL, lines TEXT NOT NULL,
      made_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
    ) STRICT""",
)

POINTS_AND_PACKETS = (
    "ALTER TABLE quotes ADD COLUMN points INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE coupon_kinds ADD COLUMN red_packet INTEGER NOT NULL DEFAULT 0",
)

SIGN_UPS = (
    """CREATE TABLE sign_ups (
      order_id TEXT NOT NULL, attempt INTEGER NOT NULL, handle TEXT NOT NULL UNIQUE,
      command_id TEXT NOT NULL UNIQUE REFERENCES commands (command_id), at INTEGER NOT NULL,
      PRIMARY KEY (order_id, attempt), FOREIGN KEY (order_id, attempt) REFERENCES attempts (order_id, attempt)
    ) STRICT""",
)

EARLY_ENDS = (
    # no reference to `orders`: that is what has not come yet
    """CREATE TABLE early_tombstones (
      order_id TEXT NOT NULL, attempt INTEGER NOT NULL CHECK (attempt > 0),
      status TEXT NOT NULL CHECK (status IN ('declined', 'reversed')), at INTEGER NOT NULL,
      PRIMARY KEY (order_id, attempt)
    ) STRICT""",
    "CREATE INDEX early_tombstones_by_age ON early_tombstones (at)",
    "ALTER TABLE orders ADD COLUMN cancelled_at INTEGER",  # by an operator; a box cancels what it has not accepted
)

SMILES = ("ALTER TABLE coupon_kinds ADD COLUMN on_smile INTEGER NOT NULL DEFAULT 0",)

TOP_UPS = (
    """CREATE TABLE topup_orders (
      order_id TEXT PRIMARY KEY REFERENCES orders (order_id), handle TEXT NOT NULL, slip TEXT NOT NULL UNIQUE
    ) STRICT""",
)

FACTOR_TRIES = (
    """CREATE TABLE factor_tries (
      tenant TEXT NOT NULL, handle TEXT NOT NULL, factor TEXT NOT NULL CHECK (factor IN ('pin', 'phone', 'id_card')),
      wrong INTEGER NOT NULL CHECK (wrong >= 0), locked_until INTEGER NOT NULL, version INTEGER NOT NULL,
      changed_at INTEGER NOT NULL, told_at INTEGER NOT NULL, PRIMARY KEY (tenant, handle, factor)
    ) STRICT""",
    "CREATE INDEX factor_tries_by_handle ON factor_tries (handle) WHERE wrong > 0",
    "CREATE INDEX factor_tries_told ON factor_tries (tenant, told_at)",
)

RUNNING_BALANCES = (
    # all that was booked for an attempt, refunds and points too
    "CREATE INDEX entries_by_attempt ON entries (order_id, attempt) WHERE order_id IS NOT NULL",
    # a balance is read with each payment, and its postings are as many as ever were; `ledger verify` compares the two
    """CREATE TABLE balances (
      account TEXT NOT NULL REFERENCES accounts (name), currency TEXT NOT NULL, amount_minor INTEGER NOT NULL,
      PRIMARY KEY (account, currency)
    ) STRICT, WITHOUT ROWID""",
    "INSERT INTO balances SELECT account, currency, sum(amount_minor) FROM postings GROUP BY account, currency",
    """CREATE TRIGGER postings_are_summed AFTER INSERT ON postings BEGIN
      INSERT INTO balances VALUES (NEW.account, NEW.currency, NEW.amount_minor)
        ON CONFLICT (account, currency) DO UPDATE SET amount_minor = amount_minor + excluded.amount_minor;
    END""",
    "DROP INDEX postings_by_account",
)

# what was counted before this is nobody's word
TRIES_SAID = (
    """CREATE TABLE factor_tries_said (
      tenant TEXT NOT NULL, handle TEXT NOT NULL, factor TEXT NOT NULL, box TEXT NOT NULL,
      wrong INTEGER NOT NULL CHECK (wrong > 0), changed_at INTEGER NOT NULL,
      PRIMARY KEY (tenant, handle, factor, box)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX factor_tries_said_by_box ON factor_tries_said (box)",
    "INSERT INTO factor_tries_said SELECT tenant, handle, factor, '', wrong, changed_at FROM factor_tries"
    " WHERE wrong > 0",
    "ALTER TABLE factor_tries ADD COLUMN lowered INTEGER NOT NULL DEFAULT 0",
)
