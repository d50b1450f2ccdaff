//! Style sheets as short strings: comments and needless blanks go, nothing else is touched.

/// Takes out what a browser does not read.
///
/// Our own sheets only: no strings with `/*` or doubled blanks in them.
pub(crate) fn squeeze(css: &str) -> String {
    let mut plain = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        plain.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);

    let mut out = String::with_capacity(plain.len());
    for word in plain.split_whitespace() {
        // A blank before `(` or `+` can matter (`and (`, `calc(a + b)`), one beside a brace, a semicolon or after a comma cannot.
        let glued =
            out.is_empty() || out.ends_with(['{', '}', ';', ',', ':', '>']) || word.starts_with(['{', '}', '>']);
        if !glued {
            out.push(' ');
        }
        out.push_str(word);
    }
    out.replace(";}", "}").replace(" !important", "!important")
}

#[cfg(test)]
mod tests {
    use super::squeeze;

    #[test]
    fn only_what_is_not_read_goes() {
        let css = "/* why */\n:host { color: red;\n  margin: 0 calc(1px + 2px); }\n@media (a) and (b) { .x > .y, p :focus { top: 0; } }";
        let want = ":host{color:red;margin:0 calc(1px + 2px)}@media (a) and (b){.x>.y,p :focus{top:0}}";
        assert_eq!(squeeze(css), want);
    }
}
