//! Instants as people write them: RFC 3339, to the microsecond.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use pdp_engine::time::Timestamp;

use crate::diagnostic::shown;

/// 1970-01-01T00:00:00, without an offset.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Why a string is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// It is not of the form.
    #[error(
        "`{shown}` is not a time; write it by RFC 3339, like `2026-01-31T09:30:00Z` or `2026-01-31T10:30:00.250+01:00`"
    )]
    Form {
        /// The string, shortened.
        shown: String,
    },
    /// It has the form, and no calendar or clock shows it.
    #[error("there is no time `{shown}`")]
    NoSuchTime {
        /// The string.
        shown: String,
    },
    /// It is finer than a microsecond.
    #[error("`{shown}` is finer than a microsecond")]
    TooFine {
        /// The string.
        shown: String,
    },
}

/// Reads an RFC 3339 time. Leap seconds and years outside 0000 to 9999 (in UTC) are refused.
///
/// # Errors
/// [`TimeError`] says what is wrong with the string.
pub fn parse_time(text: &str) -> Result<Timestamp, TimeError> {
    let form = || TimeError::Form { shown: shown(text) };
    let no_such = || TimeError::NoSuchTime { shown: shown(text) };
    let mut rest = Digits { bytes: text.as_bytes() };
    let year = rest.number(4).ok_or_else(form)?;
    let month = rest.after(b"-", 2).ok_or_else(form)?;
    let day = rest.after(b"-", 2).ok_or_else(form)?;
    let hour = rest.after(b"Tt", 2).ok_or_else(form)?;
    let minute = rest.after(b":", 2).ok_or_else(form)?;
    let second = rest.after(b":", 2).ok_or_else(form)?;
    let nanos = match rest.fraction() {
        Fraction::None => 0,
        Fraction::Micros(micros) => micros * 1000,
        Fraction::TooFine => return Err(TimeError::TooFine { shown: shown(text) }),
        Fraction::Malformed => return Err(form()),
    };
    let offset_minutes = rest.offset().ok_or_else(form)?.ok_or_else(no_such)?;
    let narrow = |n: i32| i8::try_from(n).map_err(|_| no_such());
    let year = i16::try_from(year).map_err(|_| no_such())?;
    let civil = DateTime::new(
        year,
        narrow(month)?,
        narrow(day)?,
        narrow(hour)?,
        narrow(minute)?,
        narrow(second)?,
        nanos,
    )
    .map_err(|_| no_such())?;
    let since = civil.duration_since(EPOCH) - SignedDuration::from_mins(i64::from(offset_minutes));
    let micros = i64::try_from(since.as_micros()).map_err(|_| no_such())?;
    let instant = Timestamp::from_micros(micros);
    if civil_of(instant).is_none() {
        return Err(no_such());
    }
    Ok(instant)
}

/// Writes an instant by RFC 3339, in UTC, with as many digits as it needs. An instant outside the
/// years 0000 to 9999, which RFC 3339 cannot write, is shown as its count of microseconds.
#[must_use]
pub fn format_time(instant: Timestamp) -> String {
    let Some(civil) = civil_of(instant) else {
        return format!("{} microseconds since 1970", instant.as_micros());
    };
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    );
    let micros = instant.as_micros().rem_euclid(1_000_000);
    if micros != 0 {
        text.push_str(format!(".{micros:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

fn civil_of(instant: Timestamp) -> Option<DateTime> {
    let civil = EPOCH.checked_add(SignedDuration::from_micros(instant.as_micros())).ok()?;
    (civil.year() >= 0).then_some(civil)
}

/// What is left of a time's text.
struct Digits<'t> {
    bytes: &'t [u8],
}

enum Fraction {
    None,
    Micros(i32),
    TooFine,
    Malformed,
}

// === impl Digits ===

impl Digits<'_> {
    fn byte(&mut self, among: &[u8]) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        among.contains(first).then(|| {
            self.bytes = rest;
            *first
        })
    }

    fn number(&mut self, digits: usize) -> Option<i32> {
        (0..digits).try_fold(0, |number, _| {
            Some(number * 10 + i32::from(self.byte(b"0123456789")? - b'0'))
        })
    }

    fn after(&mut self, separator: &[u8], digits: usize) -> Option<i32> {
        self.byte(separator)?;
        self.number(digits)
    }

    fn fraction(&mut self) -> Fraction {
        if self.byte(b".").is_none() {
            return Fraction::None;
        }
        let (mut micros, mut digits) = (0, 0_usize);
        let mut too_fine = false;
        while let Some(digit) = self.byte(b"0123456789") {
            digits += 1;
            if digits <= 6 {
                micros = micros * 10 + i32::from(digit - b'0');
            } else {
                too_fine |= digit != b'0';
            }
        }
        for _ in digits..6 {
            micros *= 10;
        }
        match (digits, too_fine) {
            (0, _) => Fraction::Malformed,
            (_, true) => Fraction::TooFine,
            (_, false) => Fraction::Micros(micros),
        }
    }

    /// Minutes east of UTC; the inner `None` is an offset of the right form that cannot be.
    fn offset(&mut self) -> Option<Option<i32>> {
        let minutes = match self.byte(b"Zz+-")? {
            sign @ (b'+' | b'-') => {
                let (hours, minutes) = (self.number(2)?, self.after(b":", 2)?);
                let total = hours * 60 + minutes;
                let possible = hours < 24 && minutes < 60;
                possible.then_some(if sign == b'-' { -total } else { total })
            }
            _ => Some(0),
        };
        self.bytes.is_empty().then_some(minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_write_to_the_microsecond() {
        for (text, micros, written) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("1970-01-01t00:00:00.000001z", 1, "1970-01-01T00:00:00.000001Z"),
            ("1969-12-31T23:59:59.999999Z", -1, "1969-12-31T23:59:59.999999Z"),
            ("1970-01-01T01:00:00.250+01:00", 250_000, "1970-01-01T00:00:00.25Z"),
            ("1969-12-31T19:30:00-04:30", 0, "1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00.0000010000Z", 1, "1970-01-01T00:00:00.000001Z"),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000, "0000-01-01T00:00:00Z"),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000_000, "2024-02-29T12:00:00Z"),
        ] {
            let parsed = parse_time(text).unwrap();
            assert_eq!(parsed.as_micros(), micros, "{text}");
            assert_eq!(format_time(parsed), written);
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "2026",
            "2026-01-01",
            "2026-01-01T00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Z ",
            "+2026-01-01T00:00:00Z",
            "2026-1-01T00:00:00Z",
            "2026-01-01T00:00:00[UTC]",
            "٢٠٢٦-01-01T00:00:00Z",
        ] {
            assert!(matches!(parse_time(text), Err(TimeError::Form { .. })), "{text}");
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-12-31T23:59:60Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+00:60",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
        ] {
            assert!(matches!(parse_time(text), Err(TimeError::NoSuchTime { .. })), "{text}");
        }
        let fine = parse_time("2026-01-01T00:00:00.0000001Z");
        assert!(matches!(fine, Err(TimeError::TooFine { .. })));
    }

    #[test]
    fn an_instant_that_cannot_be_written_is_still_shown() {
        assert_eq!(format_time(Timestamp::MAX), "9223372036854775807 microseconds since 1970");
        assert!(format_time(Timestamp::MIN).starts_with('-'));
    }
}
