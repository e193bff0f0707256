use super::*;

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn problems(text: &str) -> Vec<String> {
    let error = Callers::parse("callers.yaml", text).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_says_who_calls_and_what_they_may() {
    let text = format!(
        r#"
callers:
  - name: edge
    certificates: ["spiffe://bank.example/edge", Edge.Bank.Example]
    keys:
      - {{id: 5d0c2f9e, sha256: {HASH}, valid_until: 2030-01-01T00:00:00Z}}
      - {{id: 0badcafe, sha256: {HASH}}}
    roles: {{default: [check], "*": [metrics], bank: [check, explain]}}
issuers:
  - issuer: https://login.bank.example
    audiences: [pdp]
    algorithms: [ES256, RS256]
    jwks_url: https://login.bank.example/keys
    jwks_ca: ca.pem
    caller: [client, name]
    grants: [{{claim: groups, is: desk, roles: {{default: [write]}}}}]
"#
    );
    let Callers { callers, issuers } = Callers::parse("callers.yaml", &text).unwrap();
    let [edge] = &callers[..] else { panic!("{callers:?}") };
    assert_eq!(edge.certificates[1], CertificateName::Dns("edge.bank.example".into()));
    assert_eq!(edge.keys[0].sha256[..2], [0x9f, 0x86]);
    assert!(edge.keys[0].valid_until.is_some() && edge.keys[1].valid_until.is_none());
    let held = |role, tenant| edge.grants.has(role, tenant);
    assert!(held(Role::Check, "default") && held(Role::Explain, "bank"));
    assert!(!held(Role::Explain, "default") && !held(Role::Check, "other"));
    assert!(edge.grants.has_everywhere(Role::Metrics) && !edge.grants.has_everywhere(Role::Check));
    assert!(edge.grants.has_somewhere(Role::Explain) && !edge.grants.has_somewhere(Role::Write));
    let [bank] = &issuers[..] else { panic!("{issuers:?}") };
    assert_eq!(bank.algorithms, [Algorithm::Es256, Algorithm::Rs256]);
    assert_eq!(bank.caller, ["client".into(), "name".into()]);
    assert!(matches!(&bank.keys, KeySource::Url { ca: Some(_), .. }));
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_key() {
    let text = format!(
        r#"callers:
  - {{name: a, keys: [{{id: 5d0c2f9e, sha256: {HASH}}}], roles: {{default: [chekc]}}}}
  - {{name: a, keys: [{{id: 5d0c2f9e, sha256: secret}}], roles: {{default: [check]}}}}
  - {{name: b, roles: {{"a\u0000": [check]}}}}
  - {{name: c, certificates: ["a b"], roles: {{default: [metrics]}}}}
  - {{name: d, keys: [{{id: 00000000, sha256: {HASH}, valid_until: }}], roles: {{}}}}
"#
    );
    let found = problems(&text);
    let expected = [
        "callers.yaml:2:",
        "callers.yaml:3:12: callers[1].name: caller `a` stands in line 2 already",
        "callers[1].keys[0].id: key `5d0c2f9e` stands in line 2 already",
        "callers[1].keys[0].sha256: not a hash",
        "callers.yaml:4:5: callers[2]: a caller without `keys` and `certificates`",
        "`a b` is neither a URI",
        "metrics are of the whole server",
        "callers[4].keys[0].valid_until",
    ];
    for part in expected {
        assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
    }
    assert!(!found.iter().any(|line| line.contains("secret")), "{found:?}");
}

#[test]
fn an_issuer_says_everything_that_makes_a_token_good() {
    let whole = "issuers:\n  - issuer: https://i\n    audiences: [pdp]\n    algorithms: [ES256]\n    \
                 jwks_file: k.json\n    grants: [{claim: sub, is: a, roles: {default: [check]}}]\n";
    assert!(Callers::parse("c", whole).is_ok());
    for (line, said) in [
        ("    audiences: [pdp]\n", "the key `audiences` is missing"),
        ("    algorithms: [ES256]\n", "the key `algorithms` is missing"),
        ("    jwks_file: k.json\n", "expected exactly one of `jwks_file` and `jwks_url`"),
    ] {
        let found = problems(&whole.replace(line, ""));
        assert!(found.iter().any(|problem| problem.contains(said)), "{found:?}");
    }
    for (from, to, said) in [
        ("[ES256]", "[]", "an empty list"),
        ("[ES256]", "[none]", "expected one of"),
        ("[ES256]", "[HS256]", "expected one of"),
        ("jwks_file: k.json", "jwks_url: http://login.example/k", "must begin with https://"),
        ("jwks_file: k.json", "jwks_url: https://a@b/k", "neither a user"),
        ("jwks_file: k.json", "jwks_url: ftp://b/k", "must be an address"),
        ("jwks_file: k.json", "jwks_file: k.json\n    jwks_ca: c", "goes with `jwks_url`"),
    ] {
        let found = problems(&whole.replace(from, to));
        assert!(found.iter().any(|problem| problem.contains(said)), "{said}: {found:?}");
    }
    let loopback = whole.replace("jwks_file: k.json", "jwks_url: http://127.0.0.1:1/k");
    assert!(Callers::parse("c", &loopback).is_ok());
}

#[test]
fn nobody_is_not_a_file_of_callers() {
    for text in ["", "# none yet\n"] {
        assert_eq!(problems(text), ["callers.yaml: the file of callers is empty"]);
    }
    let nobody = Callers::parse("callers.yaml", "callers: []\n").unwrap();
    assert_eq!(nobody, Callers::default());
}
