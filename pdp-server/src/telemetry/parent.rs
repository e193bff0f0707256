//! The trace that a request belongs to, as W3C Trace Context writes it in `traceparent`. What is no
//! such text is taken as if it were not there.

use std::fmt;

/// The header that says it.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// How long the text is in the version that there is. Later ones may have more.
const LENGTH: usize = 55;

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(u128);

/// What a request says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    /// The trace.
    pub(super) trace: TraceId,
    /// Whoever sent the request: its span.
    pub(super) span: u64,
    /// The trace is recorded there, so it is here.
    pub(super) sampled: bool,
}

// === impl Parent ===

impl Parent {
    /// Reads the text: `00-`, 32 hexadecimal digits, `-`, 16, `-`, 2. Allocates nothing.
    pub(crate) fn of(header: &[u8]) -> Option<Self> {
        let (known, more) = header.split_at_checked(LENGTH)?;
        let (version, rest) = known.split_at_checked(2)?;
        let (trace, rest) = rest.strip_prefix(b"-")?.split_at_checked(32)?;
        let (span, flags) = rest.strip_prefix(b"-")?.split_at_checked(16)?;
        let version = number(version)?;
        let ends = more.is_empty() || (version != 0 && more.starts_with(b"-"));
        let (trace, span) = (number(trace)?, u64::try_from(number(span)?).ok()?);
        let flags = number(flags.strip_prefix(b"-")?)?;
        let is_one = ends && version != 0xff && trace != 0 && span != 0;
        is_one.then_some(Self { trace: TraceId(trace), span, sampled: flags & 1 == 1 })
    }

    /// The trace.
    pub(crate) const fn trace(self) -> TraceId {
        self.trace
    }
}

// === impl TraceId ===

impl TraceId {
    /// The trace of a span of this server's own.
    pub(super) fn of_span(id: opentelemetry::trace::TraceId) -> Option<Self> {
        let number = u128::from_be_bytes(id.to_bytes());
        (number != 0).then_some(Self(number))
    }

    pub(super) const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The number that lower-case hexadecimal digits write; no more than fit.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn what_is_a_parent_is_read() {
        for (text, sampled) in [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), true),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), false),
            // Of the flags only the last is about this.
            (format!("00-{TRACE}-b7ad6b7169203331-fe"), false),
            (format!("00-{TRACE}-b7ad6b7169203331-03"), true),
            (format!("01-{TRACE}-b7ad6b7169203331-01-more"), true),
        ] {
            let parent = Parent::of(text.as_bytes()).unwrap();
            assert_eq!(parent.trace().to_string(), TRACE);
            assert_eq!((parent.span, parent.sampled), (0xb7ad_6b71_6920_3331, sampled), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_not() {
        for text in [
            String::new(),
            format!("00-{TRACE}"),
            format!("00-{TRACE}-b7ad6b7169203331-1"),
            format!("00-{TRACE}-b7ad6b7169203331-0g"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("01-{TRACE}-b7ad6b7169203331-01.more"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}_b7ad6b7169203331-01"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00_{TRACE}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-+{}-b7ad6b7169203331-01", &TRACE[1..]),
            format!(" 00-{TRACE}-b7ad6b7169203331-01"),
        ] {
            assert_eq!(Parent::of(text.as_bytes()), None, "{text}");
        }
    }
}
