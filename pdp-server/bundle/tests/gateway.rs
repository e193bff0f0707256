//! Mappings from requests to questions: what they say, and what is wrong with those that say nothing.

#![allow(clippy::panic, clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::collections::BTreeMap;

use pdp_bundle::gateway::{
    Asked, Caller, Claim, Gateway, Http, Mapped, PathProblem, Proof, Unmapped,
};
use pdp_bundle::question::WrittenPermission;

const MAPPING: &str = r"
tenant: bank
challenge: Bearer realm=bank
approval: {header: X-PDP-Approval, value: 'https://access.bank.example/requests'}
subject:
  - {claim: sub, as: 'person:{value}'}
  - {claim: [realm, user], payload: other, as: 'person:{value}'}
  - principal: spiffe://bank.example/ns/{namespace}/sa/{name}
    as: account:ns/{namespace}/{name}
  - {principal: '{name}.svc.bank.example', as: 'account:svc/{name}'}
  - {header: X-Caller, as: 'account:corp/{value}'}
routes:
  - {path: /healthz, methods: [GET, HEAD], public: true}
  - name: restart
    path: /computers/{id}/restart
    methods: [POST]
    hosts: [api.bank.example, '*.internal']
    permission: Restart
    resource: Computer:{id}
  - {path: '/computers/{id}/session', permission: 'session:none', resource: 'Computer:{id}'}
  - {path: '/computers/{id}/session/{level}', permission: 'session:local-admin', resource: 'Computer:{id}'}
  - {path: '/vault/{group}', permission: 'vault:view_password', resource: 'resource_group:{group}'}
  - {path: '/files/{path...}', tenant: files, permission: 'right:ReadData', resource: 'File:/{path}'}
  - path: /move/{from}/{to}
    permission: Move
    resource: Account:{from}
    counterpart: Location:{to}
";

#[derive(Default)]
struct Request {
    method: &'static str,
    host: &'static str,
    path: Option<&'static str>,
    pseudo_path: Option<&'static str>,
    principal: &'static str,
    headers: BTreeMap<&'static str, Option<&'static str>>,
    claims: BTreeMap<&'static str, Option<&'static str>>,
    extensions: Vec<(&'static str, &'static str)>,
}

impl Request {
    fn to(method: &'static str, path: &'static str) -> Self {
        Self { method, host: "api.bank.example", path: Some(path), ..Self::default() }
    }

    fn of(mut self, claim: &'static str) -> Self {
        self.claims.insert("jwt_payload:sub", Some(claim));
        self
    }

    fn with(mut self, extensions: &[(&'static str, &'static str)]) -> Self {
        self.extensions.extend(extensions);
        self
    }
}

fn proof<'r>(known: &BTreeMap<&'static str, Option<&'r str>>, name: &str) -> Proof<'r> {
    match known.get(name) {
        None => Proof::Absent,
        Some(None) => Proof::Unusable,
        Some(Some(text)) => Proof::Text(text),
    }
}

impl Caller for Request {
    fn http(&self) -> Option<Http<'_>> {
        let Self { method, host, path, pseudo_path, .. } = self;
        let pseudo_path = pseudo_path.map(str::as_bytes);
        Some(Http { method, host: host.as_bytes(), path: (*path)?.as_bytes(), pseudo_path })
    }

    fn principal(&self) -> &str {
        self.principal
    }

    fn header(&self, name: &str) -> Proof<'_> {
        proof(&self.headers, name)
    }

    fn claim(&self, claim: &Claim) -> Proof<'_> {
        proof(&self.claims, &format!("{}:{}", claim.payload, claim.path.join(".")))
    }

    fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extensions.iter().copied()
    }
}

fn gateway() -> Gateway {
    Gateway::parse("gateway.yaml", MAPPING).unwrap_or_else(|error| panic!("{error}"))
}

