//! The configuration of a server: `consent.toml`, over it `CONSENT_*`, over that the flags of the command line.
//!
//! Every option is one line of the table below, which gives it its name in the file, its variable, its default and its place in
//! `consent.example.toml` (a test compares).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::client::{ForwardedHeader, Network};
use crate::keys::Secret;
use crate::witness::ask::Asked;

/// How a value is read from a variable, and how it is printed as TOML.
trait Setting: Sized {
    /// Reads the text of a `CONSENT_*` variable or a flag.
    fn read(text: &str) -> Result<Self, String>;
    /// Prints it as TOML. A secret is masked.
    fn show(&self) -> String;
}

macro_rules! settings {
    ($($(#[$attribute:meta])* $name:ident: $kind:ty = $default:expr,)*) => {
        /// What a server is told. See `consent.example.toml`.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            $($(#[$attribute])* pub $name: $kind,)*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Config {
            /// The names of all options.
            pub const KEYS: &[&str] = &[$(stringify!($name),)*];

            fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
                match key {
                    $(stringify!($name) => self.$name = Setting::read(text)?,)*
                    _ => unreachable!("only asked for {:?}", Self::KEYS),
                }
                Ok(())
            }

            fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.show()),)*]
            }
        }
    };
}

settings! {
    /// The address to listen on.
    listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080)),
    /// The folder with the database and the log keys.
    data: PathBuf = PathBuf::from("data"),
    /// How often the checkpoint of each log is published, in seconds.
    publish_every_seconds: u64 = 10,
    /// Who cosigns the checkpoints of all logs; nobody by default.
    witnesses: Vec<Asked> = Vec::new(),
    /// How many of them must have cosigned a checkpoint before it is shown; 0 shows it at once.
    witness_quorum: u32 = 0,
    /// How much is logged.
    log: LogLevel = LogLevel::Info,
    /// How log lines look.
    log_format: LogFormat = LogFormat::Text,
    /// The address on which `/metrics` is served; none by default, and never the public one.
    #[serde(deserialize_with = "optional")]
    metrics_listen: Option<SocketAddr> = None,
    /// What `/metrics` asks for as `Authorization: Bearer`; nothing by default.
    #[serde(deserialize_with = "optional_secret")]
    metrics_token: Option<Secret> = None,
    /// The networks whose word about a request's client is taken. This machine by default.
    trusted_proxies: Vec<Network> = vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")],
    /// The header in which those proxies name the client.
    forwarded_header: ForwardedHeader = ForwardedHeader::XForwardedFor,
    /// The most connections at one time; further ones wait to be accepted.
    max_connections: u32 = 10_000,
    /// The most decisions that may wait to be written; further ones are answered with 503.
    max_queue: u32 = 8192,
    /// Decisions per minute of one client at one site; 0 for no limit.
    limit_decisions_per_minute: u32 = 60,
    /// How many of them may come at once.
    limit_decisions_burst: u32 = 20,
    /// Reads per minute of one client at one site; 0 for no limit.
    limit_reads_per_minute: u32 = 300,
    /// How many of them may come at once.
    limit_reads_burst: u32 = 100,
    /// Questions per minute about one visitor of a site, by a reverse proxy; 0 for no limit.
    limit_authorize_per_minute: u32 = 6000,
    /// How many of them may come at once.
    limit_authorize_burst: u32 = 1000,
    /// Decisions per minute of all clients of a site together; 0 for no limit.
    limit_site_decisions_per_minute: u32 = 60_000,
    /// Requests per second of one API key; 0 for no limit.
    limit_key_requests_per_second: u32 = 100_000,
    /// Passwords that one client may try per minute; 0 for no limit.
    limit_logins_per_minute: u32 = 30,
    /// How many of them may come at once.
    limit_logins_burst: u32 = 10,
    /// Changes of keys, users, notices and settings per second of one key or user, three times as many at once; 0 for no limit.
    limit_changes_per_second: u32 = 10,
    /// Whether webhooks may lead to private addresses, to other ports than 443, and over plain http.
    webhook_allow_private: bool = false,
    /// How long the delivery of an event is tried before it is given up, in seconds; at most a week.
    webhook_retry_seconds: u64 = 86_400,
    /// Below so many MiB of free disk `/readyz` says no.
    min_free_mebibytes: u64 = 256,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The environment.
    Variable(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A configuration with where each of its values comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: Vec<(&'static str, Origin)>,
}

/// Variables that begin as ours and are for something else.
const OTHER_VARIABLES: [&str; 2] = ["CONSENT_CONFIG", "CONSENT_BIN"];

impl Loaded {
    /// Reads the file, if there is one, and lays the variables and then the flags over it.
    ///
    /// # Errors
    /// What cannot be read, is unknown or out of range, with the key and where it comes from.
    pub fn read(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: &[(&'static str, Option<String>)],
    ) -> anyhow::Result<Self> {
        let mut origins: Vec<(&'static str, Origin)> = Config::KEYS.iter().map(|key| (*key, Origin::Default)).collect();
        let mut from = |key: &str, origin: Origin| {
            if let Some(slot) = origins.iter_mut().find(|(name, _)| *name == key) {
                slot.1 = origin;
            }
        };
        let mut config = Config::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let wrong =
                |error: toml::de::Error| anyhow::anyhow!("{} cannot be used: {}", path.display(), place(&error, &text));
            config = toml::from_str(&text).map_err(wrong)?;
            let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
            for key in table.keys() {
                from(key, Origin::File(path.to_owned()));
            }
        }
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("CONSENT_") else { continue };
            let key = rest.to_lowercase();
            if Config::KEYS.contains(&key.as_str()) {
                config.set(&key, &value).map_err(|why| anyhow::anyhow!("{name} ({key} in the environment): {why}"))?;
                from(&key, Origin::Variable(name));
            } else if !OTHER_VARIABLES.contains(&name.as_str()) && !is_orchestrators(&name) {
                let like = nearest(&key).map(|key| format!("; is CONSENT_{} meant?", key.to_uppercase()));
                bail!("{name} is set, but there is no such option{}", like.unwrap_or_default());
            }
        }
        for (key, value) in flags {
            if let Some(value) = value {
                config.set(key, value).map_err(|why| anyhow::anyhow!("{key} on the command line: {why}"))?;
                from(key, Origin::Flag);
            }
        }
        let loaded = Self { config, origins };
        loaded.check()?;
        Ok(loaded)
    }

    /// Where a value comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.iter().find(|(name, _)| *name == key).map_or(&Origin::Default, |(_, origin)| origin)
    }

    fn check(&self) -> anyhow::Result<()> {
        let config = &self.config;
        let at_least_1 = [
            ("publish_every_seconds", config.publish_every_seconds),
            ("max_connections", config.max_connections.into()),
            ("max_queue", config.max_queue.into()),
            ("limit_decisions_burst", config.limit_decisions_burst.into()),
            ("limit_reads_burst", config.limit_reads_burst.into()),
            ("limit_authorize_burst", config.limit_authorize_burst.into()),
            ("limit_logins_burst", config.limit_logins_burst.into()),
        ];
        for (key, value) in at_least_1 {
            if value == 0 {
                bail!("{key} ({}) must be at least 1", self.origin(key));
            }
        }
        let mut names = Vec::new();
        for witness in &config.witnesses {
            witness.key().map_err(|why| anyhow::anyhow!("witnesses ({}): {why}", self.origin("witnesses")))?;
            if names.contains(&&witness.name) {
                bail!("witnesses ({}): two are called \"{}\"", self.origin("witnesses"), witness.name);
            }
            names.push(&witness.name);
        }
        if usize::try_from(config.witness_quorum).unwrap_or(usize::MAX) > config.witnesses.len() {
            bail!("witness_quorum ({}) is more than there are witnesses", self.origin("witness_quorum"));
        }
        if config.webhook_retry_seconds > 604_800 {
            bail!("webhook_retry_seconds ({}) must be at most 604800", self.origin("webhook_retry_seconds"));
        }
        if config.metrics_listen == Some(config.listen) && config.listen.port() != 0 {
            bail!(
                "metrics_listen ({}) must not be the public address: metrics are not for everyone",
                self.origin("metrics_listen")
            );
        }
        Ok(())
    }
}

/// The effective configuration as TOML, secrets masked, each line with where it comes from.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in self.config.shown() {
            let line = format!("{key} = {value}");
            writeln!(f, "{line:<50} # {}", self.origin(key))?;
        }
        Ok(())
    }
}

