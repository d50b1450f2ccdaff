//! Inputs made of good ones: bytes flipped, and lines, fields and JSON values cut, doubled, moved and exchanged.
//!
//! Random bytes hardly pass the first check of any of our readers; an input that was good until a moment ago passes most of them.

use serde_json::Value;

use crate::rng::Rng;

/// Numbers at the edges of what is read into 32, 53 and 64 bits, and some that are written in another way.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "00",
    "+1",
    "1.0",
    "1e3",
    "255",
    "256",
    "395",
    "396",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "253402300799",
    "253402300800",
    "1e400",
];

/// What breaks texts: controls, spaces that are not seen, directions, parts of escapes.
const ODDITIES: &[&str] = &[
    "\0", "\r", "\n", "\n\n", "\t", "\u{7f}", "\u{85}", "\u{a0}", "\u{200b}", "\u{202e}", "\u{2028}", "\u{feff}",
    "\u{fffd}", "é", "e\u{301}", "😀", "\\u0000", "\\ud800", "\\", "\"", "'", "<", "&", "%00", "%", "{", "}", "[", "]",
    "{}", "[]", "null", "true",
];

/// Changes an input, one to four times. `others` are further good inputs to take parts from, `words` what the target knows.
/// The result has at most `longest` bytes.
pub fn mutate(input: &[u8], others: &[Vec<u8>], words: &[&str], longest: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=rng.below(4) {
        bytes = once(bytes, others, words, rng);
    }
    bytes.truncate(longest);
    bytes
}

fn once(bytes: Vec<u8>, others: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let nothing = Vec::new();
    let kind = rng.below(16);
    if kind < 4
        && let Some(changed) = json(&bytes, others, words, rng)
    {
        return changed;
    }
    let other = rng.pick(others).unwrap_or(&nothing);
    match kind {
        0..=5 => pieces(&bytes, other, words, rng, is_between_fields),
        6..=9 => pieces(&bytes, other, words, rng, |byte| byte == b'\n'),
        _ => raw(bytes, other, words, rng),
    }
}

fn is_between_fields(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b".,;:&=~+/?\"'{}[]()".contains(&byte)
}

fn word(words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let list = match rng.below(4) {
        0 => NUMBERS,
        1 => ODDITIES,
        _ if words.is_empty() => NUMBERS,
        _ => words,
    };
    rng.pick(list).map_or_else(Vec::new, |word| word.as_bytes().to_vec())
}

/// Where the bytes are: no target, no structure.
fn raw(mut bytes: Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let (at, to) = range(bytes.len(), rng);
    match rng.below(8) {
        0 | 1 if !bytes.is_empty() => bytes[at.min(to.saturating_sub(1))] ^= 1 << rng.below(8),
        2 if !bytes.is_empty() => bytes[at.min(to.saturating_sub(1))] = rng.number().to_le_bytes()[0],
        3 => drop(bytes.drain(at..to)),
        4 => bytes.truncate(at),
        5 => {
            let part = bytes[at..to].to_vec();
            // Sometimes often: what is bounded must be, and what recurses must stop.
            let times = if rng.below(16) == 0 { 1 << rng.below(12) } else { 1 };
            for _ in 0..times.min(1 + (1 << 17) / part.len().max(1)) {
                bytes.splice(at..at, part.iter().copied());
            }
        }
        6 => {
            let (from, end) = range(other.len(), rng);
            bytes.splice(at..to, other[from..end].iter().copied());
        }
        _ => drop(bytes.splice(at..at, word(words, rng))),
    }
    bytes
}

/// A stretch, most often a short one.
fn range(length: usize, rng: &mut Rng) -> (usize, usize) {
    let at = rng.below(length + 1);
    let most = if rng.below(3) == 0 { length - at } else { (length - at).min(8) };
    (at, at + rng.below(most + 1))
}

/// The pieces between separators, each with the one that ends it.
fn split(bytes: &[u8], is_end: fn(u8) -> bool) -> Vec<&[u8]> {
    bytes.split_inclusive(|&byte| is_end(byte)).collect()
}

