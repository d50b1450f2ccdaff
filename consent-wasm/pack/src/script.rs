//! JavaScript in, less JavaScript out.

use anyhow::{Context, Result, bail, ensure};
use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc_minifier::{CompressOptions, MangleOptions, Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// The identifier that the server replaces with a site's configuration when it serves `consent.js`.
pub(crate) const PLACEHOLDER: &str = "__CONSENT_CONFIG__";

/// How a script is loaded.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `<script src>`.
    Classic,
    /// `import()`.
    Module,
}

/// Compresses, renames and prints without blanks.
pub(crate) fn minify(source: &str, kind: Kind) -> Result<String> {
    let allocator = Allocator::default();
    let source_type = match kind {
        Kind::Classic => SourceType::cjs(),
        Kind::Module => SourceType::mjs(),
    };
    let parsed = Parser::new(&allocator, source, source_type).parse();
    if let Some(problem) = parsed.diagnostics.first() {
        bail!("{problem:?}");
    }
    let mut program = parsed.program;
    let options = MinifierOptions {
        mangle: Some(MangleOptions { top_level: Some(true), ..MangleOptions::default() }),
        mangle_properties: None,
        compress: Some(CompressOptions::smallest()),
    };
    let minified = Minifier::new(options).minify(&allocator, &mut program);
    let options = CodegenOptions { minify: true, comments: CommentOptions::disabled(), ..CodegenOptions::default() };
    let code = Codegen::new().with_options(options).with_scoping(minified.scoping).build(&program).code.clone();
    Ok(quoted(&code))
}

/// Strings in the quotes that the configuration and the style sheet have: fewer kinds of quotes compress better.
///
/// The minifier writes strings and templates between backticks. A template has `${`, in which there may be strings again. No regular
/// expression and no string of ours has a backtick in it.
fn quoted(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    // How many braces are open in each template that is being read.
    let mut templates: Vec<usize> = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(['`', '{', '}']) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        rest = &found[1..];
        match (found.as_bytes()[0], templates.last_mut()) {
            (b'}', Some(0)) => {
                out.push('}');
                rest = template(rest, &mut out, &mut templates);
            }
            (b'}', Some(open)) => {
                *open -= 1;
                out.push('}');
            }
            (b'{', Some(open)) => {
                *open += 1;
                out.push('{');
            }
            (b'`', _) => {
                let end = rest.find('`').unwrap_or(rest.len());
                let text = &rest[..end];
                if text.contains(['$', '"', '\\', '\n']) {
                    out.push('`');
                    templates.push(0);
                    rest = template(rest, &mut out, &mut templates);
                } else {
                    out.extend(["\"", text, "\""]);
                    rest = rest.get(end + 1..).unwrap_or_default();
                }
            }
            (other, _) => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
    out
}

/// Copies the text of a template up to the code in it, or to its end. Returns what comes after.
fn template<'a>(rest: &'a str, out: &mut String, templates: &mut Vec<usize>) -> &'a str {
    let code = rest.find("${").map(|at| at + 2);
    let end = rest.find('`').map(|at| at + 1);
    let stop = match (code, end) {
        (Some(code), Some(end)) if code < end => code,
        (_, end) => {
            templates.pop();
            end.unwrap_or(rest.len())
        }
    };
    out.push_str(&rest[..stop]);
    &rest[stop..]
}

/// A file that is one expression, minified: the server puts it into the configuration of the sites that use it.
pub(crate) fn expression(source: &str) -> Result<String> {
    // Assigned to something, or the minifier would drop an expression that does nothing.
    const KEPT: &str = "globalThis.kept=";
    let source = format!("{KEPT}{source}");
    let allocator = Allocator::default();
    ensure!(
        Parser::new(&allocator, &source, SourceType::cjs()).parse().program.body.len() == 1,
        "it is not one expression"
    );
    let code = minify(&source, Kind::Classic)?;
    let code = code.strip_prefix(KEPT).and_then(|code| code.strip_suffix(';')).context("it is not one expression")?;
    // Served in place of the placeholder, and pasted into pages by some sites.
    ensure!(!code.contains("</") && !code.contains(PLACEHOLDER), "it has a text that must not be in consent.js");
    Ok(code.to_owned())
}

/// Text as a JavaScript string literal: JSON is one.
pub(crate) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The glue as plain declarations, so that what the module does not use can be dropped.
pub(crate) fn without_exports(glue: &str) -> String {
    let mut plain = String::with_capacity(glue.len());
    for line in glue.lines() {
        if line.starts_with("export {") {
            continue;
        }
        plain.push_str(line.strip_prefix("export ").unwrap_or(line));
        plain.push('\n');
    }
    plain
}

/// The server replaces text: the placeholder must have survived, exactly once.
pub(crate) fn check_placeholder(loader: &str) -> Result<()> {
    let count = loader.matches(PLACEHOLDER).count();
    ensure!(count == 1, "consent.js has {PLACEHOLDER} {count} times after minification, not once");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_survives_and_unused_code_does_not() {
        let code = minify(
            "(() => { const config = __CONSENT_CONFIG__; const unused = 1; alert(config.a, config.b); })();",
            Kind::Classic,
        )
        .unwrap();
        check_placeholder(&code).unwrap();
        assert!(!code.contains('\n') && !code.contains("unused"), "{code}");
    }

    #[test]
    fn strings_take_the_quotes_of_json() {
        for (code, want) in [
            ("a(`b`,`c${d}`,`\"`)", "a(\"b\",`c${d}`,`\"`)"),
            ("{`a${{b:`c`}[`d`]}e${`f`}`}", "{`a${{b:\"c\"}[\"d\"]}e${\"f\"}`}"),
        ] {
            assert_eq!(quoted(code), want);
        }
    }

    #[test]
    fn an_expression_stays_one() {
        let source = "// What it is for.\n(map) => {\n  const x = 1;\n  return (granted) => granted(map, x);\n};\n";
        assert_eq!(expression(source).unwrap(), "e=>t=>t(e,1)");
        for bad in ["alert(1); alert(2);", "const x = 1;", "() => '</b>';", ""] {
            assert!(expression(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exports_become_declarations() {
        let glue = "export class Core {\n}\nfunction load() {}\nexport { load as default };\n";
        assert_eq!(without_exports(glue), "class Core {\n}\nfunction load() {}\n");
    }
}
