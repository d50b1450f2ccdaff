//! Reads the object literals in a script or a JSON file without running anything.
//!
//! Peers are configured by an object literal inside JavaScript or TypeScript: passed to a call, assigned to a variable, exported.
//! Strict and relaxed JSON parsers do not take such files: they hold functions, regular expressions, concatenated strings, types.
//! This reader takes literals as values, follows names of plain `const` values in the same file, and keeps everything else (calls,
//! functions, conditions) as [`Value::Code`], which the caller lists for the user.

use std::collections::HashMap;
use std::fmt;

/// How deeply values may lie in each other: more is no configuration, and would overflow the stack.
const MAX_DEPTH: usize = 64;

/// How many steps reading a text may take. A candidate that turns out to be no literal is read again from inside, which no
/// configuration does often.
const MAX_STEPS: usize = 5_000_000;

/// A value of a literal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it is spelt.
    Number(String),
    Text(String),
    /// The source of a regular expression, without its slashes and flags.
    Regex(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
    /// Source text that only running it would make a value of.
    Code(String),
}

impl Value {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn fields(&self) -> &[(String, Self)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }
}

/// The value as a person would recognize it, shortened to one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortened = |text: &str| {
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match line.char_indices().nth(60) {
                Some((at, _)) => format!("{}…", &line[..at]),
                None => line,
            }
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "\"{}\"", shortened(text)),
            Self::Regex(source) => write!(f, "/{source}/"),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Object(fields) => {
                write!(f, "{{{}}}", fields.iter().map(|(k, _)| k.as_str()).collect::<Vec<_>>().join(", "))
            }
            Self::Code(source) => write!(f, "code: {}", shortened(source)),
        }
    }
}

/// Every outermost object literal of a text, in order; a file of JSON is one.
pub(super) fn objects(text: &str) -> Vec<Value> {
    let mut names = HashMap::new();
    // Twice, so that a name may be used before the line that gives it a value.
    Reader { text, at: 0, names: &HashMap::new(), steps: 0, templates: 0 }.scan(&mut names);
    let mut later = HashMap::new();
    Reader { text, at: 0, names: &names, steps: 0, templates: 0 }.scan(&mut later)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    names: &'a HashMap<String, Value>,
    steps: usize,
    /// How many templates are open inside each other.
    templates: usize,
}

/// What is not a literal where one must be.
struct NotALiteral;