fn pieces(bytes: &[u8], other: &[u8], words: &[&str], rng: &mut Rng, is_end: fn(u8) -> bool) -> Vec<u8> {
    let mut parts = split(bytes, is_end);
    let others = split(other, is_end);
    let at = rng.below(parts.len());
    let text;
    if parts.is_empty() {
        return word(words, rng);
    }
    match rng.below(7) {
        0 => drop(parts.remove(at)),
        1 => parts.insert(at, parts[at]),
        2 => {
            let to = rng.below(parts.len());
            parts.swap(at, to);
        }
        3 => {
            let moved = parts.remove(at);
            parts.insert(rng.below(parts.len() + 1), moved);
        }
        4 => parts[at] = rng.pick(&others).copied().unwrap_or_default(),
        5 => parts.insert(at, rng.pick(&others).copied().unwrap_or_default()),
        _ => {
            // Another word before the same separator.
            let end = parts[at].last().filter(|&&byte| is_end(byte)).copied();
            text = word(words, rng).into_iter().chain(end).collect::<Vec<_>>();
            parts[at] = &text;
        }
    }
    parts.concat()
}

/// Changes one value of a JSON text, or of one of its lines.
fn json(bytes: &[u8], others: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Option<Vec<u8>> {
    let lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let whole = bytes.first() == Some(&b'{') && serde_json::from_slice::<Value>(bytes).is_ok();
    let at = if whole { 0 } else { rng.below(lines.len()) };
    let text = if whole { bytes } else { lines.get(at)? };
    let mut value: Value = serde_json::from_slice(text).ok()?;
    let other = rng.pick(others).and_then(|other| serde_json::from_slice::<Value>(other).ok());
    change(&mut value, other.as_ref(), words, rng);
    let mut text = serde_json::to_vec(&value).ok()?;
    if whole {
        return Some(text);
    }
    text.push(b'\n');
    let mut changed = lines[..at].concat();
    changed.extend(text);
    changed.extend(lines[at + 1..].concat());
    Some(changed)
}

fn change(value: &mut Value, other: Option<&Value>, words: &[&str], rng: &mut Rng) {
    let into = rng.below(4) > 0;
    match value {
        Value::Object(map) if into && !map.is_empty() => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let Some(key) = rng.pick(&keys) else { return };
            match rng.below(8) {
                0 => drop(map.remove(key)),
                1 => {
                    let new = String::from_utf8_lossy(&word(words, rng)).into_owned();
                    let value = map.get(key).cloned().unwrap_or_default();
                    map.insert(new, value);
                }
                2 => {
                    // What stands there in another input.
                    let value = other.and_then(|other| other.get(key)).cloned();
                    map.extend(value.map(|value| (key.clone(), value)));
                }
                _ => change(&mut map[key.as_str()], other.and_then(|other| other.get(key)), words, rng),
            }
        }
        Value::Array(list) if into && !list.is_empty() => {
            let at = rng.below(list.len());
            match rng.below(6) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                2 => {
                    let to = rng.below(list.len());
                    list.swap(at, to);
                }
                _ => change(&mut list[at], other.and_then(|other| other.get(at)), words, rng),
            }
        }
        Value::Array(list) if rng.below(2) == 0 => {
            list.push(String::from_utf8_lossy(&word(words, rng)).into_owned().into());
        }
        Value::String(text) if into && !text.is_empty() => {
            let other = other.and_then(Value::as_str).unwrap_or_default();
            let bytes = raw(text.clone().into_bytes(), other.as_bytes(), words, rng);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Value::Bool(yes) if into => *yes = !*yes,
        _ => {
            let text = String::from_utf8_lossy(&word(words, rng)).into_owned();
            *value = match rng.below(6) {
                0 => Value::Null,
                1 => Value::Array(vec![core::mem::take(value)]),
                2 => serde_json::json!({ text: core::mem::take(value) }),
                3 => serde_json::from_str(&text).unwrap_or_default(),
                _ => text.into(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_most_are_new() {
        let seeds =
            [br#"{"a":[1,"two"],"b":{"c":true}}"#.to_vec(), b"one=1; two=2\nthree.four~five\n".to_vec(), vec![]];
        let all = |seed| {
            let mut rng = Rng::new(seed);
            (0..2000).map(|i| mutate(&seeds[i % 3], &seeds, &["word"], 4096, &mut rng)).collect::<Vec<_>>()
        };
        let inputs = all(1);
        assert_eq!(inputs, all(1));
        assert_ne!(inputs, all(2));
        assert!(inputs.iter().all(|input| input.len() <= 4096));
        let distinct: std::collections::HashSet<_> = inputs.iter().collect();
        assert!(distinct.len() > 1000, "{}", distinct.len());
    }
}
