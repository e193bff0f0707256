//! Instants and validity windows (rule A9). Time always comes in as an argument.

use std::num::NonZero;

/// An instant: microseconds since 1970-01-01T00:00:00Z, negative before it. The first of all that an
/// `i64` tells is counted as the second, so that an instant that may be missing takes no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// The number of the instant from the first one on.
    NonZero<u64>,
);

impl Timestamp {
    /// Before every instant that can be written.
    pub const MIN: Self = Self::from_micros(i64::MIN);
    /// After every instant that can be written.
    pub const MAX: Self = Self::from_micros(i64::MAX);

    /// The instant this many microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        match NonZero::new(micros.cast_unsigned() ^ FIRST) {
            Some(number) => Self(number),
            None => Self(NonZero::<u64>::MIN),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        (self.0.get() ^ FIRST).cast_signed()
    }
}

/// The first number of an `i64`, as bits.
const FIRST: u64 = i64::MIN.cast_unsigned();

/// When something exists: from `from` (inclusive) until `until` (exclusive); `None` is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Window {
    /// The first instant inside.
    pub from: Option<Timestamp>,
    /// The first instant after it that is outside.
    pub until: Option<Timestamp>,
}

impl Window {
    /// Open at every instant.
    pub const ALWAYS: Self = Self { from: None, until: None };

    /// Whether the window is open at `t`.
    #[must_use]
    pub fn contains(&self, t: Timestamp) -> bool {
        // Without branches, which a processor could not foretell: an instant that is missing is 0, which
        // no instant is less than, and which all are less than once 1 is taken from it.
        let number = |bound: Option<Timestamp>| bound.map_or(0, |bound| bound.0.get());
        (number(self.from) <= t.0.get()) & (t.0.get() <= number(self.until).wrapping_sub(1))
    }

    /// Whether it is open at every instant.
    #[must_use]
    pub fn is_always(&self) -> bool {
        *self == Self::ALWAYS
    }

    /// Whether some instant is inside: `from` lies before `until` (A9).
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        match (self.from, self.until) {
            (Some(from), Some(until)) => from < until,
            (None | Some(_), None) | (None, Some(_)) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_includes_its_start_and_excludes_its_end() {
        let at = Timestamp::from_micros;
        let window = Window { from: Some(at(10)), until: Some(at(20)) };
        assert!(!window.contains(at(9)));
        assert!(window.contains(at(10)));
        assert!(window.contains(at(19)));
        assert!(!window.contains(at(20)));
        assert!(Window::ALWAYS.contains(Timestamp::MIN));
        assert!(Window::ALWAYS.contains(Timestamp::MAX));
        assert!(!Window { from: Some(at(5)), until: Some(at(5)) }.is_ordered());
    }

    #[test]
    fn a_window_may_be_open_at_one_end() {
        let at = Timestamp::from_micros;
        let since = Window { from: Some(at(10)), until: None };
        assert_eq!([9, 10, i64::MAX].map(|t| since.contains(at(t))), [false, true, true]);
        let till = Window { from: None, until: Some(at(-10)) };
        assert_eq!([i64::MIN, -11, -10].map(|t| till.contains(at(t))), [true, true, false]);
        let never = Window { from: None, until: Some(Timestamp::MIN) };
        assert!(!never.contains(Timestamp::MIN));
        let last = Window { from: Some(Timestamp::MAX), until: None };
        assert!(last.contains(Timestamp::MAX) && !last.contains(at(i64::MAX - 1)));
    }

    #[test]
    fn instants_are_their_microseconds_and_in_their_order() {
        let micros = [i64::MIN + 1, -1, 0, 1, i64::MAX];
        assert_eq!(micros.map(|it| Timestamp::from_micros(it).as_micros()), micros);
        assert!(micros.map(Timestamp::from_micros).is_sorted());
        assert_eq!(Timestamp::MIN.as_micros(), i64::MIN + 1);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
    }
}
