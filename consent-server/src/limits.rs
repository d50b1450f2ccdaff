//! How often a client may ask: token buckets in memory that hold no address.
//!
//! A client is a keyed hash of what tells its address apart from others, under a random key that is made at the start and every day.
//! Neither is ever written down. Memory is bounded: who has not asked for longest is forgotten, which can only let somebody ask more.
//!
//! Refusing, revoking and forgetting are never limited for a subject that the store knows; who asks has to see to that
//! ([`crate::http`], `decisions`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::client;
use crate::config::Config;
use crate::random;

/// Shards, so that two requests seldom wait for each other.
const SHARDS: usize = 16;

/// Clients in each half of a shard: 65,536 in all, about 4 MB.
const HALF: usize = 2048;

/// How long a key holds.
const DAY: Duration = Duration::from_hours(24);

/// How many times as much as one client may all clients of an IPv6 network of 48 bits ask: whoever has one could else be 65,536 clients.
const NETWORK: u64 = 16;

/// So much, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time until one more may come, in microseconds; 0 for no limit.
    interval: u64,
    /// How many may come at once.
    burst: u64,
}

impl Rate {
    /// `count` in this time, `burst` of them at once. No count, no limit.
    pub fn new(count: u32, within: Duration, burst: u32) -> Self {
        let micros = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        Self { interval: if count == 0 { 0 } else { (micros / u64::from(count)).max(1) }, burst: burst.max(1).into() }
    }

    /// So many times as much.
    fn times(self, many: u64) -> Self {
        Self { interval: self.interval.div_ceil(many), burst: self.burst * many }
    }

    /// The time, in seconds, in which all of the burst comes back.
    fn window_seconds(self) -> u64 {
        (self.interval * self.burst).div_ceil(1_000_000).max(1)
    }

    /// Takes one from a bucket, whose state is the time at which it will be full again. All times in microseconds.
    fn take(self, full_at: u64, now: u64) -> Result<u64, u64> {
        let next = full_at.max(now) + self.interval;
        let latest = now + self.interval * self.burst;
        if next <= latest { Ok(next) } else { Err(next - latest) }
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Decisions of one client at one site.
    Decisions,
    /// Reads of one client at one site.
    Reads,
    /// Questions about the requests of one visitor of a site, asked by a reverse proxy.
    Authorize,
    /// Decisions of all clients of a site.
    SiteDecisions,
    /// Requests of one API key.
    Key,
    /// Passwords that one client tries.
    Logins,
    /// Changes that one key or user makes.
    Changes,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Decisions, Self::Reads, Self::Authorize, Self::SiteDecisions, Self::Key, Self::Logins, Self::Changes];

    /// Its name in headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Reads => "reads",
            Self::Authorize => "authorize",
            Self::SiteDecisions => "site-decisions",
            Self::Key => "key",
            Self::Logins => "logins",
            Self::Changes => "changes",
        }
    }
}

/// Too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub class: Class,
    /// When one more may come, in seconds, at least 1.
    pub retry_after_seconds: u64,
    /// How many may come at once.
    pub burst: u64,
    /// In how many seconds all of them come back.
    pub window_seconds: u64,
}

type Client = [u8; 16];

#[derive(Default)]
struct Shard {
    // Two generations: who is found in the old one moves to the new one, and the old one is dropped when the new one is full.
    new: HashMap<Client, u64>,
    old: HashMap<Client, u64>,
}

impl Shard {
    fn full_at(&self, client: &Client) -> u64 {
        self.new.get(client).or_else(|| self.old.get(client)).copied().unwrap_or(0)
    }

    fn put(&mut self, client: Client, full_at: u64) {
        if self.new.len() >= HALF && !self.new.contains_key(&client) {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(client, full_at);
    }
}

/// All buckets.
pub struct Limits {
    decisions: Rate,
    reads: Rate,
    authorize: Rate,
    site_decisions: Rate,
    key: Rate,
    logins: Rate,
    changes: Rate,
    begin: Instant,
    /// The key of the hash, and until when it holds.
    secret: RwLock<([u8; 32], Duration)>,
    clients: [Mutex<Shard>; SHARDS],
    /// Buckets of sites and of API keys, which are few and known by public names.
    named: [RwLock<HashMap<String, AtomicU64>>; Class::ALL.len()],
    refused: [AtomicU64; Class::ALL.len()],
}

impl Limits {
    /// As configured.
    pub fn new(config: &Config) -> Self {
        let minute = Duration::from_mins(1);
        Self {
            decisions: Rate::new(config.limit_decisions_per_minute, minute, config.limit_decisions_burst),
            reads: Rate::new(config.limit_reads_per_minute, minute, config.limit_reads_burst),
            authorize: Rate::new(config.limit_authorize_per_minute, minute, config.limit_authorize_burst),
            site_decisions: Rate::new(
                config.limit_site_decisions_per_minute,
                minute,
                config.limit_site_decisions_per_minute,
            ),
            key: Rate::new(
                config.limit_key_requests_per_second,
                Duration::from_secs(1),
                config.limit_key_requests_per_second,
            ),
            logins: Rate::new(config.limit_logins_per_minute, minute, config.limit_logins_burst),
            changes: Rate::new(
                config.limit_changes_per_second,
                Duration::from_secs(1),
                config.limit_changes_per_second.saturating_mul(3),
            ),
            begin: Instant::now(),
            secret: RwLock::new((random::bytes(), DAY)),
            clients: Default::default(),
            named: Default::default(),
            refused: Default::default(),
        }
    }

