//! The SQL of webhooks and their deliveries.

use consent_core::time::{DAY, UnixMillis};
use rusqlite::{Connection, Row, params};

use crate::store::events::{Cursor, EventType};
use crate::store::webhooks::{Again, Delivery, Ended, State, Webhook, Which};
use crate::store::{Registry, StoreError};

/// How long a delivery is remembered, in milliseconds.
const REMEMBERED: i64 = 30 * DAY;
/// How many deliveries of a webhook are remembered.
const MOST: i64 = 100_000;
/// How many are forgotten with each write, at most.
const AT_ONCE: i64 = 500;

fn corrupt(table: &'static str, what: &str) -> StoreError {
    StoreError::Corrupt { table, what: what.to_owned() }
}

/// All webhooks, ended ones too, in the order in which they were made.
pub(super) fn list(db: &Connection, registry: &Registry) -> Result<Vec<Webhook>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, site, url, types, created_at, cursor, ended_at, ended_why FROM webhook ORDER BY created_at, id",
    )?;
    let mut rows = statement.query([])?;
    let mut webhooks = Vec::new();
    while let Some(row) = rows.next()? {
        let site: i64 = row.get(1)?;
        // Made by another process a moment ago, for a site of the same moment.
        let Some(site) = registry.sites.iter().find(|known| known.number == site) else { continue };
        let (types, cursor): (String, String) = (row.get(3)?, row.get(5)?);
        let ended = match (row.get::<_, Option<i64>>(6)?, row.get::<_, Option<String>>(7)?) {
            (Some(at), Some(why)) => {
                let why = Ended::parse(&why).ok_or_else(|| corrupt("webhook", "why it ended"))?;
                Some((UnixMillis::new(at), why))
            }
            _ => None,
        };
        webhooks.push(Webhook {
            id: row.get(0)?,
            site: site.id.clone(),
            url: row.get(2)?,
            types: serde_json::from_str(&types).map_err(|error| corrupt("webhook", &error.to_string()))?,
            created_at: UnixMillis::new(row.get(4)?),
            cursor: Cursor::parse(&cursor).ok_or_else(|| corrupt("webhook", "a cursor that cannot be read"))?,
            ended,
        });
    }
    Ok(webhooks)
}

pub(super) fn create(db: &Connection, site: i64, webhook: &Webhook) -> Result<(), StoreError> {
    let types = serde_json::to_string(&webhook.types).expect("types are texts");
    db.execute(
        "INSERT INTO webhook VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL)",
        params![webhook.id, site, webhook.url, types, webhook.created_at.millis(), webhook.cursor.to_string()],
    )?;
    Ok(())
}

/// Revokes a webhook, also one whose receiver is gone; `false` if there was none to revoke.
pub(super) fn end(db: &Connection, site: i64, id: &str, now: UnixMillis) -> Result<bool, StoreError> {
    let changed = db.execute(
        "UPDATE webhook SET ended_at = ?3, ended_why = 'revoked' WHERE site = ?1 AND id = ?2
         AND ended_why IS NOT 'revoked'",
        params![site, id, now.millis()],
    )?;
    Ok(changed > 0)
}

/// Marks deliveries of a live webhook to be sent again; says how many.
pub(super) fn again(db: &Connection, site: i64, id: &str, which: &Again) -> Result<usize, StoreError> {
    let event = match which {
        Again::Dead => None,
        Again::Event(event) => Some(event),
    };
    let changed = db.execute(
        "UPDATE delivery SET state = 'again', next_at = NULL
         WHERE webhook = (SELECT id FROM webhook WHERE site = ?1 AND id = ?2 AND ended_at IS NULL)
         AND ((?3 IS NULL AND state = 'dead') OR (event = ?3 AND state IN ('dead', 'delivered', 'void')))",
        params![site, id, event],
    )?;
    Ok(changed)
}

/// What came of deliveries, and how far the webhook is.
pub(super) struct Kept {
    pub(super) webhook: String,
    pub(super) cursor: Cursor,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) gone: bool,
}