/// What is wrong and where, without the line itself: it may hold a secret.
fn place(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let before = before.rsplit('\n').next().unwrap_or_default();
    let column = before.chars().count() + 1;
    let key = before.split('=').next().unwrap_or_default().trim();
    let key = Config::KEYS.iter().find(|known| **known == key).map(|key| format!(" ({key})")).unwrap_or_default();
    // What was found may be the secret; that of a type which does not fit is quoted in the message.
    let message = match error.message().split_once(": string \"") {
        Some((what, rest)) => {
            let expected = rest.rsplit_once("\", ").map_or("", |(_, expected)| expected);
            format!("{what}: a string, {expected}")
        }
        None => error.message().to_owned(),
    };
    format!("line {line}, column {column}{key}: {message}")
}

/// Variables that Kubernetes and Docker set by themselves where a service or a container is called `consent`.
fn is_orchestrators(name: &str) -> bool {
    ["CONSENT_SERVICE_", "CONSENT_PORT", "CONSENT_ENV_", "CONSENT_NAME"].iter().any(|prefix| name.starts_with(prefix))
}

/// The option whose name is most like this one, if any is.
fn nearest(key: &str) -> Option<&'static str> {
    let distance = |other: &str| {
        let other: Vec<char> = other.chars().collect();
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, a) in key.chars().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in other.iter().enumerate() {
                let cost = (diagonal + usize::from(a != *b)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], cost);
            }
        }
        row[other.len()]
    };
    let found = Config::KEYS.iter().map(|other| (distance(other), *other)).min();
    found.filter(|(far, other)| *far <= other.len() / 3).map(|(_, other)| other)
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What has failed.
    Error,
    /// What may fail soon.
    Warn,
    /// What has begun and ended.
    Info,
    /// More of the same.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    const ALL: [(&'static str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];
}

