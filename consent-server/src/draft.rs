//! Notice files: reading a draft from TOML or JSON, and writing one that a person likes to edit.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use consent_core::lint::{self, Finding, Severity, TODO};
use consent_core::notice::Draft;
use serde_json::{Map, Value};

/// Reads a draft.
pub(crate) fn read(file: &Path) -> anyhow::Result<Draft> {
    let (text, json) = load(file)?;
    parse(&text, json).map_err(|error| match stand_in(&text, json) {
        Some((_, open)) => {
            let count = open.len();
            anyhow::anyhow!(
                "{count} values in {0} are still {TODO}: `consent notice lint {0}` lists what is to be filled in",
                file.display()
            )
        }
        None => error.context(format!("{} is not a notice", file.display())),
    })
}

fn load(file: &Path) -> anyhow::Result<(String, bool)> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok((text, file.extension().is_some_and(|ending| ending == "json")))
}

/// Parses a draft of TOML or JSON.
///
/// # Errors
/// Where it is not one, and why.
pub fn parse(text: &str, json: bool) -> anyhow::Result<Draft> {
    Ok(if json { serde_json::from_str(text)? } else { toml::from_str(text)? })
}

/// Lints a file. Where a country or a lifetime is still to be filled in, everything else is linted all the same.
pub(crate) fn lint_file(file: &Path) -> anyhow::Result<Vec<Finding>> {
    let (text, json) = load(file)?;
    let error = match parse(&text, json) {
        Ok(draft) => return Ok(lint::lint(&draft)),
        Err(error) => error.context(format!("{} is not a notice", file.display())),
    };
    let Some((value, open)) = stand_in(&text, json) else { return Err(error) };
    let Ok(draft) = serde_json::from_value::<Draft>(value) else { bail!(error) };
    let unfilled = |path| Finding {
        rule: "S-todo",
        severity: Severity::Error,
        path,
        message: "is still to be filled in".to_owned(),
    };
    Ok(open.into_iter().map(unfilled).chain(lint::lint(&draft)).collect())
}

/// The draft with a valid value wherever one of a fixed form is still to be filled in, and where that is. `None` if there is none.
fn stand_in(text: &str, json: bool) -> Option<(Value, Vec<String>)> {
    let mut draft: Value = if json { serde_json::from_str(text).ok()? } else { toml::from_str(text).ok()? };
    let mut open = Vec::new();
    let mut fill = |object: &mut Value, path: &str, key: &str, value: &str| {
        if object.get(key).and_then(Value::as_str).is_some_and(lint::is_unfilled) {
            object[key] = value.into();
            open.push(format!("{path}.{key}"));
        }
    };
    for category in draft.get_mut("category").and_then(Value::as_array_mut).into_iter().flatten() {
        let path = format!("category.{}", named(category, "id"));
        fill(category, &path, "exemption", "security");
        for service in category.get_mut("service").and_then(Value::as_array_mut).into_iter().flatten() {
            let path = format!("{path}.service.{}", named(service, "id"));
            fill(service, &path, "country", "IE");
            fill(service, &path, "transfer", "adequacy");
            fill(service, &path, "exemption", "security");
            for cookie in service.get_mut("cookies").and_then(Value::as_array_mut).into_iter().flatten() {
                let path = format!("{path}.cookies.{}", named(cookie, "name"));
                fill(cookie, &path, "lifetime", "1 day");
                fill(cookie, &path, "storage", "cookie");
            }
        }
    }
    (!open.is_empty()).then_some((draft, open))
}

fn named(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or("?").to_owned()
}

