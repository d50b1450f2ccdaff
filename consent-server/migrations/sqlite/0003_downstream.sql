-- Grants that were claimed for a time well before they were recorded (offline queues, imports): they end earlier than their place in
-- the log says, so the feed looks them up here. Every other grant ends in the order of the log. `at` is the claimed time.
CREATE TABLE early (
    site    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    PRIMARY KEY (site, at, "index")
) STRICT, WITHOUT ROWID;

-- Who is told of events by HTTP. `cursor` is the place in the feed up to which everything was delivered or given up.
CREATE TABLE webhook (
    id           TEXT PRIMARY KEY,
    site         INTEGER NOT NULL REFERENCES site,
    url          TEXT NOT NULL,
    types        TEXT NOT NULL,             -- JSON: the types of events that are wanted
    created_at   INTEGER NOT NULL,
    cursor       TEXT NOT NULL,
    ended_at     INTEGER,                   -- nothing is sent any more
    ended_why    TEXT CHECK (ended_why IN ('revoked', 'gone'))
) STRICT, WITHOUT ROWID;

-- What was sent to whom, and what came of it. Holds no body: an event is read from the log again whenever it is sent, so that what was
-- erased or has ended meanwhile is not sent any more. `event` names records, no person.
CREATE TABLE delivery (
    webhook  TEXT NOT NULL REFERENCES webhook,
    n        INTEGER NOT NULL,              -- counts the events of this webhook in the order in which they were first sent
    event    TEXT NOT NULL,
    type     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('retrying', 'delivered', 'dead', 'again', 'void')),
    attempts INTEGER NOT NULL,
    status   INTEGER,                       -- of the last answer, if there was one
    error    TEXT,                          -- why there was none
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    next_at  INTEGER,                       -- when it is tried again
    place    TEXT,                          -- while it is retried: the cursor behind it
    PRIMARY KEY (webhook, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_open ON delivery (webhook, n) WHERE state IN ('retrying', 'again');
CREATE INDEX delivery_dead ON delivery (webhook, n) WHERE state = 'dead';
