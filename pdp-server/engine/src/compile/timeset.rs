//! Sets of instants: what a membership through several windows comes to (A9).

use crate::time::Window;

/// A set of instants as windows that neither overlap nor touch, earliest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TimeSet(Vec<Window>);

impl TimeSet {
    pub(super) fn windows(&self) -> &[Window] {
        &self.0
    }

    /// Adds the instants of some windows; says whether that made the set larger.
    pub(super) fn add(&mut self, windows: &[Window]) -> bool {
        let mut all = [self.0.as_slice(), windows].concat();
        all.sort_by_key(|window| window.from);
        let mut merged: Vec<Window> = Vec::with_capacity(all.len());
        for next in all {
            match merged.last_mut() {
                // `None` is before every start, and after every end.
                Some(last) if last.until.is_none_or(|end| next.from.is_none_or(|s| s <= end)) => {
                    last.until = later_end(last.until, next.until);
                }
                _ => merged.push(next),
            }
        }
        let grew = merged != self.0;
        self.0 = merged;
        grew
    }

    /// The part of the set that lies in a window.
    pub(super) fn within(&self, window: Window) -> Vec<Window> {
        self.0.iter().filter_map(|part| both(*part, window)).collect()
    }
}

fn later_end(
    a: Option<crate::time::Timestamp>,
    b: Option<crate::time::Timestamp>,
) -> Option<crate::time::Timestamp> {
    Some(a?.max(b?))
}

/// The instants in both windows, if there are any.
pub(super) fn both(a: Window, b: Window) -> Option<Window> {
    let until = match (a.until, b.until) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (end, None) | (None, end) => end,
    };
    let window = Window { from: a.from.max(b.from), until };
    window.is_ordered().then_some(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn window(from: i64, until: i64) -> Window {
        let at = |t: i64| (t.abs() < 1000).then_some(Timestamp::from_micros(t));
        Window { from: at(from), until: at(until) }
    }

    #[test]
    fn windows_that_touch_become_one() {
        let mut set = TimeSet::default();
        assert!(set.add(&[window(10, 20)]));
        assert!(set.add(&[window(30, 40)]));
        assert!(!set.add(&[window(12, 18)]));
        assert_eq!(set.windows(), [window(10, 20), window(30, 40)]);
        assert!(set.add(&[window(20, 30)]));
        assert_eq!(set.windows(), [window(10, 40)]);
        assert!(set.add(&[window(-1000, 5)]));
        assert!(set.add(&[window(35, 1000)]));
        assert_eq!(set.windows(), [window(-1000, 5), window(10, 1000)]);
        assert!(set.add(&[Window::ALWAYS]));
        assert_eq!(set.windows(), [Window::ALWAYS]);
    }

    #[test]
    fn what_is_in_both_windows() {
        assert_eq!(both(window(10, 20), window(15, 1000)), Some(window(15, 20)));
        assert_eq!(both(window(10, 20), window(20, 30)), None);
        assert_eq!(both(Window::ALWAYS, window(1, 2)), Some(window(1, 2)));
    }
}
