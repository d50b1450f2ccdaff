//! Users and their sessions.

use std::sync::Arc;

use consent_core::id::SiteId;
use consent_core::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension, params};

use crate::keys::Role;
use crate::store::{Actor, Change, Registry, Site, StoreError};
use crate::users::{IDLE, LONGEST, PasswordHash, Session, User};

fn corrupt(table: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { table, what: what.into() }
}

pub(super) fn all(db: &Connection, sites: &[Arc<Site>]) -> Result<Vec<User>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, name, role, password, created_at, disabled_at FROM console_user ORDER BY created_at, id",
    )?;
    let mut bound = db.prepare_cached("SELECT site FROM console_user_site WHERE user = ?1")?;
    let mut rows = statement.query([])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let role: String = row.get(2)?;
        let numbers = bound.query_map([&id], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        users.push(User {
            name: row.get(1)?,
            role: Role::parse(&role).ok_or_else(|| corrupt("console_user", format!("role {role}")))?,
            sites: sites.iter().filter(|site| numbers.contains(&site.number)).map(|site| site.id.clone()).collect(),
            password: PasswordHash::from_stored(row.get(3)?),
            created_at: UnixMillis::new(row.get(4)?),
            disabled_at: row.get::<_, Option<i64>>(5)?.map(UnixMillis::new),
            id,
        });
    }
    Ok(users)
}

pub(super) fn session(db: &Connection, hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
    let found = db
        .prepare_cached("SELECT user, created_at, used_at FROM console_session WHERE hash = ?1")?
        .query_row([&hash[..]], |row| {
            Ok(Session {
                user: row.get(0)?,
                created_at: UnixMillis::new(row.get(1)?),
                used_at: UnixMillis::new(row.get(2)?),
            })
        })
        .optional()?;
    Ok(found)
}

/// Whether somebody may do what touches these sites, at this moment.
///
/// # Errors
/// [`StoreError::Ended`] or [`StoreError::Forbidden`].
pub(super) fn may(
    db: &Connection,
    actor: &Actor,
    sites: &[SiteId],
    registry: &Registry,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let (role, theirs, needed) = match actor {
        Actor::Machine(_) | Actor::User(_) => return Ok(()),
        Actor::Key { id, secret, needed } => {
            let key = registry.key(id).filter(|key| key.is_live(now) && key.has(secret, now));
            let key = key.ok_or(StoreError::Ended)?;
            (key.role, &key.sites, *needed)
        }
        Actor::Session { user, hash, needed } => {
            let session = session(db, hash)?.filter(|session| session.user == *user && session.is_live(now));
            let user = session.and_then(|session| registry.user(&session.user));
            let user = user.filter(|user| user.disabled_at.is_none()).ok_or(StoreError::Ended)?;
            (user.role, &user.sites, *needed)
        }
    };
    if !role.includes(needed) {
        let needed = needed.as_str();
        return Err(StoreError::Forbidden(format!("this needs the role {needed}; this caller is {}", role.as_str())));
    }
    if !sites.iter().all(|site| theirs.contains(site)) {
        return Err(StoreError::Forbidden("this is also about sites that this caller does not have".to_owned()));
    }
    Ok(())
}

/// Does a change of users or sessions inside the writer's transaction.
pub(super) fn change(db: &Connection, change: &Change, registry: &Registry, now: UnixMillis) -> Result<(), StoreError> {
    let known = |id: &String| registry.user(id).ok_or_else(|| StoreError::Conflict(format!("there is no user {id}")));
    match change {
        Change::CreateUser(user) => {
            if registry.user_named(&user.name).is_some() {
                return Err(StoreError::Conflict("the name is taken".to_owned()));
            }
            db.execute(
                "INSERT INTO console_user VALUES (?1, ?2, ?3, ?4, ?5, NULL)",
                params![user.id, user.name, user.role.as_str(), user.password.as_str(), now.millis()],
            )?;
            bind(db, &user.id, &user.sites, registry)?;
        }
        Change::UpdateUser { id, update } => {
            known(id)?;
            if let Some(role) = update.role {
                db.execute("UPDATE console_user SET role = ?2 WHERE id = ?1", params![id, role.as_str()])?;
            }
            if let Some(sites) = &update.sites {
                db.execute("DELETE FROM console_user_site WHERE user = ?1", [id])?;
                bind(db, id, sites, registry)?;
            }
            if let Some(password) = &update.password {
                db.execute("UPDATE console_user SET password = ?2 WHERE id = ?1", params![id, password.as_str()])?;
            }
            if let Some(disabled) = update.disabled {
                let at = disabled.then_some(now.millis());
                db.execute("UPDATE console_user SET disabled_at = ?2 WHERE id = ?1", params![id, at])?;
            }
            if update.password.is_some() || update.disabled == Some(true) {
                db.execute("DELETE FROM console_session WHERE user = ?1", [id])?;
            }
        }
        Change::RemoveUser { id } => {
            known(id)?;
            // Their sites and sessions go with them.
            db.execute("DELETE FROM console_user WHERE id = ?1", [id])?;
        }
        Change::Login { user, hash, password } => {
            let user = known(user)?;
            if user.password != *password {
                return Err(StoreError::Conflict(format!("the user {} has another password meanwhile", user.id)));
            }
            if user.disabled_at.is_some() {
                return Err(StoreError::Conflict(format!("the user {} is disabled", user.id)));
            }
            let (idle, old) = (now.millis() - IDLE, now.millis() - LONGEST);
            db.execute("DELETE FROM console_session WHERE used_at <= ?1 OR created_at <= ?2", [idle, old])?;
            db.execute(
                "INSERT INTO console_session VALUES (?1, ?2, ?3, ?3)",
                params![&hash[..], user.id, now.millis()],
            )?;
        }
        Change::Logout { hash, .. } => {
            db.execute("DELETE FROM console_session WHERE hash = ?1", [&hash[..]])?;
        }
        Change::Touch { hash } => {
            db.execute(
                "UPDATE console_session SET used_at = max(used_at, ?2) WHERE hash = ?1",
                params![&hash[..], now.millis()],
            )?;
        }
        _ => {}
    }
    Ok(())
}

fn bind(db: &Connection, user: &str, sites: &[SiteId], registry: &Registry) -> Result<(), StoreError> {
    for site in sites {
        let site =
            registry.site(site.as_str()).ok_or_else(|| StoreError::Refused(format!("there is no site {site}")))?;
        db.execute("INSERT OR IGNORE INTO console_user_site VALUES (?1, ?2)", params![user, site.number])?;
    }
    Ok(())
}