type Read<T> = Result<T, NotALiteral>;

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '$')
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        if self.steps > MAX_STEPS { None } else { self.rest().chars().next() }
    }

    fn eat(&mut self, wanted: &str) -> bool {
        let there = self.rest().starts_with(wanted);
        if there {
            self.at += wanted.len();
        }
        there
    }

    /// Skips white space and comments.
    fn space(&mut self) {
        self.steps += 1;
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                self.at += comment.find("*/").map_or(trimmed.len(), |end| end + 4);
            } else if self.at == 0 && trimmed.starts_with('\u{feff}') {
                self.at += 3;
            } else {
                return;
            }
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        if !rest.starts_with(is_name_start) {
            return None;
        }
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end])
    }

    /// Walks the whole text: collects the outermost object literals, and the values of plain variables.
    fn scan(mut self, names: &mut HashMap<String, Value>) -> Vec<Value> {
        let mut found = Vec::new();
        // Whether a `/` would begin a regular expression here.
        let mut operand = true;
        loop {
            self.space();
            let Some(c) = self.peek() else { return found };
            if c == '{' {
                let start = self.at;
                match self.value(0) {
                    Ok(value @ Value::Object(_)) => found.push(value),
                    _ => self.at = start + 1,
                }
                operand = true;
            } else if let Some(name) = self.name() {
                operand = matches!(name, "return" | "default" | "typeof" | "case" | "in" | "of");
                if matches!(name, "var" | "let" | "const")
                    && let Some((name, value)) = self.variable()
                {
                    if matches!(value, Value::Object(_)) {
                        found.push(value.clone());
                    }
                    names.insert(name.to_owned(), value);
                }
            } else if matches!(c, '"' | '\'' | '`') || (c == '/' && operand) {
                let start = self.at;
                if self.skip_token(c, operand).is_err() {
                    self.at = start + 1;
                }
                operand = false;
            } else {
                self.at += c.len_utf8();
                operand = !matches!(c, ')' | ']' | '}') && !c.is_ascii_digit();
            }
        }
    }

    /// Behind `const`: a name and its value, if that is a literal. Else stands before the value, which may hold some.
    fn variable(&mut self) -> Option<(&'a str, Value)> {
        self.space();
        let name = self.name()?;
        self.space();
        if self.peek() == Some(':') {
            // A type, up to the equals sign: `const config: Config<A, B> = {`.
            let rest = self.rest();
            let end = rest.find(['=', ';', '\n', '{'])?;
            if !rest[end..].starts_with('=') {
                return None;
            }
            self.at += end;
        }
        if !self.eat("=") {
            return None;
        }
        let start = self.at;
        match self.value(0) {
            Ok(value) if !matches!(value, Value::Code(_)) => Some((name, value)),
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// A value up to the comma or bracket that ends it.
    fn value(&mut self, depth: usize) -> Read<Value> {
        self.space();
        let start = self.at;
        let first = self.primary(depth);
        let value = match first {
            Ok(value) => self.tail(value, depth),
            Err(NotALiteral) => None,
        };
        if let Some(value) = value {
            return Ok(value);
        }
        self.at = start;
        self.code()?;
        Ok(Value::Code(self.text[start..self.at].trim().to_owned()))
    }

    /// What may stand behind a literal: types, and `+` between texts. `None` if it is more than a literal.
    fn tail(&mut self, mut value: Value, depth: usize) -> Option<Value> {
        loop {
            self.space();
            let start = self.at;
            match self.peek() {
                None | Some(',' | '}' | ']' | ')' | ';') => return Some(value),
                Some('+') => {
                    self.at += 1;
                    self.space();
                    let next = self.primary(depth).ok()?;
                    value = Value::Text(format!("{}{}", value.text()?, next.text()?));
                }
                Some('!') => self.at += 1,
                _ => match self.name() {
                    // `as const`, `satisfies Config`: a type says nothing about the value.
                    Some("as" | "satisfies") => self.code().ok()?,
                    // A new line may end a statement.
                    Some(_) if self.text[..start].trim_end_matches([' ', '\t']).ends_with('\n') => {
                        self.at = start;
                        return Some(value);
                    }
                    _ => return None,
                },
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Read<Value> {
        if depth > MAX_DEPTH {
            return Err(NotALiteral);
        }
        match self.peek().ok_or(NotALiteral)? {
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' | '\'' => self.string(),
            '`' => self.template(),
            '/' => self.regex(),
            '!' if self.eat("!0") => Ok(Value::Bool(true)),
            '!' if self.eat("!1") => Ok(Value::Bool(false)),
            c if c.is_ascii_digit() || matches!(c, '-' | '.') => self.number(),
            c if is_name_start(c) => match self.name().ok_or(NotALiteral)? {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "null" | "undefined" => Ok(Value::Null),
                name => self.names.get(name).cloned().ok_or(NotALiteral),
            },
            _ => Err(NotALiteral),
        }
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        self.at += 1;
        let mut fields: Vec<(String, Value)> = Vec::new();
        loop {
            self.space();
            if self.eat("}") {
                return Ok(Value::Object(fields));
            }
            self.field(&mut fields, depth)?;
            self.space();
            if !self.eat(",") && self.peek() != Some('}') {
                return Err(NotALiteral);
            }
        }
    }

    fn field(&mut self, fields: &mut Vec<(String, Value)>, depth: usize) -> Read<()> {
        if self.eat("...") {
            match self.value(depth + 1)? {
                Value::Object(more) => fields.extend(more),
                other => fields.push(("...".to_owned(), other)),
            }
            return Ok(());
        }
        let start = self.at;
        let key = match self.peek().ok_or(NotALiteral)? {
            '"' | '\'' => self.string()?.text().unwrap_or_default().to_owned(),
            '[' => {
                self.code_in_brackets()?;
                self.text[start..self.at].to_owned()
            }
            c if c.is_ascii_digit() => match self.number()? {
                Value::Number(number) => number,
                _ => return Err(NotALiteral),
            },
            '*' => return self.method(fields, start),
            _ => self.name().ok_or(NotALiteral)?.to_owned(),
        };
        self.space();
        match self.peek() {
            Some(':') => {
                self.at += 1;
                let value = self.value(depth + 1)?;
                fields.push((key, value));
                Ok(())
            }
            Some(',' | '}') => {
                let value = self.names.get(&key).cloned().unwrap_or_else(|| Value::Code(key.clone()));
                fields.push((key, value));
                Ok(())
            }
            Some('(') => {
                self.at = start;
                self.method(fields, start)
            }
            _ if matches!(key.as_str(), "async" | "get" | "set") => self.method(fields, start),
            _ => Err(NotALiteral),
        }
    }

    /// `name(…) { … }` with what may stand before it.
    fn method(&mut self, fields: &mut Vec<(String, Value)>, start: usize) -> Read<()> {
        let rest = &self.text[start..];
        let head = rest.find('(').ok_or(NotALiteral)?;
        let words = rest[..head].trim();
        let name = words.rsplit([' ', '*', '\n']).next().unwrap_or_default();
        if !name.starts_with(is_name_start) || !name.chars().all(is_name) {
            return Err(NotALiteral);
        }
        self.at = start + head;
        self.code_in_brackets()?;
        self.space();
        if self.peek() != Some('{') {
            return Err(NotALiteral);
        }
        self.code_in_brackets()?;
        fields.push((name.to_owned(), Value::Code(self.text[start..self.at].to_owned())));
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Read<Value> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space();
            if self.eat("]") {
                return Ok(Value::List(items));
            }
            if self.eat("...") {
                match self.value(depth + 1)? {
                    Value::List(more) => items.extend(more),
                    other => items.push(other),
                }
            } else {
                items.push(self.value(depth + 1)?);
            }
            self.space();
            if !self.eat(",") && self.peek() != Some(']') {
                return Err(NotALiteral);
            }
        }
    }

    fn string(&mut self) -> Read<Value> {
        let quote = self.peek().ok_or(NotALiteral)?;
        self.at += 1;
        let mut text = String::new();
        loop {
            let c = self.peek().ok_or(NotALiteral)?;
            self.at += c.len_utf8();
            match c {
                _ if c == quote => return Ok(Value::Text(text)),
                '\\' => self.escape(&mut text)?,
                '\n' if quote != '`' => return Err(NotALiteral),
                '$' if quote == '`' && self.peek() == Some('{') => return Err(NotALiteral),
                _ => text.push(c),
            }
        }
    }

    /// A template without expressions is a text.
    fn template(&mut self) -> Read<Value> {
        self.string()
    }

    fn escape(&mut self, text: &mut String) -> Read<()> {
        let c = self.peek().ok_or(NotALiteral)?;
        self.at += c.len_utf8();
        let code = |digits: &str| u32::from_str_radix(digits, 16).map_err(|_| NotALiteral);
        let unit = |reader: &mut Self, length: usize| {
            let digits = reader.rest().get(..length).ok_or(NotALiteral)?;
            reader.at += length;
            code(digits)
        };
        text.push(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '0' => '\0',
            '\n' => return Ok(()),
            'x' => char::from_u32(unit(self, 2)?).ok_or(NotALiteral)?,
            'u' if self.peek() == Some('{') => {
                let end = self.rest().find('}').ok_or(NotALiteral)?;
                let value = code(&self.rest()[1..end])?;
                self.at += end + 1;
                char::from_u32(value).ok_or(NotALiteral)?
            }
            'u' => {
                let first = unit(self, 4)?;
                if (0xd800..0xdc00).contains(&first) && self.eat("\\u") {
                    let second = unit(self, 4)?;
                    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(NotALiteral)?;
                    char::from_u32(0x10000 + (first - 0xd800) * 0x400 + low).ok_or(NotALiteral)?
                } else {
                    char::from_u32(first).ok_or(NotALiteral)?
                }
            }
            other => other,
        });
        Ok(())
    }

    fn regex(&mut self) -> Read<Value> {
        let source = self.rest().strip_prefix('/').ok_or(NotALiteral)?;
        let mut class = false;
        let mut chars = source.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\n' => break,
                '\\' => drop(chars.next()),
                '[' => class = true,
                ']' => class = false,
                '/' if !class && at > 0 => {
                    self.at += at + 2;
                    let flags = self.rest().find(|c: char| !c.is_ascii_lowercase()).unwrap_or(self.rest().len());
                    self.at += flags;
                    return Ok(Value::Regex(source[..at].to_owned()));
                }
                _ => {}
            }
        }
        Err(NotALiteral)
    }

    fn number(&mut self) -> Read<Value> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_')))
            .unwrap_or(rest.len());
        let spelt = rest[..end].replace('_', "");
        if spelt.parse::<f64>().is_err() {
            return Err(NotALiteral);
        }
        self.at += end;
        Ok(Value::Number(spelt))
    }

    /// Skips an expression up to the comma or bracket that ends it.
    fn code(&mut self) -> Read<()> {
        let mut operand = true;
        let start = self.at;
        loop {
            self.space();
            let Some(c) = self.peek() else { return if self.at > start { Ok(()) } else { Err(NotALiteral) } };
            match c {
                ',' | '}' | ']' | ')' | ';' => return if self.at > start { Ok(()) } else { Err(NotALiteral) },
                '{' | '[' | '(' => self.code_in_brackets()?,
                _ => self.skip_token(c, operand)?,
            }
            operand = !(is_name(c) || matches!(c, '{' | '[' | '(' | '"' | '\'' | '`'));
        }
    }

    /// Skips one string, regular expression, name or other character.
    fn skip_token(&mut self, c: char, operand: bool) -> Read<()> {
        match c {
            '"' | '\'' => self.string().map(drop),
            '`' => self.skip_template(),
            '/' if operand => self.regex().map(drop),
            _ if is_name_start(c) => {
                self.name();
                Ok(())
            }
            _ => {
                self.at += c.len_utf8();
                Ok(())
            }
        }
    }

    fn skip_template(&mut self) -> Read<()> {
        if self.templates > MAX_DEPTH {
            return Err(NotALiteral);
        }
        self.templates += 1;
        let done = self.template_end();
        self.templates -= 1;
        done
    }

    fn template_end(&mut self) -> Read<()> {
        self.at += 1;
        loop {
            let c = self.peek().ok_or(NotALiteral)?;
            self.at += c.len_utf8();
            match c {
                '`' => return Ok(()),
                '\\' => self.at += self.peek().map_or(0, char::len_utf8),
                '$' if self.peek() == Some('{') => self.code_in_brackets()?,
                _ => {}
            }
        }
    }

    /// Skips from a bracket to the one that closes it.
    fn code_in_brackets(&mut self) -> Read<()> {
        let mut open = 0_usize;
        let mut operand = true;
        loop {
            self.space();
            let c = self.peek().ok_or(NotALiteral)?;
            match c {
                '{' | '[' | '(' => {
                    open += 1;
                    self.at += 1;
                    operand = true;
                }
                '}' | ']' | ')' => {
                    open -= 1;
                    self.at += 1;
                    if open == 0 {
                        return Ok(());
                    }
                    // Behind a block a new statement begins, behind the rest a division may follow.
                    operand = c == '}';
                }
                _ => {
                    let start = self.at;
                    self.skip_token(c, operand)?;
                    let word = &self.text[start..self.at];
                    operand = word == "return" || !(is_name(c) || matches!(c, '"' | '\'' | '`' | '/'));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Value {
        let mut all = objects(text);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        all.remove(0)
    }

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    #[test]
    fn literals_are_values_and_the_rest_is_code() {
        let value = one(r#"
            // { a: 1 } in a comment
            var logo = "<b>'{'</b>";
            run({
                a: 'it\'s', "b-c": [1, -2.5, true, null,], d: /^_ga[/]/i, e: `two
lines`, f: function (x) { return x / 2 + "}" }, g: (x) => ({ y: x }), h(x) { return /}/.test(x) },
                i: cond ? 1 : 2, j: logo + '!', k: { l: { m: undefined } } as const, async n() {}, [o]: 1, p, logo,
                ...rest, q: new Date(), r: `x${1 + `}`}`, s: '\u00e9\x41\u{1F36A}\ud83c\udf6a',
            });
        "#);
        let want = [
            ("a", text("it's")),
            ("d", Value::Regex("^_ga[/]".to_owned())),
            ("e", text("two\nlines")),
            ("j", text("<b>'{'</b>!")),
            ("logo", text("<b>'{'</b>")),
            ("s", text("éA🍪🍪")),
        ];
        for (key, want) in want {
            assert_eq!(value.get(key), Some(&want), "{key}");
        }
        for key in ["f", "g", "h", "i", "n", "[o]", "p", "...", "q", "r"] {
            let is_code = matches!(value.get(key), Some(Value::Code(_))) || key == "[o]";
            assert!(is_code, "{key}: {:?}", value.get(key));
        }
        assert_eq!(value.get("b-c").map(|list| list.list().len()), Some(4));
        assert_eq!(value.get("k").and_then(|k| k.get("l")?.get("m")), Some(&Value::Null));
    }

    #[test]
    fn the_ways_to_write_a_configuration() {
        for text in [
            r#"{"key": [1]}"#,
            "\u{feff}{key: [1]}",
            "module.exports = {key: [1]}",
            "export default {key: [1]} satisfies Config;",
            "const config: Config = {key: [1]}\nrun(config)",
            "import { a } from 'b';\nexport default defineConfig(({key: [1]}));",
            "window.addEventListener('load', function () { run({ key: [1] }) })",
            "const x = () => { run({ key: [1] }); };",
            "<Provider options={{ key: [1] }}>",
            "if (a / b > 1) { run({ key: [1] }) }",
        ] {
            let found = objects(text);
            assert!(found.iter().any(|value| value.get("key").is_some()), "{text}: {found:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text: String, literal in "[{}\\[\\]()a-c:,'\"`/\\\\$ +.=\n]{0,200}") {
            objects(&text);
            objects(&literal);
        }
    }

    #[test]
    fn depth_is_bounded() {
        objects(&format!("x({}", "{a:[".repeat(20_000)));
    }
}
