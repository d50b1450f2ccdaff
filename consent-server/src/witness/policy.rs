//! Which logs a witness cosigns: lines of a policy.
//!
//! # Standards
//! C2SP tlog-policy.

use std::collections::HashMap;

use consent_core::note::{KeyType, VerifyingKey};

/// The keys of each log that is known, by its origin. A log may have several, while one replaces another.
pub type Logs = HashMap<String, Vec<VerifyingKey>>;

/// Reads the `log` lines of a policy. Lines about witnesses and groups are others' business.
///
/// # Errors
/// What cannot be read, with the number of its line.
pub fn parse(text: &str) -> Result<Logs, String> {
    let mut logs = Logs::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        match words.next() {
            None | Some("witness" | "group" | "quorum") => {}
            Some(word) if word.starts_with('#') => {}
            Some("log") => {
                let key = words.next().ok_or_else(|| format!("line {number}: log needs a key"))?;
                add(&mut logs, key).map_err(|why| format!("line {number}: {why}"))?;
            }
            Some(word) => return Err(format!("line {number}: \"{word}\" is none of log, witness, group, quorum")),
        }
    }
    Ok(logs)
}

/// Adds the key of a log.
///
/// # Errors
/// What is wrong with it.
pub fn add(logs: &mut Logs, vkey: &str) -> Result<(), String> {
    let key = VerifyingKey::parse(vkey).map_err(|error| format!("the key {vkey}: {error}"))?;
    if key.key_type() != KeyType::Ed25519 {
        return Err(format!("the key {vkey} is one of a witness, not of a log"));
    }
    let keys = logs.entry(key.name().to_owned()).or_default();
    if !keys.contains(&key) {
        keys.push(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_a_policy_are_read() {
        let log = "log.example/consent+adf0c63a+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
        let witness = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
        let text =
            format!("# logs\n\nlog {log} https://log.example/consent\nlog {log}\nwitness w1 {witness}\nquorum w1\n");
        let logs = parse(&text).unwrap();
        assert_eq!(logs.len(), 1);
        assert_eq!(logs["log.example/consent"].len(), 1);
        for (bad, why) in [
            ("log", "line 1: log needs"),
            ("\nlog nothing", "line 2: the key"),
            ("logs x", "line 1: \"logs\""),
            (&format!("log {witness}"), "one of a witness"),
        ] {
            assert!(parse(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
