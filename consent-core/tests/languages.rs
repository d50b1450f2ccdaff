//! The texts of the interface in every language: complete, with the placeholders of the English ones, and in the words of the law.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The official languages of the European Union, and five others.
const LANGUAGES: &str = "bg cs da de el en es et fi fr ga hr hu it lt lv mt nl pl pt ro sk sl sv ar is no tr uk";

/// Which text has to use which term of the glossary.
const RULES: [(&str, &str); 13] = [
    ("consent_id", "consent"),
    ("settings_title", "consent"),
    ("controller", "controller"),
    ("purpose", "purpose"),
    ("cookie_purpose", "purpose"),
    ("recipients", "recipient"),
    ("transfers", "transfer"),
    ("withdraw_hint", "withdraw"),
    ("forget_hint", "withdraw"),
    ("adequacy", "adequacy"),
    ("standard_clauses", "standard_clauses"),
    ("binding_rules", "binding_rules"),
    ("retention", "storage_period"),
];

/// Terms that no single text has to use.
const OTHER_TERMS: [&str; 2] = ["personal_data", "third_country"];

/// Words that are the English ones in that language too. Anything else that equals the English text was not translated.
const SAME_WORD: [(&str, &str); 7] = [
    ("da", "Version"),
    ("de", "Name"),
    ("de", "Version"),
    ("fr", "Services"),
    ("fr", "Version"),
    ("mt", "Data"),
    ("sv", "Version"),
];

/// By path, such as `common.lifetimes.day`.
type Texts = BTreeMap<String, String>;

fn texts_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("texts")
}

fn languages_in(dir: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn read(dir: &Path, language: &str) -> Value {
    let path = dir.join(format!("{language}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every text under its path; what is no text, such as `reviewed`, is kept in its JSON form so that a missing one shows.
fn flatten(prefix: &str, value: &Value, texts: &mut Texts) {
    for (key, value) in value.as_object().unwrap() {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(_) => flatten(&path, value, texts),
            Value::String(text) => drop(texts.insert(path, text.clone())),
            other => drop(texts.insert(path, other.to_string())),
        }
    }
}

fn texts(language: &str) -> Texts {
    let mut texts = Texts::new();
    flatten("", &read(&texts_dir(), language), &mut texts);
    texts
}

/// The term's forms, the official one first; empty if the glossary has none.
fn forms(glossary: &Value, term: &str) -> Vec<String> {
    let forms = glossary["terms"][term].as_array().into_iter().flatten();
    forms.filter_map(Value::as_str).map(str::to_lowercase).collect()
}

fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default()).collect()
}

/// All failures in one message: who translates wants to see all of them, not the first of each run.
fn none(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_language_has_its_texts_and_its_glossary() {
    let expected: BTreeSet<_> = LANGUAGES.split(' ').map(str::to_owned).collect();
    assert_eq!(expected.len(), 29);
    assert_eq!(languages_in(&texts_dir()), expected, "texts");
    assert_eq!(languages_in(&texts_dir().join("glossary")), expected, "glossaries");
}

#[test]
fn every_text_is_there_with_the_placeholders_of_the_english_one() {
    let english = texts("en");
    let mut failures = Vec::new();
    for language in LANGUAGES.split(' ') {
        let texts = texts(language);
        let unknown = texts.keys().filter(|key| !english.contains_key(*key));
        failures.extend(unknown.map(|key| format!("{language} {key}: unknown")));
        for (key, original) in &english {
            let Some(text) = texts.get(key) else {
                failures.push(format!("{language} {key}: missing"));
                continue;
            };
            if text.trim().is_empty() {
                failures.push(format!("{language} {key}: empty"));
            }
            let (here, there) = (placeholders(text), placeholders(original));
            if here != there {
                failures.push(format!("{language} {key}: has the placeholders {here:?}, not {there:?}"));
            }
            let same_word = key == "reviewed" || SAME_WORD.contains(&(language, text));
            if language != "en" && text == original && !same_word {
                failures.push(format!("{language} {key}: is the English text, {text:?}"));
            }
        }
    }
    none(&failures);
}

#[test]
fn legal_terms_are_those_of_the_law() {
    let mut failures = Vec::new();
    for language in LANGUAGES.split(' ') {
        let glossary = read(&texts_dir().join("glossary"), language);
        let texts = texts(language);
        if glossary["source"].as_str().is_none_or(|source| source.trim().is_empty()) {
            failures.push(format!("{language}: the glossary does not say where its terms are from"));
        }
        let terms: BTreeSet<_> = RULES.iter().map(|(_, term)| *term).chain(OTHER_TERMS).collect();
        for term in terms {
            let forms = forms(&glossary, term);
            // An empty form would be found in every text.
            if forms.is_empty() || forms.iter().any(|form| form.trim().is_empty()) {
                failures.push(format!("{language} {term}: the glossary has no term, or an empty one"));
            }
        }
        for (key, term) in RULES {
            let text = texts.get(&format!("common.{key}")).cloned().unwrap_or_default();
            let forms = forms(&glossary, term);
            if !forms.iter().any(|form| text.to_lowercase().contains(form)) {
                failures.push(format!("{language} {key}: {text:?} has none of {forms:?}"));
            }
        }
    }
    none(&failures);
}

#[test]
fn accepting_and_refusing_weigh_the_same_and_close_is_named_as_it_reads() {
    let mut failures = Vec::new();
    for language in LANGUAGES.split(' ') {
        let texts = texts(language);
        let text = |key: &str| texts.get(&format!("common.{key}")).cloned().unwrap_or_default();
        let (accept, reject) = (text("accept"), text("reject"));
        let (a, r) = (accept.chars().count(), reject.chars().count());
        if a.max(r) > 2 * a.min(r) {
            failures.push(format!("{language}: {accept:?} and {reject:?} differ too much in length"));
        }
        if accept == reject {
            failures.push(format!("{language}: accept and reject are both {accept:?}"));
        }
        // WCAG 2.5.3: who speaks the visible label must find the button by it.
        let (close, label) = (text("close"), text("close_label"));
        if !label.starts_with(&close) {
            failures.push(format!("{language}: close_label {label:?} does not start with {close:?}"));
        }
    }
    none(&failures);
}
