//! How often a password may be tried: counted for each user name, in memory, whoever tries.
//!
//! No address is looked at: who guesses from many addresses is stopped just as well, and nothing is kept about anybody. The price is
//! that somebody can keep a user from logging in; sessions that are open stay so, and a new process has forgotten it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use consent_core::time::UnixMillis;

/// The most tries in a window.
pub const MOST: u32 = 5;

/// How long a window is, from the first try, in milliseconds.
pub const WINDOW: i64 = 15 * 60 * 1000;

/// The most names that are remembered. A try is counted when its hash is about to be made, so filling this up takes a window or more; and
/// who may not try any more is never forgotten for it.
const NAMES: usize = 10_000;

/// Tries to log in, by name.
#[derive(Debug, Default)]
pub struct Attempts {
    names: Mutex<HashMap<String, Tries>>,
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    since: UnixMillis,
}

impl Tries {
    /// How many milliseconds are left of its window.
    fn left(self, now: UnixMillis) -> i64 {
        // A clock that jumped back must not make a window longer.
        (self.since.millis().saturating_add(WINDOW) - now.millis()).clamp(0, WINDOW)
    }

    /// The same in seconds, rounded up.
    fn wait(self, now: UnixMillis) -> u16 {
        u16::try_from(self.left(now) / 1000 + 1).unwrap_or(u16::MAX)
    }
}

impl Attempts {
    /// Whether there were too many already. Counts nothing: what waits for its turn has not tried yet.
    ///
    /// # Errors
    /// The seconds to wait, then.
    pub fn look(&self, name: &str, now: UnixMillis) -> Result<(), u16> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(name) {
            Some(tries) if tries.count >= MOST && tries.left(now) > 0 => Err(tries.wait(now)),
            _ => Ok(()),
        }
    }

    /// Counts a try, once the password is about to be looked at. `true` if it is the last for now.
    ///
    /// # Errors
    /// The seconds to wait, where there were too many.
    pub fn begin(&self, name: &str, now: UnixMillis) -> Result<bool, u16> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES && !names.contains_key(name) {
            names.retain(|_, tries| tries.left(now) > 0);
        }
        if names.len() >= NAMES && !names.contains_key(name) {
            let open = names.iter().filter(|(_, tries)| tries.count < MOST);
            match open.min_by_key(|(_, tries)| tries.since).map(|(name, _)| name.clone()) {
                Some(oldest) => drop(names.remove(&oldest)),
                // All are locked: no name can be taken up before one of them is free.
                None => return Err(names.values().map(|tries| tries.wait(now)).min().unwrap_or(1)),
            }
        }
        let tries = names.entry(name.to_owned()).or_insert(Tries { count: 0, since: now });
        if tries.left(now) == 0 {
            *tries = Tries { count: 0, since: now };
        }
        if tries.count >= MOST {
            return Err(tries.wait(now));
        }
        tries.count += 1;
        Ok(tries.count == MOST)
    }

    /// The password was right: what was tried before does not count any more.
    pub fn succeeded(&self, name: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_tries_in_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        let at = UnixMillis::new;
        for n in 1..=5 {
            assert_eq!(attempts.begin("ada", at(n)), Ok(n == 5));
        }
        assert_eq!(attempts.begin("ada", at(1000)), Err(900));
        assert_eq!(attempts.begin("bob", at(1000)), Ok(false), "each name has tries of its own");
        assert_eq!(attempts.begin("ada", at(-WINDOW)), Err(901), "a clock that jumps back keeps nobody out for longer");
        assert_eq!(attempts.begin("ada", at(1 + WINDOW)), Ok(false));
        attempts.succeeded("ada");
        for n in 1..=5 {
            assert_eq!(attempts.begin("ada", at(2 + WINDOW)), Ok(n == 5));
        }
    }

    #[test]
    fn names_that_are_made_up_take_bounded_room() {
        let attempts = Attempts::default();
        for n in 0..NAMES + 50 {
            attempts.begin(&n.to_string(), UnixMillis::new(i64::try_from(n).unwrap())).unwrap();
        }
        assert_eq!(attempts.names.lock().unwrap().len(), NAMES);
    }

    #[test]
    fn no_flood_of_names_unlocks_one() {
        let attempts = Attempts::default();
        let at = UnixMillis::new(1);
        for n in 1..=5 {
            assert_eq!(attempts.look("ada", at), Ok(()));
            assert_eq!(attempts.begin("ada", at), Ok(n == 5));
        }
        for n in 0..2 * NAMES {
            attempts.begin(&n.to_string(), UnixMillis::new(2)).unwrap();
        }
        assert_eq!((attempts.look("ada", at), attempts.begin("ada", at)), (Err(901), Err(901)));
        // Nor is there room without bound for names that are all locked.
        let attempts = Attempts::default();
        for n in 0..NAMES {
            for _ in 0..MOST {
                attempts.begin(&n.to_string(), at).unwrap();
            }
        }
        assert_eq!(attempts.begin("ada", at), Err(901));
        assert_eq!(attempts.begin("ada", UnixMillis::new(1 + WINDOW)), Ok(false));
    }
}