impl ForwardedHeader {
    const ALL: [(&'static str, Self); 2] =
        [(Self::XForwardedFor.as_str(), Self::XForwardedFor), (Self::Forwarded.as_str(), Self::Forwarded)];
}

/// A value from a closed set of words.
macro_rules! words {
    ($kind:ty) => {
        impl Setting for $kind {
            fn read(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|(word, _)| *word == text);
                found
                    .map(|(_, value)| *value)
                    .ok_or_else(|| format!("\"{text}\" is none of {}", Self::ALL.map(|(word, _)| word).join(", ")))
            }

            fn show(&self) -> String {
                let word = Self::ALL.iter().find(|(_, value)| value == self).map_or("", |(word, _)| *word);
                format!("\"{word}\"")
            }
        }
    };
}

words!(LogLevel);
words!(LogFormat);
words!(ForwardedHeader);

macro_rules! numbers {
    ($($kind:ty)*) => {
        $(impl Setting for $kind {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("\"{text}\" is not a whole number from 0 to {}", Self::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        })*
    };
}

numbers!(u32 u64);

impl Setting for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" | "" => Ok(false),
            _ => Err(format!("\"{text}\" is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("\"{text}\" is not an address with a port, such as 127.0.0.1:8080"))
    }

    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Setting for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(Self::from(text))
    }

    fn show(&self) -> String {
        // A JSON string is a TOML string.
        serde_json::Value::from(self.display().to_string()).to_string()
    }
}

