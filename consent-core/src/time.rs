//! Time as an argument: milliseconds since 1970-01-01T00:00:00Z. Nothing here reads a clock.

/// Milliseconds since the Unix epoch, UTC. Negative before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(i64);

/// One day, in milliseconds.
pub const DAY: i64 = 86_400_000;

/// A claimed time may be this far ahead of the clock that judges it, in milliseconds (5 minutes). Further ahead it is odd: a record
/// is marked, and an answer does not hold, since it would hold longer than the site lets it.
pub const AHEAD_AFTER: i64 = 5 * 60 * 1000;

impl UnixMillis {
    /// The first time that RFC 3339 can write with four digits of a year: 0000-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// The last one: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// This many milliseconds after the epoch, held within [`Self::MIN`] and [`Self::MAX`].
    pub const fn new(millis: i64) -> Self {
        if millis < Self::MIN.0 {
            Self::MIN
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// This many whole seconds after the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::new(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: a time that is shortened never extends validity.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time so many days later.
    #[must_use]
    pub const fn plus_days(self, days: u16) -> Self {
        Self::new(self.0 + days as i64 * DAY)
    }
}

#[cfg(feature = "evidence")]
mod rfc3339 {
    use alloc::borrow::Cow;
    use alloc::string::String;
    use core::fmt;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::UnixMillis;

    /// Why a text is not a time.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    #[error("must be a time as in RFC 3339, such as 2026-01-31T09:30:00.000Z")]
    pub struct TimeError;

    impl UnixMillis {
        /// Parses RFC 3339 with any offset and any number of fractional digits; what is finer than a millisecond is cut off.
        ///
        /// # Errors
        /// [`TimeError`] if it is not such a time.
        ///
        /// # Standards
        /// RFC 3339 section 5.6.
        pub fn parse(text: &str) -> Result<Self, TimeError> {
            let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimeError)?;
            let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
            let millis = i64::try_from(millis).map_err(|_| TimeError)?;
            if (Self::MIN.0..=Self::MAX.0).contains(&millis) { Ok(Self(millis)) } else { Err(TimeError) }
        }
    }

    impl UnixMillis {
        /// The one form that leaves and answers use, without a trip through the formatter: every record has five of them.
        fn digits(self) -> [u8; 24] {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
                .expect("MIN and MAX are within the years 0 to 9999");
            let (date, clock) = (at.date(), at.time());
            let mut out = *b"0000-00-00T00:00:00.000Z";
            let mut put = |from: usize, len: usize, mut value: u32| {
                for slot in out[from..from + len].iter_mut().rev() {
                    *slot = b'0' + u8::try_from(value % 10).expect("a digit");
                    value /= 10;
                }
            };
            put(0, 4, date.year().unsigned_abs());
            put(5, 2, u8::from(date.month()).into());
            put(8, 2, date.day().into());
            put(11, 2, clock.hour().into());
            put(14, 2, clock.minute().into());
            put(17, 2, clock.second().into());
            put(20, 3, clock.millisecond().into());
            out
        }
    }

    impl fmt::Display for UnixMillis {
        /// RFC 3339 in UTC with exactly three fractional digits.
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(core::str::from_utf8(&self.digits()).expect("digits are ASCII"))
        }
    }

    impl Serialize for UnixMillis {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(core::str::from_utf8(&self.digits()).expect("digits are ASCII"))
        }
    }

    impl<'de> Deserialize<'de> for UnixMillis {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).map_err(D::Error::custom)
        }
    }

    impl From<UnixMillis> for String {
        fn from(at: UnixMillis) -> Self {
            alloc::format!("{at}")
        }
    }
}

#[cfg(feature = "evidence")]
pub use rfc3339::TimeError;

#[cfg(all(test, feature = "evidence"))]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_one_form() {
        for (text, want) in [
            ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"),
            ("2026-01-31T09:30:00.1239Z", "2026-01-31T09:30:00.123Z"),
            ("2026-01-31T10:30:00+01:00", "2026-01-31T09:30:00.000Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(alloc::format!("{}", UnixMillis::parse(text).unwrap()), want);
        }
        for bad in
            ["", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T09:30:00", "yesterday", "10000-01-01T00:00:00Z"]
        {
            assert_eq!(UnixMillis::parse(bad), Err(TimeError), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(millis in UnixMillis::MIN.millis()..=UnixMillis::MAX.millis()) {
            let at = UnixMillis::new(millis);
            proptest::prop_assert_eq!(UnixMillis::parse(&alloc::format!("{at}")), Ok(at));
        }
    }
}
