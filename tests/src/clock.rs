//! Clocks: the system's, and one that stands where it is put.

use std::sync::atomic::{AtomicI64, Ordering};

use consent_core::time::UnixMillis;
use consent_server::clock::{Clock, SystemClock};

/// One day, in milliseconds.
pub const DAY: i64 = consent_core::time::DAY;

/// A clock that stands still until a test moves it, forwards or backwards.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that stands at this time.
    pub fn at(millis: i64) -> Self {
        Self(AtomicI64::new(millis))
    }

    /// Puts the clock to this time.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    /// Moves the clock by so many milliseconds, which may be negative.
    pub fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Where it stands, in milliseconds since 1970.
    pub fn millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.millis())
    }
}

/// The time now, by the system's clock.
pub fn now() -> UnixMillis {
    SystemClock.now()
}

/// The time so many days before now.
pub fn days_ago(days: i64) -> UnixMillis {
    UnixMillis::new(now().millis() - days * DAY)
}