impl Setting for Option<SocketAddr> {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { Setting::read(text).map(Some) }
    }

    fn show(&self) -> String {
        self.map_or_else(|| "\"\"".to_owned(), |address| address.show())
    }
}

impl Setting for Option<Secret> {
    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| Secret::new(text.to_owned())))
    }

    fn show(&self) -> String {
        if self.is_some() { "\"***\"" } else { "\"\"" }.to_owned()
    }
}

impl Setting for Vec<Network> {
    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect()
    }

    fn show(&self) -> String {
        let networks: Vec<String> = self.iter().map(|network| format!("\"{network}\"")).collect();
        format!("[{}]", networks.join(", "))
    }
}

/// In a variable: name, address and key with spaces between, witnesses with commas between.
impl Setting for Vec<Asked> {
    fn read(text: &str) -> Result<Self, String> {
        let asked = |part: &str| match part.split_whitespace().collect::<Vec<_>>()[..] {
            [name, url, vkey] => Ok(Asked { name: name.to_owned(), url: url.to_owned(), vkey: vkey.to_owned() }),
            _ => Err(format!("\"{part}\" is not NAME URL VKEY")),
        };
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(asked).collect()
    }

    fn show(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let witness = |asked: &Asked| {
            format!(
                "{{ name = {}, url = {}, vkey = {} }}",
                quoted(&asked.name),
                quoted(&asked.url),
                quoted(&asked.vkey)
            )
        };
        format!("[{}]", self.iter().map(witness).collect::<Vec<_>>().join(", "))
    }
}