    /// A decision that grants something, or is of somebody unknown.
    ///
    /// # Errors
    /// [`Limited`] if the client or the site has had too many.
    pub fn decision(&self, site: &str, client: Option<IpAddr>) -> Result<(), Limited> {
        if let Some(client) = client {
            self.client(Class::Decisions, self.decisions, site, client, self.begin.elapsed())?;
        }
        self.named(Class::SiteDecisions, self.site_decisions, site)
    }

    /// A read.
    ///
    /// # Errors
    /// [`Limited`] if the client has had too many.
    pub fn read(&self, site: &str, client: Option<IpAddr>) -> Result<(), Limited> {
        match client {
            Some(client) => self.client(Class::Reads, self.reads, site, client, self.begin.elapsed()),
            None => Ok(()),
        }
    }

    /// A question about a visitor's request.
    ///
    /// # Errors
    /// [`Limited`] if there were too many about this visitor.
    pub fn authorize(&self, site: &str, visitor: Option<IpAddr>) -> Result<(), Limited> {
        match visitor {
            Some(visitor) => self.client(Class::Authorize, self.authorize, site, visitor, self.begin.elapsed()),
            None => Ok(()),
        }
    }

    /// A request with this API key, by its public id.
    ///
    /// # Errors
    /// [`Limited`] if it has had too many.
    pub fn key(&self, id: &str) -> Result<(), Limited> {
        self.named(Class::Key, self.key, id)
    }

    /// A password that is tried.
    ///
    /// # Errors
    /// [`Limited`] if the client has tried too many.
    pub fn login(&self, client: Option<IpAddr>) -> Result<(), Limited> {
        match client {
            Some(client) => self.client(Class::Logins, self.logins, "", client, self.begin.elapsed()),
            None => Ok(()),
        }
    }

    /// A change of keys, users, notices or settings by whom this id stands for.
    ///
    /// # Errors
    /// [`Limited`] if they have made too many.
    pub fn change(&self, actor: &str) -> Result<(), Limited> {
        self.named(Class::Changes, self.changes, actor)
    }

