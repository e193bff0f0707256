//! A request's path, read in the one way that everybody behind a gateway would read it. What two
//! readers could take for two paths is refused, whoever of them is right.

use std::borrow::Cow;

/// The longest path taken, in bytes without the query: several times what any client sends.
pub const MAX_PATH_BYTES: usize = 8 << 10;

/// Why a path is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// It does not begin with a slash.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("the path has {0} bytes; the limit is {MAX_PATH_BYTES}")]
    TooLong(usize),
    /// A `%` without two hexadecimal digits.
    #[error("a `%` in the path is not followed by two hexadecimal digits")]
    Escape,
    /// What is decoded could be decoded again.
    #[error("the path is percent-encoded twice")]
    EncodedTwice,
    /// A slash that does or does not separate.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// A backslash, which some read as a slash.
    #[error("the path holds a backslash")]
    Backslash,
    /// NUL and the like, which end or change a path for some.
    #[error("the path holds a control character")]
    Control,
    /// A `#`: the beginning of a fragment to some.
    #[error("the path holds a `#`")]
    Fragment,
    /// An encoded `?`: the beginning of the query to who decodes before it is split off.
    #[error("the path holds an encoded `?`")]
    Query,
    /// A `;`, encoded or not: some cut it off with what follows it in its segment.
    #[error("the path holds a `;`")]
    Parameters,
    /// Not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// `//`, which some take for `/`.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// A segment with a dot or a space at its end, which some file systems and servers cut off.
    #[error("a segment of the path ends in a dot or a space")]
    TrailingDot,
    /// The two places where a gateway tells the path do not agree.
    #[error("the path and the pseudo header `:path` are not the same")]
    Contradiction,
}

/// The decoded path without its query.
///
/// # Errors
/// [`PathProblem`] says what could be read two ways.
pub(super) fn read_path(raw: &[u8]) -> Result<Cow<'_, str>, PathProblem> {
    let end = raw.iter().position(|byte| *byte == b'?').unwrap_or(raw.len());
    let (raw, _query) = raw.split_at(end);
    if raw.first() != Some(&b'/') {
        return Err(PathProblem::NotAbsolute);
    }
    if raw.len() > MAX_PATH_BYTES {
        return Err(PathProblem::TooLong(raw.len()));
    }
    let decoded = decoded(raw)?;
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(PathProblem::Control);
    }
    if decoded.contains(&b'\\') {
        return Err(PathProblem::Backslash);
    }
    for (sign, problem) in
        [(b'#', PathProblem::Fragment), (b'?', PathProblem::Query), (b';', PathProblem::Parameters)]
    {
        if decoded.contains(&sign) {
            return Err(problem);
        }
    }
    let text = match decoded {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(error) => Err(error.utf8_error()),
        },
    };
    let text = text.map_err(|_| PathProblem::NotUtf8)?;
    check_segments(&text)?;
    Ok(text)
}

fn decoded(raw: &[u8]) -> Result<Cow<'_, [u8]>, PathProblem> {
    if !raw.contains(&b'%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        match escape(after).ok_or(PathProblem::Escape)? {
            b'/' => return Err(PathProblem::EncodedSlash),
            byte => decoded.push(byte),
        }
        rest = after.get(2..).unwrap_or_default();
    }
    let again = |at: usize| decoded.get(at + 1..).is_some_and(|after| escape(after).is_some());
    if (0..decoded.len()).any(|at| decoded.get(at) == Some(&b'%') && again(at)) {
        return Err(PathProblem::EncodedTwice);
    }
    Ok(Cow::Owned(decoded))
}