/// `tenant subject permission resource [counterpart]`, `public`, or the code.
fn mapped(request: &Request) -> String {
    match gateway().map(request) {
        Ok(Mapped::Public(_)) => "public".to_owned(),
        Ok(Mapped::Asked(asked)) => {
            let Asked { tenant, subject, permission, resource, counterpart, .. } = &asked;
            let permission = WrittenPermission(*permission);
            let mut text = format!("{tenant} {subject} {permission} {}", resource.as_ref());
            if let Some(counterpart) = counterpart {
                text.push_str(&format!(" {}", counterpart.as_ref()));
            }
            text
        }
        Err(unmapped) => unmapped.code().to_owned(),
    }
}

#[test]
fn a_request_asks_what_its_route_says() {
    for (request, asks) in [
        (Request::to("GET", "/healthz"), "public"),
        (Request::to("POST", "/healthz"), "NO_ROUTE"),
        (
            Request::to("POST", "/computers/web-07/restart?force=1").of("ana"),
            "bank person:ana Restart Computer:web-07",
        ),
        (Request::to("GET", "/computers/web-07/restart").of("ana"), "NO_ROUTE"),
        (
            Request { host: "other.example", ..Request::to("POST", "/computers/a/restart") },
            "NO_ROUTE",
        ),
        (
            Request { host: "X.Internal:443", ..Request::to("POST", "/computers/a/restart") }
                .of("b"),
            "bank person:b Restart Computer:a",
        ),
        (
            Request::to("GET", "/computers/w%20x/session").of("ana"),
            "bank person:ana session:none Computer:w x",
        ),
        (
            Request::to("GET", "/computers/w/session/x").of("ana"),
            "bank person:ana session:local-admin Computer:w",
        ),
        (
            Request::to("GET", "/vault/ops").of("ana"),
            "bank person:ana vault:view_password resource_group:ops",
        ),
        (
            Request::to("GET", "/files/a/b.txt").of("ana"),
            "files person:ana right:ReadData File:/a/b.txt",
        ),
        (
            Request::to("PUT", "/move/x/zurich").of("ana"),
            "bank person:ana Move Account:x Location:zurich",
        ),
        (
            Request::to("GET", "/files/100%25").of("ana"),
            "files person:ana right:ReadData File:/100%",
        ),
        (Request::to("GET", "/files/../healthz").of("ana"), "BAD_PATH"),
        (Request::to("GET", "/files;x/a").of("ana"), "BAD_PATH"),
        (Request::to("GET", "/files%3Bx/a").of("ana"), "BAD_PATH"),
        (Request::to("GET", "/files./a").of("ana"), "BAD_PATH"),
        (Request::to("GET", "/files%20/a").of("ana"), "BAD_PATH"),
        (Request::to("GET", "/files/a%2f..%2fb").of("ana"), "BAD_PATH"),
        (Request { pseudo_path: Some("/healthz!"), ..Request::to("GET", "/healthz") }, "BAD_PATH"),
    ] {
        assert_eq!(mapped(&request), asks, "{:?}", request.path);
    }
}

#[test]
fn the_first_source_that_is_there_names_the_subject() {
    let request = || Request::to("GET", "/vault/v");
    let asks = |subject: &str| format!("bank {subject} vault:view_password resource_group:v");
    assert_eq!(mapped(&request()), "NO_SUBJECT");
    let spiffe = "spiffe://bank.example/ns/pay/sa/worker";
    let principal = Request { principal: spiffe, ..request() };
    assert_eq!(mapped(&principal), asks("account:ns/pay/worker"));
    let dns = Request { principal: "ledger.svc.bank.example", ..request() };
    assert_eq!(mapped(&dns), asks("account:svc/ledger"));
    // A namespace that is called as the other source's prefix names somebody else.
    let of_namespace = "spiffe://bank.example/ns/svc/sa/ledger";
    let of_namespace = Request { principal: of_namespace, ..request() };
    assert_eq!(mapped(&of_namespace), asks("account:ns/svc/ledger"));
    for other in ["spiffe://other/ns/pay/sa/worker", "a.b.svc.bank.example", "svc.bank.example"] {
        assert_eq!(mapped(&Request { principal: other, ..request() }), "NO_SUBJECT");
    }
    let mut header = request();
    header.headers.insert("x-caller", Some("ana"));
    assert_eq!(mapped(&header), asks("account:corp/ana"));
    header.claims.insert("other:realm.user", Some("bob"));
    assert_eq!(mapped(&header), asks("person:bob"));
    // What is there and not usable is not passed over.
    header.claims.insert("jwt_payload:sub", None);
    assert_eq!(mapped(&header), "NO_SUBJECT");
    header.claims.insert("jwt_payload:sub", Some(""));
    assert_eq!(mapped(&header), "NO_SUBJECT");
}

