//! The trace that a request belongs to, as W3C Trace Context writes it.

use std::fmt;

/// The header that says it.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(u128);

// === impl TraceId ===

impl TraceId {
    /// The trace of a `traceparent`, if it is one: `00-`, 32 hexadecimal digits, and more.
    pub(crate) fn of(header: &[u8]) -> Option<Self> {
        let (version, rest) = header.split_at_checked(3)?;
        let (digits, rest) = rest.split_at_checked(32)?;
        let versioned = matches!(version, [a, b, b'-'] if is_hex(*a) && is_hex(*b));
        let ends = rest.len() >= 20 && rest.first() == Some(&b'-');
        if !versioned || version == b"ff-" || !ends || !digits.iter().copied().all(is_hex) {
            return None;
        }
        let number = u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        (number != 0).then_some(Self(number))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_trace_is_one() {
        let trace = |text: &str| TraceId::of(text.as_bytes()).map(|trace| trace.to_string());
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace(&format!("00-{id}-b7ad6b7169203331-01")), Some(id.to_owned()));
        assert_eq!(trace(&format!("01-{id}-b7ad6b7169203331-01-more")), Some(id.to_owned()));
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace(text), None, "{text}");
        }
    }
}
