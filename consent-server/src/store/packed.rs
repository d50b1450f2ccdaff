//! The bytes of a folded consent, of what a device says to its account, and of a list of indexes, as the store keeps them beside a
//! subject.
//!
//! Not evidence: all can be recomputed from the log at any time, and `consent doctor` does.

use consent_core::account::{Answer, Device};
use consent_core::consent::{Choice, Consent, Granted, Last};
use consent_core::id::{Name, RecordId};
use consent_core::time::UnixMillis;

const VERSION: u8 = 1;

const FORGOTTEN: u8 = 1;
const IDENTIFIED: u8 = 2;
const LAST: u8 = 4;
const DETACHED: u8 = 8;

const SAID: u8 = 1;
const EXPLICIT: u8 = 2;

/// Packs a consent.
pub(super) fn consent(consent: &Consent) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let last = consent.last;
    out.push(VERSION);
    out.push(
        flag(consent.forgotten, FORGOTTEN)
            | flag(consent.identified, IDENTIFIED)
            | flag(last.is_some(), LAST)
            | flag(last.is_some_and(|l| l.detached), DETACHED),
    );
    if let Some(last) = last {
        out.extend_from_slice(last.id.as_bytes());
        out.extend_from_slice(&last.recorded_at.millis().to_be_bytes());
    }
    put(&mut out, consent.choices.len() as u64);
    for answer in &consent.choices {
        choice(&mut out, answer);
    }
    out
}

/// Unpacks a consent; `None` if the bytes are not one.
pub(super) fn to_consent(bytes: &[u8]) -> Option<Consent> {
    let mut rest = bytes;
    let from = &mut rest;
    if byte(from)? != VERSION {
        return None;
    }
    let flags = byte(from)?;
    let last = if flags & LAST == 0 {
        None
    } else {
        let id = RecordId::from_bytes(array(from)?)?;
        let recorded_at = UnixMillis::new(i64::from_be_bytes(array(from)?));
        Some(Last { id, recorded_at, detached: flags & DETACHED != 0 })
    };
    let mut choices = Vec::new();
    for _ in 0..get(from)? {
        choices.push(take_choice(from)?);
    }
    let consent = Consent { last, forgotten: flags & FORGOTTEN != 0, identified: flags & IDENTIFIED != 0, choices };
    rest.is_empty().then_some(consent)
}

/// Packs what a device says to its account.
pub(super) fn device(device: &Device) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(VERSION);
    out.push(flag(device.forgotten_at.is_some(), FORGOTTEN));
    if let Some(at) = device.forgotten_at {
        out.extend_from_slice(&at.millis().to_be_bytes());
    }
    put(&mut out, device.answers.len() as u64);
    for answer in &device.answers {
        choice(&mut out, &answer.choice);
        out.extend_from_slice(&answer.recorded_at.millis().to_be_bytes());
    }
    out
}

/// Unpacks what a device says; `None` if the bytes are not that. No bytes at all: it says nothing.
pub(super) fn to_device(bytes: &[u8]) -> Option<Device> {
    if bytes.is_empty() {
        return Some(Device::default());
    }
    let mut rest = bytes;
    let from = &mut rest;
    if byte(from)? != VERSION {
        return None;
    }
    let forgotten_at =
        if byte(from)? & FORGOTTEN == 0 { None } else { Some(UnixMillis::new(i64::from_be_bytes(array(from)?))) };
    let mut answers = Vec::new();
    for _ in 0..get(from)? {
        let choice = take_choice(from)?;
        answers.push(Answer { choice, recorded_at: UnixMillis::new(i64::from_be_bytes(array(from)?)) });
    }
    rest.is_empty().then_some(Device { forgotten_at, answers })
}

/// Appends an index to a packed list. `after` is the last one in it.
pub(super) fn push_index(list: &mut Vec<u8>, after: Option<u64>, index: u64) {
    put(list, index - after.unwrap_or(0));
}

