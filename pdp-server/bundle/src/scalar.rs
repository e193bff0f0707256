//! Writing strings so that every YAML parser, of version 1.1 or 1.2, reads the same string back.

/// Words that some parser reads as a truth value or as nothing, in any case.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// Appends a string: plain if it is harmless that way, otherwise in double quotes with everything
/// escaped that is not plainly visible.
pub(crate) fn push(out: &mut String, text: &str) {
    if is_harmless(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_visible(c) => out.push(c),
            c => push_escaped(out, u32::from(c)),
        }
    }
    out.push('"');
}

fn push_escaped(out: &mut String, code: u32) {
    let escaped = match code {
        0..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    };
    out.push_str(&escaped);
}

/// A string that starts with a letter, holds only letters, digits, single inner blanks and a few
/// harmless signs, and is none of [`WORDS`]. Numbers, dates and times begin with a digit or a sign.
fn is_harmless(text: &str) -> bool {
    let starts = text.chars().next().is_some_and(is_letter);
    let ends = text.chars().next_back().is_some_and(|c| is_letter(c) || c.is_ascii_digit());
    let mut before = ' ';
    let inner = text.chars().all(|c| {
        let fits = match c {
            // A colon or a blank between two harmless characters ends nothing.
            ':' | ' ' => before != ' ' && before != ':',
            '_' | '-' | '.' | '/' | '@' | '+' => before != ' ' && before != ':',
            c => is_letter(c) || c.is_ascii_digit(),
        };
        before = c;
        fits
    });
    starts && ends && inner && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Letters that stay as they are in every context: Latin, Greek and Cyrillic.
const fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(c, 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ɏ' | 'Ͱ'..='ͳ' | 'Ά' | 'Έ'..='ϵ' | 'Ѐ'..='ҁ' | 'Ҋ'..='ԯ')
}

/// Whether a reader of the export sees the character as it is. The list is fixed here so that an
/// export does not change with the Unicode tables of a compiler.
const fn is_visible(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}'
        | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
        | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{10ffff}')
        // The last two of every plane are no characters.
        && (c as u32) & 0xfffe != 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        push(&mut out, text);
        out
    }

    #[test]
    fn harmless_strings_stay_plain() {
        for text in [
            "ana",
            "corp/ana",
            "web-07/Administrators",
            "person:ana",
            "Co-Owner",
            "Send As in Outlook",
            "business_role:teller@zurich",
            "Zürich",
            "Афины",
            "a.b+c",
        ] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn whatever_could_be_read_otherwise_is_quoted() {
        for text in [
            "",
            " ",
            "a ",
            " a",
            "yes",
            "No",
            "ON",
            "off",
            "y",
            "N",
            "true",
            "null",
            "~",
            "007",
            "1.0",
            "1e3",
            "0x1f",
            "12:30",
            "2026-01-01",
            "-",
            "-a",
            "a: b",
            "a:",
            ":a",
            "a #b",
            "#a",
            "*",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "a,b",
            "[a",
            "{a",
            "?",
            "a?",
            "|",
            ">",
            "'a'",
            ".inf",
            "<<",
            "=",
            "a  b",
            "---",
            "...",
            "a::b",
            "a :b",
            "_a",
        ] {
            assert_eq!(written(text), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_is_not_visible_is_escaped() {
        for (text, out) in [
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\nb\tc\rd", r#""a\nb\tc\rd""#),
            ("\u{0}\u{7f}\u{85}\u{a0}", r#""\x00\x7f\x85\xa0""#),
            ("\u{2028}\u{feff}\u{e000}", r#""\u2028\ufeff\ue000""#),
            ("\u{10ffff}\u{1fffe}", r#""\U0010ffff\U0001fffe""#),
            ("e\u{301}", r#""e\u0301""#),
            ("日本", "\"日本\""),
            ("🙂", "\"🙂\""),
        ] {
            assert_eq!(written(text), out);
        }
    }
}