/// Keeps it, and forgets what is old.
pub(super) fn keep(db: &Connection, kept: &Kept, now: UnixMillis) -> Result<(), StoreError> {
    let Kept { webhook: id, cursor, deliveries, gone } = kept;
    db.prepare_cached("UPDATE webhook SET cursor = ?2 WHERE id = ?1")?.execute(params![id, cursor.to_string()])?;
    for delivery in deliveries {
        let n: i64 = match delivery.n {
            Some(n) => i64::try_from(n).map_err(|_| corrupt("delivery", "a number that is too large"))?,
            None => db
                .prepare_cached("SELECT coalesce(max(n), 0) + 1 FROM delivery WHERE webhook = ?1")?
                .query_row([id], |row| row.get(0))?,
        };
        db.prepare_cached(
            "INSERT OR REPLACE INTO delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            id,
            n,
            delivery.event,
            delivery.kind.as_str(),
            delivery.state.as_str(),
            delivery.attempts,
            delivery.status,
            delivery.error,
            delivery.first_at.millis(),
            delivery.last_at.millis(),
            delivery.next_at.map(UnixMillis::millis),
            delivery.place.map(|place| place.to_string()),
        ])?;
    }
    if *gone {
        db.execute(
            "UPDATE webhook SET ended_at = ?2, ended_why = 'gone' WHERE id = ?1 AND ended_at IS NULL",
            params![id, now.millis()],
        )?;
    }
    db.prepare_cached(
        "DELETE FROM delivery WHERE webhook = ?1 AND n IN (
            SELECT n FROM (SELECT n, state, last_at FROM delivery WHERE webhook = ?1 ORDER BY n LIMIT ?4)
            WHERE state NOT IN ('retrying', 'again')
            AND (last_at < ?2 OR n <= (SELECT max(n) FROM delivery WHERE webhook = ?1) - ?3)
        )",
    )?
    .execute(params![id, now.millis() - REMEMBERED, MOST, AT_ONCE])?;
    Ok(())
}

pub(super) fn deliveries(
    db: &Connection,
    id: &str,
    which: Which,
    before: Option<u64>,
    most: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let (filter, order) = match which {
        Which::Open => ("AND state IN ('retrying', 'again')", "ASC"),
        Which::Dead => ("AND state = 'dead'", "DESC"),
        Which::All => ("", "DESC"),
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT n, event, type, state, attempts, status, error, first_at, last_at, next_at, place FROM delivery
         WHERE webhook = ?1 AND n < ?3 {filter} ORDER BY n {order} LIMIT ?2"
    ))?;
    let before = before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![id, i64::try_from(most).unwrap_or(i64::MAX), before])?;
    let mut deliveries = Vec::new();
    while let Some(row) = rows.next()? {
        deliveries.push(delivery(row)?);
    }
    Ok(deliveries)
}

/// How many deliveries were given up.
pub(super) fn dead(db: &Connection, id: &str) -> Result<u64, StoreError> {
    let count: i64 = db
        .prepare_cached("SELECT count(*) FROM delivery WHERE webhook = ?1 AND state = 'dead'")?
        .query_row([id], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn delivery(row: &Row<'_>) -> Result<Delivery, StoreError> {
    let bad = |what: &str| corrupt("delivery", what);
    let (kind, state): (String, String) = (row.get(2)?, row.get(3)?);
    let place: Option<String> = row.get(10)?;
    Ok(Delivery {
        n: Some(u64::try_from(row.get::<_, i64>(0)?).map_err(|_| bad("a negative number"))?),
        event: row.get(1)?,
        kind: EventType::parse(&kind).ok_or_else(|| bad("a type"))?,
        state: State::parse(&state).ok_or_else(|| bad("a state"))?,
        attempts: row.get(4)?,
        status: row.get(5)?,
        error: row.get(6)?,
        first_at: UnixMillis::new(row.get(7)?),
        last_at: UnixMillis::new(row.get(8)?),
        next_at: row.get::<_, Option<i64>>(9)?.map(UnixMillis::new),
        place: place.map(|text| Cursor::parse(&text).ok_or_else(|| bad("a cursor that cannot be read"))).transpose()?,
    })
}