#[test]
fn the_gateways_own_configuration_overrides_the_mapping() {
    let restart = || Request::to("POST", "/computers/a/restart").of("ana");
    for (request, asks) in [
        (restart().with(&[("pdp.tenant", "t"), ("other", "x")]), "t person:ana Restart Computer:a"),
        (restart().with(&[("pdp.operation", "Stop")]), "bank person:ana Stop Computer:a"),
        (
            restart().with(&[("pdp.right", "R"), ("pdp.resource", "F:/x:{id}")]),
            "bank person:ana right:R F:/x:{id}",
        ),
        (restart().with(&[("pdp.session", "none")]), "bank person:ana session:none Computer:a"),
        (restart().with(&[("pdp.counterpart", "C:b")]), "bank person:ana Restart Computer:a C:b"),
        (restart().with(&[("pdp.subject", "account:svc")]), "bank account:svc Restart Computer:a"),
        // A public route that is asked about is not public any more.
        (Request::to("GET", "/healthz").with(&[("pdp.operation", "Look")]), "NO_ROUTE"),
        (
            Request::to("GET", "/healthz")
                .of("ana")
                .with(&[("pdp.operation", "Look"), ("pdp.resource", "H:z")]),
            "bank person:ana Look H:z",
        ),
        (Request::to("GET", "/unknown").of("ana").with(&[("pdp.operation", "Look")]), "NO_ROUTE"),
        // Everything is said: no route is needed, nor HTTP.
        (
            Request::to("GET", "/unknown")
                .of("ana")
                .with(&[("pdp.vault_action", "share"), ("pdp.resource", "Computer:b")]),
            "bank person:ana vault:share Computer:b",
        ),
        (
            Request::default()
                .of("ana")
                .with(&[("pdp.operation", "Look"), ("pdp.resource", "H:z")]),
            "bank person:ana Look H:z",
        ),
        (Request::default().of("ana"), "NO_ROUTE"),
        // And the path is looked at all the same.
        (
            Request::to("GET", "/a//b")
                .of("ana")
                .with(&[("pdp.operation", "Look"), ("pdp.resource", "H:z")]),
            "BAD_PATH",
        ),
        (restart().with(&[("pdp.operatoin", "Stop")]), "BAD_EXTENSION"),
        (restart().with(&[("pdp.operation", "a"), ("pdp.right", "b")]), "BAD_EXTENSION"),
        (restart().with(&[("pdp.resource", "x")]), "BAD_EXTENSION"),
        (restart().with(&[("pdp.subject", "ana")]), "BAD_EXTENSION"),
        (restart().with(&[("pdp.right", "b"), ("pdp.counterpart", "C:b")]), "BAD_EXTENSION"),
    ] {
        assert_eq!(mapped(&request), asks, "{:?} {:?}", request.path, request.extensions);
    }
}