/// Writes a draft, given as JSON, as TOML in the order in which a person reads it.
pub(crate) fn to_toml(draft: &Value) -> String {
    let mut out = String::new();
    let empty = Map::new();
    let draft = draft.as_object().unwrap_or(&empty);
    let top = [
        "preset",
        "default_language",
        "languages",
        "unreviewed_languages",
        "renew_after_days",
        "id_for_refusals",
        "privacy_policy",
    ];
    for key in top {
        let value = draft.get(key).filter(|value| **value != Value::Bool(false));
        pair(&mut out, key, value);
    }
    for key in ["controller", "theme"] {
        if let Some(table) = draft.get(key).and_then(Value::as_object) {
            head(&mut out, &format!("[{key}]"));
            pairs(&mut out, table, &["name", "address", "contact", "dpo"]);
        }
    }
    for (language, texts) in draft.get("texts").and_then(Value::as_object).into_iter().flatten() {
        if let Some(table) = texts.as_object().filter(|table| !table.is_empty()) {
            head(&mut out, &format!("[texts.{}]", bare(language)));
            pairs(&mut out, table, &["title", "intro", "withdraw_hint"]);
        }
    }
    for table in tables(draft.get("adapter")) {
        head(&mut out, "[[adapter]]");
        pairs(&mut out, table, &["id"]);
    }
    for category in tables(draft.get("category")) {
        head(&mut out, "[[category]]");
        for key in ["id", "necessary", "signals", "exemption"] {
            pair(&mut out, key, category.get(key));
        }
        for (language, text) in category.get("text").and_then(Value::as_object).into_iter().flatten() {
            head(&mut out, &format!("[category.text.{}]", bare(language)));
            let order = ["name", "purpose", "data", "recipients", "retention", "transfers"];
            pairs(&mut out, text.as_object().unwrap_or(&empty), &order);
        }
        for service in tables(category.get("service")) {
            head(&mut out, "[[category.service]]");
            for key in ["id", "name", "provider", "country", "transfer", "exemption"] {
                pair(&mut out, key, service.get(key));
            }
            let cookies = service.get("cookies").and_then(Value::as_array).filter(|cookies| !cookies.is_empty());
            if let Some(cookies) = cookies {
                out.push_str("cookies = [\n");
                for cookie in cookies {
                    writeln!(out, "    {},", inline(cookie)).expect("writing to a string");
                }
                out.push_str("]\n");
            }
        }
    }
    out
}

fn tables(list: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn head(out: &mut String, head: &str) {
    out.push('\n');
    out.push_str(head);
    out.push('\n');
}

fn pair(out: &mut String, key: &str, value: Option<&Value>) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        writeln!(out, "{} = {}", bare(key), inline(value)).expect("writing to a string");
    }
}

/// The fields of a table: first those named, then the rest.
fn pairs(out: &mut String, table: &Map<String, Value>, first: &[&str]) {
    for key in first {
        pair(out, key, table.get(*key));
    }
    for (key, value) in table.iter().filter(|(key, _)| !first.contains(&key.as_str())) {
        pair(out, key, Some(value));
    }
}

/// The order of the fields of a cookie; others come after them.
const INLINE: [&str; 4] = ["name", "storage", "lifetime", "purpose"];

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let ordered = INLINE.iter().filter_map(|key| fields.get_key_value(*key));
            let rest = fields.iter().filter(|(key, _)| !INLINE.contains(&key.as_str()));
            let fields = ordered.chain(rest).map(|(key, value)| format!("{} = {}", bare(key), inline(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quoted(key) }
}

/// A basic string of TOML: that of JSON, but for one character.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for file in ["demo-notice", "demo-choice", "start"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("notices/{file}.toml"));
            let draft = read(&path).unwrap();
            let written = to_toml(&serde_json::to_value(&draft).unwrap());
            assert_eq!(parse(&written, false).unwrap(), draft, "{file}: {written}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_quoted(text: String, key: String) {
            let line = format!("{} = {}", bare(&key), inline(&serde_json::json!({ &*key: &text })));
            let read: toml::Table = toml::from_str(&line).unwrap();
            proptest::prop_assert_eq!(read[&key][&key].as_str(), Some(&*text));
        }
    }

    #[test]
    fn a_draft_with_gaps_is_linted_as_a_whole() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("notices/demo-choice.toml");
        let good = std::fs::read_to_string(path).unwrap();
        let gaps = good
            .replacen("country = \"IE\"", "country = \"TODO\"", 1)
            .replacen("\"30 days\"", "\"TODO: how long\"", 1)
            .replacen("1 Example Lane, Exampletown, Ireland", "TODO", 1);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("n.toml");
        std::fs::write(&file, &gaps).unwrap();
        let found: Vec<_> = lint_file(&file).unwrap().into_iter().map(|finding| (finding.rule, finding.path)).collect();
        let todo = |path: &str| ("S-todo", path.to_owned());
        for path in [
            "category.functional.service.privacy-choice.country",
            "category.functional.service.text-size.cookies.demo_text_size.lifetime",
            "controller.address",
        ] {
            assert!(found.contains(&todo(path)), "{path}: {found:?}");
        }
        assert!(read(&file).unwrap_err().to_string().contains("2 values"), "no draft comes of it");
        std::fs::write(&file, gaps.replace("preset", "presets")).unwrap();
        assert!(lint_file(&file).is_err());
    }
}
