//! Instants and validity windows (rule A9). Time always comes in as an argument.

/// An instant: microseconds since 1970-01-01T00:00:00Z, negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every instant that can be written.
    pub const MIN: Self = Self(i64::MIN);
    /// After every instant that can be written.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant this many microseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

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
        self.from.is_none_or(|from| from <= t) && self.until.is_none_or(|until| t < until)
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
}
