//! A path with a slash at its end is another path than the one without, and to most servers the same
//! resource. Where a route asks about the one and a later public route with captures takes the other,
//! a request would pass by its question: such a mapping is refused before the first request.
//!
//! Knows patterns only; which of them are public is told by the routes.

use super::routes::{Host, Route, RouteAnswer};
use super::template::Segment;

/// A later route that takes what an earlier one only seems to ask about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed<'r> {
    /// The public route.
    pub(super) by: &'r Route,
    /// The route that asks.
    pub(super) asks: &'r Route,
    /// What passes: the other form of the path of the route that asks.
    pub(super) form: Form<'r>,
}

/// The other form of a path: these segments, and nothing behind the last slash or no last slash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'r> {
    segments: &'r [Segment],
    slash: bool,
}

/// What stands at one place of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'r> {
    Text(&'r str),
    /// Anything but nothing.
    Any,
}

/// The first mistake for every public route that makes one.
pub(super) fn passed(routes: &[Route]) -> Vec<Passed<'_>> {
    let by = |(at, public): (usize, &'_ Route)| -> Option<(usize, usize)> {
        let takes_many = public.path.segments.iter().any(|it| !matches!(it, Segment::Text(_)));
        if public.answer != RouteAnswer::Public || !takes_many {
            return None;
        }
        let earlier = routes.get(..at)?;
        let asks = |route: &Route| {
            matches!(route.answer, RouteAnswer::Ask(_))
                && meet(route, public)
                && missed(route, public, earlier).is_some()
        };
        earlier.iter().position(asks).map(|asks| (at, asks))
    };
    let found = routes.iter().enumerate().filter_map(by);
    let passed = found.filter_map(|(by, asks)| {
        let (by, asks, earlier) = (routes.get(by)?, routes.get(asks)?, routes.get(..by)?);
        Some(Passed { by, asks, form: missed(asks, by, earlier)? })
    });
    passed.collect()
}

/// The form of a route's path that a public route takes, and nothing before it.
fn missed<'r>(asks: &'r Route, public: &Route, earlier: &[Route]) -> Option<Form<'r>> {
    forms(&asks.path.segments).into_iter().flatten().find(|form| {
        let covers = |route: &Route| stands_for(route, asks, public) && form.is_within(route);
        form.meets(public) && !earlier.iter().any(covers)
    })
}

/// The forms that a path does not take and a reader could think it takes.
fn forms(segments: &[Segment]) -> [Option<Form<'_>>; 2] {
    let form = |segments, slash| Some(Form { segments, slash });
    match segments.split_last() {
        // The rest is never empty.
        Some((Segment::Rest, before)) => [form(before, true), form(before, false)],
        Some((Segment::Text(text), before)) if text.is_empty() => [form(before, false), None],
        Some(_) => [form(segments, true), None],
        None => [None, None],
    }
    .map(|form| form.filter(|form| form.segments.len() > 1 || form.slash))
}

/// Whether some request could be taken by both, by its method and its host.
fn meet(one: &Route, other: &Route) -> bool {
    let methods = one.methods.is_empty()
        || other.methods.is_empty()
        || one.methods.iter().any(|method| other.methods.contains(method));
    let hosts = one.hosts.is_empty()
        || other.hosts.is_empty()
        || one.hosts.iter().any(|host| other.hosts.iter().any(|known| host.meets(known)));
    methods && hosts
}

/// Whether a route takes the methods and hosts that these two have in common: surely, if in doubt not.
fn stands_for(route: &Route, asks: &Route, public: &Route) -> bool {
    let takes = |methods: &[Box<str>]| methods.iter().all(|it| route.methods.contains(it));
    let methods = route.methods.is_empty()
        || [&asks.methods, &public.methods].iter().any(|them| !them.is_empty() && takes(them));
    let within =
        |hosts: &[Host]| !hosts.is_empty() && hosts.iter().all(|host| route.hosts.contains(host));
    methods && (route.hosts.is_empty() || within(&asks.hosts) || within(&public.hosts))
}

// === impl Form ===

impl<'r> Form<'r> {
    fn parts(self) -> impl Iterator<Item = Part<'r>> + Clone {
        let part = |segment: &'r Segment| match segment {
            Segment::Text(text) => Part::Text(text),
            Segment::Capture | Segment::Rest => Part::Any,
        };
        self.segments.iter().map(part).chain(self.slash.then_some(Part::Text("")))
    }

    /// Whether a route takes some path of this form.
    fn meets(self, route: &Route) -> bool {
        self.fits(route, |part, segment| match (part, segment) {
            (Part::Text(part), Segment::Text(text)) => **part == **text,
            (Part::Text(part), Segment::Capture) => !part.is_empty(),
            (Part::Any, Segment::Text(text)) => !text.is_empty(),
            (Part::Any, Segment::Capture) | (_, Segment::Rest) => true,
        })
    }

    /// Whether a route takes every path of this form.
    fn is_within(self, route: &Route) -> bool {
        self.fits(route, |part, segment| match (part, segment) {
            (Part::Text(part), Segment::Text(text)) => **part == **text,
            (Part::Text(part), Segment::Capture) => !part.is_empty(),
            (Part::Any, Segment::Text(_)) => false,
            (Part::Any, Segment::Capture) | (_, Segment::Rest) => true,
        })
    }

    fn fits(self, route: &Route, one: impl Fn(&Part<'_>, &Segment) -> bool) -> bool {
        let mut parts = self.parts();
        for segment in &route.path.segments {
            if *segment == Segment::Rest {
                // At least one character: a slash alone is none.
                let mut rest = parts.clone();
                return rest
                    .next()
                    .is_some_and(|part| part != Part::Text("") || rest.next().is_some());
            }
            if !parts.next().is_some_and(|part| one(&part, segment)) {
                return false;
            }
        }
        parts.next().is_none()
    }
}

/// As a path, captures without their names.
impl std::fmt::Display for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, part) in self.parts().enumerate() {
            let slash = if at > 0 { "/" } else { "" };
            match part {
                Part::Text(text) => write!(f, "{slash}{text}")?,
                Part::Any => write!(f, "{slash}{{}}")?,
            }
        }
        Ok(())
    }
}
