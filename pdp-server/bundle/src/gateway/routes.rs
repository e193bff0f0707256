//! The routes, compiled: whatever their number, a request walks down one tree, part of its path by
//! part, and allocates nothing on the way. The first route that fits wins, as they are written.

use pdp_engine::id::TenantId;

use super::template::{Pattern, Segment, Template};
use crate::diagnostic::Place;

/// A route: which requests it is for, and what they ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) name: Option<Box<str>>,
    pub(super) place: Place,
    /// None: every method.
    pub(super) methods: Vec<Box<str>>,
    /// None: every host.
    pub(super) hosts: Vec<Host>,
    pub(super) path: Pattern,
    pub(super) answer: RouteAnswer,
}

/// What a route says of its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RouteAnswer {
    /// Let through, without a question.
    Public,
    /// A question.
    Ask(Ask),
}

/// The question of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    /// Of this tenant's policy, if not the gateway's.
    pub(super) tenant: Option<TenantId>,
    /// As [`parse_permission`](crate::question::parse_permission) reads it.
    pub(super) permission: Box<str>,
    pub(super) resource: ObjectTemplate,
    pub(super) counterpart: Option<ObjectTemplate>,
}

/// `Computer:{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectTemplate {
    pub(super) type_name: Box<str>,
    pub(super) id: Template,
}

/// A host: one, or all below a domain. In lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Exactly(Box<str>),
    /// With the dot: `.bank.example`.
    Below(Box<str>),
}

/// All routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Routes {
    routes: Vec<Route>,
    nodes: Vec<Node>,
}

/// The paths that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Node {
    /// By the next segment; sorted.
    texts: Vec<(Box<str>, usize)>,
    /// Whatever the next segment is.
    any: Option<usize>,
    /// The routes whose paths end here, in their order.
    here: Vec<usize>,
    /// The routes that take everything that follows, in their order.
    rest: Vec<usize>,
}

/// A request as routes look at it.
#[derive(Clone, Copy)]
pub(super) struct Target<'r> {
    pub(super) method: &'r str,
    pub(super) host: &'r [u8],
    pub(super) path: &'r str,
}

// === impl Route ===

impl Route {
    /// What the configuration calls it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it stands in its file.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Its path, as written.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    fn takes(&self, method: &str, host: &[u8]) -> bool {
        let methods = &self.methods;
        (methods.is_empty() || methods.iter().any(|known| **known == *method))
            && (self.hosts.is_empty() || self.hosts.iter().any(|known| known.covers(host)))
    }
}

// === impl Host ===

impl Host {
    fn covers(&self, host: &[u8]) -> bool {
        match self {
            Self::Exactly(name) => name.as_bytes().eq_ignore_ascii_case(host),
            Self::Below(domain) => {
                let split = host.len().checked_sub(domain.len());
                let split = split.filter(|at| *at > 0).and_then(|at| host.split_at_checked(at));
                split.is_some_and(|(_, end)| domain.as_bytes().eq_ignore_ascii_case(end))
            }
        }
    }
}

impl Host {
    /// Whether some host is covered by both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(name), host) | (host, Self::Exactly(name)) => {
                host.covers(name.as_bytes())
            }
            (Self::Below(one), Self::Below(other)) => {
                one.ends_with(&**other) || other.ends_with(&**one)
            }
        }
    }
}

/// A host without its port and without the dot of the root.
pub(super) fn bare_host(host: &[u8]) -> &[u8] {
    let colon = host.iter().rposition(|byte| *byte == b':');
    let host = match colon.and_then(|at| host.split_at_checked(at)) {
        // Of an address in brackets only a colon behind them is a port's.
        Some((name, port)) if port.iter().skip(1).all(u8::is_ascii_digit) => name,
        _ => host,
    };
    host.strip_suffix(b".").unwrap_or(host)
}

// === impl Routes ===

impl Routes {
    pub(super) fn compile(routes: Vec<Route>) -> Self {
        let mut compiled = Self { routes: Vec::new(), nodes: vec![Node::default()] };
        for (index, route) in routes.iter().enumerate() {
            compiled.insert(index, &route.path);
        }
        compiled.routes = routes;
        compiled
    }

    fn insert(&mut self, index: usize, path: &Pattern) {
        let mut at = 0;
        for segment in &path.segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            let next = match segment {
                Segment::Rest => return node.rest.push(index),
                Segment::Capture => *node.any.get_or_insert(fresh),
                Segment::Text(text) => {
                    match node.texts.binary_search_by(|(known, _)| known.cmp(text)) {
                        Ok(found) => node.texts.get(found).map_or(fresh, |(_, next)| *next),
                        Err(place) => {
                            node.texts.insert(place, (text.clone(), fresh));
                            fresh
                        }
                    }
                }
            };
            if next == fresh {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.here.push(index);
        }
    }

    /// In their order.
    pub(super) fn all(&self) -> &[Route] {
        &self.routes
    }

    /// The first route that takes the request.
    pub(super) fn first(&self, target: Target<'_>) -> Option<&Route> {
        let target = Target { host: bare_host(target.host), ..target };
        let best = self.walk(0, Some(target.path), target, usize::MAX);
        self.routes.get(best)
    }