    /// Counts a request that was refused.
    pub fn count(&self, limited: Limited) {
        self.refused[limited.class as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests were refused, by class.
    pub fn refused(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.iter().zip(&self.refused).map(|(class, count)| (*class, count.load(Ordering::Relaxed)))
    }

    fn client(&self, class: Class, rate: Rate, site: &str, client: IpAddr, now: Duration) -> Result<(), Limited> {
        if rate.interval == 0 {
            return Ok(());
        }
        let own = self.hash(class, &client::prefix(client), site, now);
        self.bucket(class, rate, own, now)?;
        match client.to_canonical() {
            IpAddr::V4(_) => Ok(()),
            IpAddr::V6(address) => {
                let network = self.hash(class, &address.octets()[..6], site, now);
                self.bucket(class, rate.times(NETWORK), network, now)
            }
        }
    }

    fn bucket(&self, class: Class, rate: Rate, client: Client, now: Duration) -> Result<(), Limited> {
        let now = micros(now);
        let mut shard = self.clients[usize::from(client[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        match rate.take(shard.full_at(&client), now) {
            Ok(full_at) => {
                shard.put(client, full_at);
                Ok(())
            }
            Err(wait) => Err(refuse(class, rate, wait)),
        }
    }

    /// The keyed hash of a client or a network. Everything before the site says how long it is, so that no two are one.
    fn hash(&self, class: Class, who: &[u8], site: &str, now: Duration) -> Client {
        let (mut secret, until) = *self.secret.read().unwrap_or_else(PoisonError::into_inner);
        if now >= until {
            let mut held = self.secret.write().unwrap_or_else(PoisonError::into_inner);
            if now >= held.1 {
                *held = (random::bytes(), now + DAY);
                // Nobody can be found under the new key.
                for shard in &self.clients {
                    *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
                }
            }
            secret = held.0;
        }
        let digest = Sha256::new()
            .chain_update(secret)
            .chain_update([class as u8, u8::try_from(who.len()).expect("an address, of at most 16 bytes")])
            .chain_update(who)
            .chain_update(site)
            .finalize();
        *digest.first_chunk().expect("32 bytes hold 16")
    }

    fn named(&self, class: Class, rate: Rate, name: &str) -> Result<(), Limited> {
        if rate.interval == 0 {
            return Ok(());
        }
        let now = micros(self.begin.elapsed());
        let take = |bucket: &AtomicU64| {
            let mut wait = 0;
            let taken = bucket.try_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                rate.take(full_at, now).map_err(|longer| wait = longer).ok()
            });
            taken.map(|_| ()).map_err(|_| refuse(class, rate, wait))
        };
        let buckets = &self.named[class as usize];
        if let Some(bucket) = buckets.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return take(bucket);
        }
        take(buckets.write().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default())
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        let held = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.new.len() + shard.old.len()
        };
        self.clients.iter().map(held).sum()
    }
}

fn refuse(class: Class, rate: Rate, wait: u64) -> Limited {
    Limited {
        class,
        retry_after_seconds: wait.div_ceil(1_000_000).max(1),
        burst: rate.burst,
        window_seconds: rate.window_seconds(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn limits() -> Limits {
        Limits::new(&Config { limit_decisions_burst: 3, limit_site_decisions_per_minute: 5, ..Config::default() })
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let rate = Rate::new(60, Duration::from_mins(1), 3);
        let second = 1_000_000;
        let mut full_at = 0;
        for _ in 0..3 {
            full_at = rate.take(full_at, second).unwrap();
        }
        assert_eq!(rate.take(full_at, second), Err(second));
        assert_eq!(rate.take(full_at, second + second / 2), Err(second / 2));
        full_at = rate.take(full_at, 2 * second).unwrap();
        assert!(rate.take(full_at, 2 * second).is_err());
        assert!(rate.take(full_at, 100 * second).is_ok());
    }

    #[test]
    fn each_client_has_its_own_and_the_site_one_for_all() {
        let limits = limits();
        let [a, b]: [IpAddr; 2] = ["203.0.113.1", "203.0.113.2"].map(|text| text.parse().unwrap());
        for _ in 0..3 {
            limits.decision("shop", Some(a)).unwrap();
        }
        let limited = limits.decision("shop", Some(a)).unwrap_err();
        assert_eq!((limited.class, limited.burst, limited.window_seconds), (Class::Decisions, 3, 3));
        assert!((1..=3).contains(&limited.retry_after_seconds));
        limits.decision("other", Some(a)).unwrap();
        limits.decision("shop", Some(b)).unwrap();
        limits.decision("shop", None).unwrap();
        assert_eq!(limits.decision("shop", None).unwrap_err().class, Class::SiteDecisions);
        assert_eq!(limits.decision("shop", Some(b)).unwrap_err().class, Class::SiteDecisions);
        limits.count(limited);
        assert_eq!(limits.refused().find(|(class, _)| *class == Class::Decisions), Some((Class::Decisions, 1)));
    }

    #[test]
    fn off_is_off() {
        let limits = Limits::new(&Config {
            limit_decisions_per_minute: 0,
            limit_reads_per_minute: 0,
            limit_site_decisions_per_minute: 0,
            limit_key_requests_per_second: 0,
            ..Config::default()
        });
        let client = Some("203.0.113.1".parse().unwrap());
        for _ in 0..10_000 {
            limits.decision("shop", client).unwrap();
            limits.read("shop", client).unwrap();
            limits.key("a").unwrap();
        }
        assert_eq!(limits.held(), 0);
    }

    #[test]
    fn many_clients_do_not_fill_the_memory() {
        let limits = limits();
        for number in 0..200_000u128 {
            let address = IpAddr::V6(Ipv6Addr::from_bits(number << 80));
            limits.client(Class::Reads, limits.reads, "shop", address, Duration::ZERO).unwrap();
        }
        assert!(limits.held() <= 2 * HALF * SHARDS, "{}", limits.held());
    }

    #[test]
    fn a_network_of_65536_households_is_no_65536_clients() {
        let limits = limits();
        let mut passed = 0;
        for number in 0..65_536u128 {
            let address = IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0001 << 80) | (number << 64)));
            passed += u64::from(limits.client(Class::Decisions, limits.decisions, "shop", address, DAY / 2).is_ok());
        }
        assert_eq!(passed, 3 * NETWORK);
        let other = IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_0002 << 80));
        limits.client(Class::Decisions, limits.decisions, "shop", other, DAY / 2).unwrap();
    }

    #[test]
    fn the_key_changes_every_day_and_with_it_everything_that_was_held() {
        let limits = limits();
        let client: IpAddr = "203.0.113.1".parse().unwrap();
        let hash = |now| limits.hash(Class::Reads, &client::prefix(client), "shop", now);
        let first = hash(Duration::ZERO);
        limits.client(Class::Reads, limits.reads, "shop", client, Duration::ZERO).unwrap();
        assert_eq!(first, hash(DAY.saturating_sub(Duration::from_secs(1))));
        assert_eq!(limits.held(), 1);
        let second = hash(DAY);
        assert_ne!(first, second);
        assert_eq!(limits.held(), 0);
        assert_eq!(second, hash((DAY * 2).saturating_sub(Duration::from_secs(1))));
        assert_ne!(second, hash(DAY * 2));
        // Another server's key is another.
        let another = super::Limits::new(&Config::default());
        assert_ne!(first, another.hash(Class::Reads, &client::prefix(client), "shop", Duration::ZERO));
    }
}