/// The indexes of a packed list, ascending; `None` if the bytes are not one.
pub(super) fn indexes(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut rest = bytes;
    let mut indexes = Vec::new();
    let mut last = 0u64;
    while !rest.is_empty() {
        last = last.checked_add(get(&mut rest)?)?;
        indexes.push(last);
    }
    Some(indexes)
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn choice(out: &mut Vec<u8>, choice: &Choice) {
    name(out, &choice.category);
    match &choice.granted {
        Granted::Nothing => out.push(0),
        Granted::Whole => out.push(1),
        Granted::Services(services) => {
            out.push(2);
            put(out, services.len() as u64);
            for service in services {
                name(out, service);
            }
        }
    }
    out.extend_from_slice(&choice.at.millis().to_be_bytes());
    put(out, u64::from(choice.notice));
    out.push(flag(choice.said, SAID) | flag(choice.explicit, EXPLICIT));
}

fn take_choice(from: &mut &[u8]) -> Option<Choice> {
    let category = take_name(from)?;
    let granted = match byte(from)? {
        0 => Granted::Nothing,
        1 => Granted::Whole,
        2 => Granted::Services((0..get(from)?).map(|_| take_name(from)).collect::<Option<_>>()?),
        _ => return None,
    };
    let at = UnixMillis::new(i64::from_be_bytes(array(from)?));
    let notice = u32::try_from(get(from)?).ok()?;
    let flags = byte(from)?;
    Some(Choice { category, granted, at, notice, said: flags & SAID != 0, explicit: flags & EXPLICIT != 0 })
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn get(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = byte(from)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn name(out: &mut Vec<u8>, name: &Name) {
    put(out, name.as_str().len() as u64);
    out.extend_from_slice(name.as_str().as_bytes());
}

fn take_name(from: &mut &[u8]) -> Option<Name> {
    let length = usize::try_from(get(from)?).ok()?;
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    Name::parse(std::str::from_utf8(text).ok()?).ok()
}

fn byte(from: &mut &[u8]) -> Option<u8> {
    let (first, rest) = from.split_first()?;
    *from = rest;
    Some(*first)
}

fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_survives_packing() {
        let choice = |category: &str, granted| Choice {
            category: Name::parse(category).unwrap(),
            granted,
            at: UnixMillis::new(-5),
            notice: 300,
            said: true,
            explicit: false,
        };
        let full = Consent {
            last: Some(Last { id: RecordId::from_random([9; 16]), recorded_at: UnixMillis::new(7), detached: true }),
            forgotten: false,
            identified: true,
            choices: vec![
                choice("a", Granted::Nothing),
                choice("b", Granted::Services(vec![Name::parse("x").unwrap()])),
                choice("c", Granted::Whole),
            ],
        };
        for want in [Consent::default(), Consent { forgotten: true, ..Consent::default() }, full] {
            let bytes = consent(&want);
            assert_eq!(to_consent(&bytes), Some(want));
            for end in 0..bytes.len() {
                assert_eq!(to_consent(&bytes[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn what_a_device_says_survives_packing() {
        let answer = |category: &str, granted| Answer {
            choice: Choice {
                category: Name::parse(category).unwrap(),
                granted,
                at: UnixMillis::new(3),
                notice: 2,
                said: false,
                explicit: true,
            },
            recorded_at: UnixMillis::new(1 << 41),
        };
        let answers =
            vec![answer("a", Granted::Services(vec![Name::parse("x").unwrap()])), answer("b", Granted::Nothing)];
        for want in [
            Device::default(),
            Device { forgotten_at: Some(UnixMillis::new(-7)), answers: Vec::new() },
            Device { forgotten_at: None, answers },
        ] {
            let bytes = device(&want);
            assert_eq!(to_device(&bytes), Some(want));
            for end in 1..bytes.len() {
                assert_eq!(to_device(&bytes[..end]), None, "cut at {end}");
            }
        }
        assert_eq!(to_device(&[]), Some(Device::default()));
    }

    #[test]
    fn indexes_survive_packing() {
        let mut list = Vec::new();
        let want = [0, 1, 127, 128, 129, 70_000, 1 << 40];
        let mut after = None;
        for index in want {
            push_index(&mut list, after, index);
            after = Some(index);
        }
        assert_eq!(indexes(&list).unwrap(), want);
        assert_eq!(indexes(&[0x80]), None);
    }
}
