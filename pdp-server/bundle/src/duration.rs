//! Lengths of time as people write them: `4h`, `90m`, `1h30m`, `45s`, to the microsecond.

use crate::diagnostic::shown;

/// The units, longest first, each with its microseconds.
const UNITS: [(&str, i64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Why a string is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not of the form.
    #[error(
        "`{shown}` is not a duration; write whole numbers with the units `h`, `m`, `s`, `ms`, `us`, \
         longest first, like `4h`, `90m`, `1h30m` or `45s`"
    )]
    Form {
        /// The string, shortened.
        shown: String,
    },
    /// It is longer than microseconds can be counted.
    #[error("`{shown}` is too long: the limit is {} hours", i64::MAX / 3_600_000_000)]
    TooLong {
        /// The string, shortened.
        shown: String,
    },
}

/// Reads a length of time, in microseconds. Each unit stands at most once, longer ones first.
///
/// # Errors
/// [`DurationError`] says what is wrong with the string.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let form = || DurationError::Form { shown: shown(text) };
    let too_long = || DurationError::TooLong { shown: shown(text) };
    let mut units = UNITS.iter();
    let mut micros: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(form)?;
        if digits.is_empty() {
            return Err(form());
        }
        let part = digits.parse::<i64>().ok().and_then(|count| count.checked_mul(*factor));
        micros = part.and_then(|part| micros.checked_add(part)).ok_or_else(too_long)?;
        rest = after;
    }
    if text.is_empty() { Err(form()) } else { Ok(micros) }
}

/// Writes a length of time of `micros` microseconds, not negative, with the units it needs.
#[must_use]
pub fn format_duration(micros: i64) -> String {
    let mut rest = micros;
    let mut text = String::new();
    for (unit, factor) in UNITS {
        if rest >= factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn split(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        for (text, micros, written) in [
            ("4h", 14_400_000_000, "4h"),
            ("90m", 5_400_000_000, "1h30m"),
            ("1h30m", 5_400_000_000, "1h30m"),
            ("45s", 45_000_000, "45s"),
            ("0s", 0, "0s"),
            ("0h", 0, "0s"),
            ("007m", 420_000_000, "7m"),
            ("1h1m1s1ms1us", 3_661_001_001, "1h1m1s1ms1us"),
            ("1us", 1, "1us"),
            ("9223372036854775807us", i64::MAX, "2562047788h54s775ms807us"),
        ] {
            assert_eq!(parse_duration(text), Ok(micros), "{text}");
            assert_eq!(format_duration(micros), written);
            assert_eq!(parse_duration(written), Ok(micros));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "4", "h", "-4h", "4 h", "4H", "1.5h", "30m1h", "1h1h", "4h ", "1d", "٤h", "4hm",
            "1h30",
        ] {
            assert!(matches!(parse_duration(text), Err(DurationError::Form { .. })), "{text}");
        }
        for text in ["9999999999999999999h", "2562047789h", "9223372036854775807us1us"] {
            let refused = parse_duration(text);
            assert!(refused.is_err(), "{text}");
        }
        assert!(matches!(parse_duration("2562047789h"), Err(DurationError::TooLong { .. })));
    }
}