/// The byte that two hexadecimal digits stand for.
fn escape(after: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// No `//`, no dot segments and nothing that ends like one. A slash at the end is a segment like
/// any other.
fn check_segments(text: &str) -> Result<(), PathProblem> {
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, "." | "..") {
            return Err(PathProblem::DotSegment);
        }
        if segment.ends_with(['.', ' ']) {
            return Err(PathProblem::TrailingDot);
        }
        if segment.is_empty() && segments.peek().is_some() {
            return Err(PathProblem::EmptySegment);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes what is neither a slash nor a letter or digit.
    fn encoded(path: &str) -> String {
        let one = |byte: u8| match byte {
            b'/' => "/".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        path.bytes().map(one).collect()
    }

    proptest! {
        /// Whatever is sent: what is read has one reading, and is read again as the same.
        #[test]
        fn what_is_read_has_one_reading(raw in proptest::collection::vec(
            prop_oneof![
                Just(b"/".to_vec()), Just(b".".to_vec()), Just(b"%2f".to_vec()), Just(b"%2E".to_vec()),
                Just(b"%25".to_vec()), Just(b"%".to_vec()), Just(b";".to_vec()), Just(b"?".to_vec()),
                Just(b"%C3%BC".to_vec()), Just(b"%00".to_vec()), Just(b"\\".to_vec()), Just(b"a".to_vec()),
                any::<u8>().prop_map(|byte| vec![byte]),
            ],
            0..12,
        )) {
            let raw = [&b"/"[..], &raw.concat()].concat();
            if let Ok(path) = read_path(&raw) {
                prop_assert!(path.starts_with('/') && !path.contains("//"), "{path}");
                prop_assert!(!path.contains(['\\', '\0', '\n', '\u{7f}', ';', '?', '#']), "{path}");
                let dots = |segment: &str| segment.ends_with(['.', ' ']);
                prop_assert!(!path.split('/').any(dots), "{path}");
                let again = encoded(&path);
                prop_assert_eq!(read_path(again.as_bytes()), Ok(path));
            }
        }
    }

    #[test]
    fn a_path_is_decoded_once_and_its_query_split_off() {
        for (raw, read) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/a?x=/../%zz#", "/a"),
            ("/a%20b/%C3%BC", "/a b/ü"),
            ("/100%25", "/100%"),
            ("/%61", "/a"),
            ("/a..b/.c/...d/e .f", "/a..b/.c/...d/e .f"),
            ("/pkg.Service/Method", "/pkg.Service/Method"),
        ] {
            assert_eq!(read_path(raw.as_bytes()), Ok(Cow::Borrowed(read)), "{raw}");
        }
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        use PathProblem as P;
        for (raw, problem) in [
            (&b""[..], P::NotAbsolute),
            (b"*", P::NotAbsolute),
            (b"a", P::NotAbsolute),
            (b"?/a", P::NotAbsolute),
            (b"http://h/a", P::NotAbsolute),
            (b"/a/../b", P::DotSegment),
            (b"/..", P::DotSegment),
            (b"/a/.", P::DotSegment),
            (b"/./a", P::DotSegment),
            (b"/%2e%2E/b", P::DotSegment),
            (b"/.%2e", P::DotSegment),
            (b"/..;/b", P::Parameters),
            (b"/..;x=1", P::Parameters),
            (b"/admin;x/b", P::Parameters),
            (b"/admin%3Bx/b", P::Parameters),
            (b"/admin%3bx/b", P::Parameters),
            (b"/a;", P::Parameters),
            (b"/admin./b", P::TrailingDot),
            (b"/admin%2E", P::TrailingDot),
            (b"/a/...", P::TrailingDot),
            (b"/.. /b", P::TrailingDot),
            (b"/..%20/b", P::TrailingDot),
            (b"/admin%20", P::TrailingDot),
            (b"/ ", P::TrailingDot),
            (b"//a", P::EmptySegment),
            (b"/a//b", P::EmptySegment),
            (b"/a//", P::EmptySegment),
            (b"/a/;x/b", P::Parameters),
            (b"/a%2fb", P::EncodedSlash),
            (b"/a%2Fb", P::EncodedSlash),
            (b"/a%5cb", P::Backslash),
            (b"/a\\b", P::Backslash),
            (b"/a%00", P::Control),
            (b"/a\0", P::Control),
            (b"/a%0d%0a", P::Control),
            (b"/a%7f", P::Control),
            (b"/a%", P::Escape),
            (b"/a%2", P::Escape),
            (b"/a%zz", P::Escape),
            (b"/a%+1", P::Escape),
            (b"/a%252fb", P::EncodedTwice),
            (b"/a%25%32%66", P::EncodedTwice),
            (b"/a#b", P::Fragment),
            (b"/a%23b", P::Fragment),
            (b"/a%3Fb", P::Query),
            (b"/a%ff", P::NotUtf8),
            (b"/a\xff", P::NotUtf8),
            (b"/%c0%ae%c0%ae/", P::NotUtf8),
            (b"/%ed%a0%80", P::NotUtf8),
        ] {
            assert_eq!(read_path(raw), Err(problem), "{}", raw.escape_ascii());
        }
        let long = vec![b'/'; MAX_PATH_BYTES + 1];
        assert_eq!(read_path(&long), Err(P::TooLong(MAX_PATH_BYTES + 1)));
        // The query has no limit of its own.
        let query = [&b"/a?"[..], &[b'x'; MAX_PATH_BYTES]].concat();
        assert_eq!(read_path(&query), Ok(Cow::Borrowed("/a")));
    }
}
