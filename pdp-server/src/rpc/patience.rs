//! How long a request may wait for a revision: within its deadline, leaving time to say that it
//! has not arrived.

use std::time::Duration;

use http::HeaderMap;
use tonic::metadata::MetadataMap;

/// Of ten parts of a deadline, how many may be spent waiting.
const WAITING_PARTS: u32 = 8;

/// The wait that a request's `grpc-timeout` leaves, and `cap` at most.
pub(crate) fn patience(metadata: &MetadataMap, cap: Duration) -> Duration {
    patience_of(metadata.as_ref(), cap)
}

/// The same by a request's head.
pub(crate) fn patience_of(headers: &HeaderMap, cap: Duration) -> Duration {
    timeout(headers).map_or(cap, |timeout| cap.min(patience_within(timeout)))
}

/// The wait that a deadline leaves.
pub(crate) fn patience_within(deadline: Duration) -> Duration {
    deadline / 10 * WAITING_PARTS
}

/// What a request's `grpc-timeout` says.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get("grpc-timeout")?.to_str().ok()?)
}

/// Reads a `grpc-timeout`: up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_of(timeout: &'static str) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", timeout.parse().unwrap());
        patience(&metadata, Duration::from_secs(10))
    }

    #[test]
    fn a_wait_ends_before_the_deadline_and_at_the_cap() {
        assert_eq!(wait_of("1S"), Duration::from_millis(800));
        assert_eq!(wait_of("100m"), Duration::from_millis(80));
        assert_eq!(wait_of("1H"), Duration::from_secs(10));
        assert_eq!(wait_of("99999999H"), Duration::from_secs(10));
        assert_eq!(wait_of("0n"), Duration::ZERO);
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in ["", "S", "1", "1x", "-1S", "123456789S", "1.5S"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(patience(&MetadataMap::new(), Duration::from_secs(3)), Duration::from_secs(3));
    }
}