#[test]
fn a_mapping_tells_where_to_ask() {
    let gateway = gateway();
    assert_eq!(gateway.challenge(), "Bearer realm=bank");
    assert_eq!(
        gateway.approval(),
        Some(("x-pdp-approval", "https://access.bank.example/requests"))
    );
    let nothing = Gateway::default();
    let request = Request::to("GET", "/").of("ana");
    assert_eq!(nothing.map(&request), Err(Unmapped::NoRoute));
    let up = Request::to("GET", "/..").of("ana");
    assert_eq!(nothing.map(&up), Err(Unmapped::Path(PathProblem::DotSegment)));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let route = |keys: &str| format!("routes:\n  - {{path: '/a/{{x}}/{{y}}', {keys}}}\n");
    for (text, said) in [
        (String::new(), "gateway.yaml: the mapping is empty"),
        ("routs: []".to_owned(), "gateway.yaml:1:1: routs: unknown key; did you mean `routes`?"),
        ("tenant: ''".to_owned(), "1:9: tenant: an empty tenant id"),
        ("routes:\n  - {path: a, public: true}".to_owned(), "2:12: routes[0].path: `a` is no path"),
        ("routes:\n  - {path: /a%20b, public: true}".to_owned(), "`%` never stands"),
        ("routes:\n  - {path: '/a;b', public: true}".to_owned(), "`;` never stands"),
        ("routes:\n  - {path: '/a./b', public: true}".to_owned(), "ends in a dot or a space"),
        ("routes:\n  - {path: /a/../b, public: true}".to_owned(), "dot segments never stand"),
        ("routes:\n  - {path: '/{a}-x', public: true}".to_owned(), "stands for a whole part"),
        ("routes:\n  - {public: true}".to_owned(), "the key `path` is missing"),
        (
            "routes:\n  - {path: /a, public: true, permission: V}".to_owned(),
            "2:42: routes[0].permission: a public route asks nothing",
        ),
        ("routes:\n  - {path: /a}".to_owned(), "the key `permission` is missing"),
        (route("permission: V, resource: 'T'"), "`T` does not name a resource"),
        (
            route("permission: V, resource: 'T:{z}'"),
            "2:51: routes[0].resource: there is no capture `z`; there are `x`, `y`",
        ),
        (route("permission: V, resource: 'T:{x}{y}'"), "nothing keeps `x` and `y` apart"),
        (route("permission: 'vault:look', resource: 'T:{x}'"), "`look` is not a vault action"),
        (route("permission: '', resource: 'T:{x}'"), "empty"),
        (route("permission: V, resource: 'resource_group:{x}'"), "goes with a vault action only"),
        (
            route("permission: 'right:R', resource: 'T:x', counterpart: 'T:y'"),
            "goes with an operation only",
        ),
        (route("methods: [get], public: true"), "`get` is no method"),
        (route("methods: [], public: true"), "an empty list takes no request"),
        (route("hosts: ['a:80'], public: true"), "`a:80` is no host"),
        (route("public: maybe"), "expected true or false"),
        (
            "subject:\n  - {claim: sub, header: x, as: 'person:{value}'}".to_owned(),
            "2:5: subject[0]: expected exactly one of",
        ),
        ("subject:\n  - {claim: sub, as: '{value}'}".to_owned(), "does not name a subject"),
        (
            "subject:\n  - {claim: sub, as: 'person:{sub}'}".to_owned(),
            "there is no capture `sub`; there are `value`",
        ),
        ("subject:\n  - {claim: sub}".to_owned(), "the key `as` is missing"),
        (
            "subject:\n  - {header: x-pdp-subject, as: 'person:{value}'}".to_owned(),
            "taken off requests",
        ),
        (
            "subject:\n  - {header: 'a b', as: 'person:{value}'}".to_owned(),
            "is no name of a header",
        ),
        ("subject:\n  - {principal: 'spiffe://{a}/{b}', as: 'person:{a}-{b}'}".to_owned(), "apart"),
        (
            "subject:\n  - {header: x, payload: y, as: 'person:{value}'}".to_owned(),
            "it goes with `claim`",
        ),
        ("approval: {header: x}".to_owned(), "the key `value` is missing"),
        ("challenge: \"a\\nb\"".to_owned(), "visible ASCII only"),
        ("routes:\n  - {path: [/a}".to_owned(), "not valid YAML"),
    ] {
        let error = Gateway::parse("gateway.yaml", &text).map(drop).unwrap_err().to_string();
        assert!(error.contains(said), "{text}\n{error}");
    }
    // A `%` that begins no escape is read as it is, so that a path may hold it.
    assert!(Gateway::parse("g", "routes:\n  - {path: '/100%', public: true}").is_ok());
    let many = format!("routes:\n{}", "  - {path: /a, public: true}\n".repeat(1_001));
    let error = Gateway::parse("g", &many).unwrap_err().to_string();
    assert!(error.contains("1001 entries; the limit is 1000"), "{error}");
    let large = "#".repeat(1 << 21);
    assert!(Gateway::parse("g", &large).unwrap_err().to_string().contains("the limit is 1048576"));
}