/// In TOML, which has no null, an empty text is none.
fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    Setting::read(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn optional_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Setting::read(&String::deserialize(from)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../consent.example.toml");

    #[test]
    fn the_example_names_every_option_with_its_default() {
        let example: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(example, Config::default());
        let named: toml::Table = toml::from_str(EXAMPLE).unwrap();
        let mut named: Vec<&str> = named.keys().map(String::as_str).collect();
        let mut keys = Config::KEYS.to_vec();
        named.sort_unstable();
        keys.sort_unstable();
        assert_eq!(named, keys);
        for key in keys {
            let at = EXAMPLE.lines().position(|line| line.starts_with(&format!("{key} ="))).unwrap();
            assert!(EXAMPLE.lines().nth(at - 1).unwrap().starts_with('#'), "{key} is not explained");
            let variable = format!("CONSENT_{}", key.to_uppercase());
            assert!(EXAMPLE.contains(&variable), "{variable} is not named");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let shown = Loaded::read(None, [], &[]).unwrap().to_string();
        assert_eq!(toml::from_str::<Config>(&shown).unwrap(), Config::default());
    }

    #[test]
    fn flags_win_over_variables_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.toml");
        std::fs::write(&path, "max_queue = 1\nmax_connections = 1\nlimit_reads_burst = 1\nmetrics_token = \"secret\"")
            .unwrap();
        let variables = [
            ("CONSENT_MAX_CONNECTIONS", "2"),
            ("CONSENT_LIMIT_READS_BURST", "2"),
            ("CONSENT_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("CONSENT_SERVICE_HOST", "10.0.0.1"),
            ("CONSENT_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("OTHER", "x"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let loaded =
            Loaded::read(Some(&path), variables, &[("limit_reads_burst", Some("3".to_owned())), ("data", None)])
                .unwrap();
        let config = &loaded.config;
        assert_eq!((config.max_queue, config.max_connections, config.limit_reads_burst), (1, 2, 3));
        assert_eq!(config.trusted_proxies.len(), 2);
        let unknown = |name: &str| {
            let variables = [(name.to_owned(), "1".to_owned())];
            Loaded::read(None, variables, &[]).unwrap_err().to_string()
        };
        assert_eq!(
            unknown("CONSENT_LISTN"),
            "CONSENT_LISTN is set, but there is no such option; is CONSENT_LISTEN meant?"
        );
        assert_eq!(unknown("CONSENT_XYZ"), "CONSENT_XYZ is set, but there is no such option");
        for (text, at) in [
            ("max_queue = 1\nmetrics_token = \"do not say\n", "line 2, column 28"),
            ("metrics_token = 5 # do not say", "line 1, column 17"),
            ("max_queue = \"do not say\"", "line 1, column 13"),
            ("metrics_token = do not say", "line 1, column 17"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = format!("{:#}", Loaded::read(Some(&path), [], &[]).unwrap_err());
            assert!(error.contains(at) && !error.contains("do not say"), "{text}: {error}");
        }
        let shown = loaded.to_string();
        assert!(shown.contains("metrics_token = \"***\"") && !shown.contains("secret"), "{shown}");
        assert!(!format!("{loaded:?}").contains("secret"));
        assert!(shown.contains("# CONSENT_MAX_CONNECTIONS") && shown.contains("# command line"), "{shown}");
    }

    #[test]
    fn witnesses_are_read_from_the_file_and_from_a_variable() {
        let vkey = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.toml");
        let text = format!(
            "witness_quorum = 1\n[[witnesses]]\nname = \"w1\"\nurl = \"https://w.example\"\nvkey = \"{vkey}\"\n"
        );
        std::fs::write(&path, text).unwrap();
        let of_file = Loaded::read(Some(&path), [], &[]).unwrap().config;
        let variable = |text: String| ("CONSENT_WITNESSES".to_owned(), text);
        let of_variable = Loaded::read(None, [variable(format!("w1 https://w.example {vkey}"))], &[]).unwrap();
        assert_eq!(of_file.witnesses, of_variable.config.witnesses);
        assert_eq!(toml::from_str::<Config>(&of_variable.to_string()).unwrap(), of_variable.config);
        let log = vkey.replace("+20324abe+BC", "+20324abe+AC");
        for (bad, why) in [
            (format!("w1 {vkey}"), "NAME URL VKEY"),
            (format!("w1 w.example {vkey}"), "must begin with https"),
            (format!("w1 https://w.example {log}"), "the vkey of w1"),
            (format!("w1 https://a {vkey}, w1 https://b {vkey}"), "two are called"),
        ] {
            let error = format!("{:#}", Loaded::read(None, [variable(bad.clone())], &[]).unwrap_err());
            assert!(error.contains(why) && error.contains("CONSENT_WITNESSES"), "{bad}: {error}");
        }
    }

    #[test]
    fn errors_name_the_key_and_where_it_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("consent.toml");
        for (text, want) in [
            ("listn = \"x\"", "listn"),
            ("max_queue = \"many\"", "max_queue"),
            ("max_queue = 0", "max_queue"),
            ("listen = \"here\"", "listen"),
            ("trusted_proxies = [\"10.0.0.0/99\"]", "10.0.0.0/99"),
            ("log_format = \"xml\"", "log_format"),
            ("witness_quorum = 1", "witness_quorum"),
            ("witnesses = [{ name = \"w\", url = \"https://w.example\", vkey = \"w\" }]", "the vkey of w"),
            ("metrics_listen = \"127.0.0.1:8080\"", "metrics_listen"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = format!("{:#}", Loaded::read(Some(&path), [], &[]).unwrap_err());
            assert!(error.contains(want) && error.contains("consent.toml"), "{text}: {error}");
        }
        let variables = [("CONSENT_MAX_QUEUE".to_owned(), "many".to_owned())];
        let error = format!("{:#}", Loaded::read(None, variables, &[]).unwrap_err());
        assert!(error.contains("CONSENT_MAX_QUEUE") && error.contains("max_queue"), "{error}");
    }
}