    /// The first route below a node that comes before `best`, or `best`. Every node is looked at
    /// once at most; INVARIANT: as deep as the longest template.
    fn walk(&self, at: usize, left: Option<&str>, target: Target<'_>, best: usize) -> usize {
        let Some(node) = self.nodes.get(at) else { return best };
        let Some(left) = left else { return self.earliest(&node.here, target, best) };
        let (part, after) = match left.split_once('/') {
            Some((part, after)) => (part, Some(after)),
            None => (left, None),
        };
        let mut best = best;
        if let Ok(found) = node.texts.binary_search_by(|(known, _)| (**known).cmp(part))
            && let Some((_, next)) = node.texts.get(found)
        {
            best = self.walk(*next, after, target, best);
        }
        if let Some(next) = node.any.filter(|_| !part.is_empty()) {
            best = self.walk(next, after, target, best);
        }
        if left.is_empty() { best } else { self.earliest(&node.rest, target, best) }
    }

    fn earliest(&self, among: &[usize], target: Target<'_>, best: usize) -> usize {
        let takes = |index: &usize| {
            self.routes.get(*index).is_some_and(|route| route.takes(target.method, target.host))
        };
        among.iter().copied().take_while(|index| *index < best).find(takes).unwrap_or(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(methods: &[&str], hosts: &[Host], path: &str) -> Route {
        Route {
            name: None,
            place: Place::START,
            methods: methods.iter().map(|method| (*method).into()).collect(),
            hosts: hosts.to_vec(),
            path: Pattern::parse(path, '/').unwrap(),
            answer: RouteAnswer::Public,
        }
    }

    #[test]
    fn the_first_route_that_fits_wins() {
        let api = Host::Exactly("api.bank.example".into());
        let below = Host::Below(".bank.example".into());
        let routes = Routes::compile(vec![
            route(&["GET"], &[], "/a/{x}"),
            route(&[], &[api], "/a/b"),
            route(&[], &[], "/a/b"),
            route(&[], &[below], "/{any...}"),
            route(&["POST", "PUT"], &[], "/{x}/{y}/c"),
            route(&[], &[], "/a/{x}/c"),
            route(&[], &[], "/"),
            route(&[], &[], "/a/"),
        ]);
        let first = |method, host: &str, path| {
            let found = routes.first(Target { method, host: host.as_bytes(), path });
            let index = |route: &Route| routes.routes.iter().position(|it| std::ptr::eq(it, route));
            found.and_then(index)
        };
        assert_eq!(first("GET", "h", "/a/b"), Some(0));
        assert_eq!(first("POST", "API.bank.example:8080", "/a/b"), Some(1));
        assert_eq!(first("POST", "api.bank.example.", "/a/b"), Some(1));
        assert_eq!(first("POST", "h", "/a/b"), Some(2));
        assert_eq!(first("POST", "x.bank.example", "/q"), Some(3));
        assert_eq!(first("POST", "bank.example", "/q"), None);
        assert_eq!(first("POST", ".bank.example", "/q"), None);
        assert_eq!(first("PUT", "h", "/a/z/c"), Some(4));
        assert_eq!(first("get", "h", "/a/z/c"), Some(5));
        assert_eq!(first("GET", "h", "/"), Some(6));
        assert_eq!(first("GET", "x.bank.example", "/"), Some(6));
        assert_eq!(first("GET", "h", "/a/"), Some(7));
        assert_eq!(first("GET", "h", "/b/"), None);
        assert_eq!(first("GET", "h", "/a"), None);
    }

    #[test]
    fn a_host_is_bare_without_its_port() {
        for (host, bare) in [
            ("a", "a"),
            ("a:80", "a"),
            ("a.:80", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(bare_host(host.as_bytes()), bare.as_bytes(), "{host}");
        }
    }

    #[test]
    fn the_tree_finds_what_a_search_finds() {
        let parts = ["a", "b", "{x}", ""];
        let mut list = Vec::new();
        // Every path of up to three parts in some order that is not the tree's.
        for n in 0..64_usize {
            let n = n * 37 % 64;
            let path: Vec<_> = [n % 4, n / 4 % 4, n / 16].iter().map(|at| parts[*at]).collect();
            let path = path.join("/").replacen("{x}", "{y}", 1).replacen("{x}", "{z}", 1);
            let rest = if n % 5 == 0 { "/{rest...}" } else { "" };
            let methods: &[&str] = if n % 3 == 0 { &["GET"] } else { &[] };
            list.push(route(methods, &[], &format!("/{path}{rest}")));
        }
        let routes = Routes::compile(list.clone());
        let words = ["a", "b", "c", ""];
        for n in 0..256_usize {
            let path: Vec<_> =
                [n % 4, n / 4 % 4, n / 16 % 4, n / 64].iter().map(|at| words[*at]).collect();
            for length in 0..4 {
                let path = format!("/{}", path[..=length].join("/"));
                for method in ["GET", "POST"] {
                    let target = Target { method, host: b"h", path: &path };
                    let searched = list
                        .iter()
                        .find(|it| it.takes(method, b"h") && it.path.captures(&path).is_some());
                    assert_eq!(routes.first(target), searched, "{method} {path}");
                }
            }
        }
    }
}