#[test]
fn a_slash_more_or_less_is_no_way_around_a_question() {
    let parsed = |routes: &[(&str, &str)]| {
        let route = |(keys, path): &(&str, &str)| {
            let asks =
                if keys.contains("public") { "" } else { ", permission: V, resource: 'T:x'" };
            let comma = if keys.is_empty() { "" } else { ", " };
            format!("  - {{path: '{path}'{comma}{keys}{asks}}}\n")
        };
        let routes: String = routes.iter().map(route).collect();
        Gateway::parse("g", &format!("routes:\n{routes}")).map(drop).map_err(|it| it.to_string())
    };
    let public = "public: true";
    for (routes, form) in [
        (&[("", "/admin"), (public, "/{p...}")][..], "`/admin/`"),
        (&[("", "/admin/"), (public, "/{p...}")], "`/admin`"),
        (&[("", "/admin/"), (public, "/{page}")], "`/admin`"),
        (&[("", "/admin/{p...}"), (public, "/{p...}")], "`/admin/`"),
        (&[("", "/admin/{p...}"), ("", "/admin/"), (public, "/{p...}")], "`/admin`"),
        (&[("", "/reports/{id}"), (public, "/reports/{p...}")], "`/reports/{}/`"),
        (&[("", "/{a}/{b}"), (public, "/static/{p...}")], "`/{}/{}/`"),
        (&[("methods: [GET]", "/admin"), (public, "/{p...}")], "`/admin/`"),
        (&[("methods: [GET, PUT]", "/a"), ("methods: [GET]", "/a/"), (public, "/{p...}")], "`/a/`"),
        (&[("hosts: ['a.b']", "/admin"), ("public: true, hosts: ['*.b']", "/{p...}")], "`/admin/`"),
        (&[("", "/a"), ("hosts: ['a.b']", "/a/"), (public, "/{p...}")], "`/a/`"),
    ] {
        let error = parsed(routes).unwrap_err();
        assert!(error.contains(form) && error.contains("without a question"), "{routes:?} {error}");
        assert!(error.contains("while line 2 asks about"), "{error}");
    }
    let fine: &[&[(&str, &str)]] = &[
        &[("", "/admin"), ("", "/admin/"), (public, "/{p...}")],
        &[("", "/admin"), ("", "/{p...}")],
        &[("", "/admin"), (public, "/")],
        // That it is another path is said in so many words.
        &[("", "/admin"), (public, "/admin/")],
        // The one before it takes the request anyway.
        &[(public, "/{p...}"), ("", "/admin")],
        &[("", "/admin/{p...}"), ("", "/admin/"), ("", "/admin"), (public, "/{p...}")],
        &[
            ("", "/reports/{id}"),
            ("", "/reports/{id}/{p...}"),
            ("", "/reports/{id}/"),
            (public, "/{p...}"),
        ],
        &[("methods: [PUT]", "/admin"), ("public: true, methods: [GET]", "/{p...}")],
        &[("hosts: [a]", "/admin"), ("public: true, hosts: [b]", "/{p...}")],
        &[("", "/"), (public, "/{p...}")],
    ];
    for routes in fine {
        assert_eq!(parsed(routes), Ok(()), "{routes:?}");
    }
}
