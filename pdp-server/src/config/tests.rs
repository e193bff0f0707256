use std::io::Write as _;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

fn flags(line: &[&str]) -> Settings {
    Line::try_parse_from([&["pdp-server"], line].concat()).unwrap().settings
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_flag_beats_a_file_and_a_file_beats_the_default() {
    let file = file("grpc: 127.0.0.1:1000\nhttp: 127.0.0.1:2000 # a comment\ngrace_ms: 5\n");
    let config = flags(&["--grpc", "127.0.0.1:3000"]).into_config(Some(file.path())).unwrap();
    assert_eq!(config.grpc.port(), 3000);
    assert_eq!(config.http.port(), 2000);
    assert_eq!(config.grace, Duration::from_millis(5));
    assert_eq!(config.drain, DEFAULT_DRAIN);
}

#[test]
fn what_is_printed_is_read_back() {
    let line = [
        "--insecure",
        "--grpc",
        "[::]:0",
        "--otlp-endpoint",
        "http://a:1",
        "--otlp-sample-ratio",
        "0.5",
        "--load",
        "a \"b\".yaml",
        "--public-url",
        "https://pdp.example.com/a/",
        "--access-request-url",
        "https://requests.example.com/new",
        "--person-types",
        "human, robot",
        "--decision-log",
        "a b.jsonl",
        "--decision-log-allows",
        "0.25",
        "--decision-log-mask",
        "permission,subject",
        "--decision-log-mask-key",
        "key",
        "--decision-log-keep",
        "0",
    ];
    let config = flags(&line).into_config(None).unwrap();
    let file = file(&config.to_string());
    assert_eq!(Settings::default().into_config(Some(file.path())), Ok(config));
}

#[test]
fn beyond_loopback_needs_tls_and_callers() {
    let nobody = file("callers: []\n");
    let callers = ["--callers", nobody.path().to_str().unwrap()];
    let tls = ["--tls-cert", "a", "--tls-key", "b"];
    let beyond = ["--http", "10.0.0.1:7071"];
    for (line, missing) in [
        (beyond.to_vec(), "there is neither TLS nor authentication"),
        ([&beyond[..], &callers].concat(), "there is no TLS"),
        ([&beyond[..], &tls].concat(), "there are no `callers`"),
    ] {
        let refused = flags(&line).into_config(None).unwrap_err().to_string();
        let expected =
            format!("`http` is 10.0.0.1:7071, which other machines can reach, and {missing}");
        assert!(refused.starts_with(&expected), "{refused}");
        assert!(flags(&[&line[..], &["--insecure"]].concat()).into_config(None).is_ok());
    }
    let config = flags(&[&beyond[..], &callers, &tls].concat()).into_config(None).unwrap();
    let file = file(&config.to_string());
    assert_eq!(Settings::default().into_config(Some(file.path())), Ok(config));
}

#[test]
fn half_of_what_goes_together_is_refused() {
    let certain = file("callers: [{name: a, certificates: [a.example], roles: {}}]\n");
    let certain = certain.path().to_str().unwrap();
    let tls = ["--tls-cert", "a", "--tls-key", "b"];
    for (line, given, missing) in [
        (vec!["--tls-cert", "a"], "tls_cert", "tls_key"),
        (vec!["--tls-key", "a"], "tls_key", "tls_cert"),
        (vec!["--tls-client-ca", "a"], "tls_client_ca", "tls_cert"),
        (
            [&tls[..], &["--tls-client-auth", "optional"]].concat(),
            "tls_client_auth",
            "tls_client_ca",
        ),
        (vec!["--callers", certain], "callers", "tls_client_ca"),
        ([&tls[..], &["--callers", certain]].concat(), "callers", "tls_client_ca"),
    ] {
        let refused = flags(&line).into_config(None).unwrap_err().to_string();
        let expected = format!("`{given}` is set and `{missing}` is not; ");
        assert!(refused.starts_with(&expected), "{refused}");
    }
    let whole = [&tls[..], &["--tls-client-ca", "c", "--callers", certain]].concat();
    let config = flags(&whole).into_config(None).unwrap();
    assert_eq!(config.tls.unwrap().client_ca.unwrap().1, ClientAuth::Required);
}

#[test]
fn beyond_loopback_needs_a_word() {
    for address in ["0.0.0.0:7070", "[::]:7070", "10.0.0.1:7070"] {
        let refused = flags(&["--grpc", address]).into_config(None).unwrap_err();
        assert!(matches!(refused, ConfigError::Exposed { name: "grpc", .. }), "{refused}");
        assert!(flags(&["--insecure", "--grpc", address]).into_config(None).is_ok());
        assert!(flags(&["--insecure=false", "--http", address]).into_config(None).is_err());
    }
    assert!(flags(&["--grpc", "[::1]:7070"]).into_config(None).is_ok());
}

#[test]
fn etcd_beyond_this_machine_is_spoken_with_in_clear_only_at_a_word() {
    for (endpoints, exposed) in [
        ("http://127.0.0.1:1,http://[::1]:1,http://localhost:1", None),
        ("https://10.0.0.1:1,https://etcd.example.com:1", None),
        ("https://10.0.0.1:1,http://10.0.0.2:1", Some("http://10.0.0.2:1")),
    ] {
        let line = ["--etcd-endpoints", endpoints];
        let refused = flags(&line).into_config(None).err();
        assert_eq!(refused, exposed.map(|it| ConfigError::PlainEtcd(it.to_owned())));
        assert!(flags(&["--insecure", line[0], line[1]]).into_config(None).is_ok());
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (line, said) in [
        (["--grpc", "127.0.0.1:7071"], "both 127.0.0.1:7071"),
        (["--max-message-bytes", "1"], "`max_message_bytes` is 1; it must be 16384 to 1073741824"),
        (["--max-live-streams", "0"], "`max_live_streams` is 0"),
        (["--max-batch", "1001"], "`max_batch` is 1001; it must be 1 to 1000"),
        (["--max-changes", "0"], "`max_changes` is 0; it must be 1 to 10000"),
        (["--max-queue-ms", "0"], "`max_queue_ms` is 0"),
        (
            ["--max-caller-rate", "99999999"],
            "`max_caller_rate` is 99999999; it must be 1 to 10000000",
        ),
        (["--max-connection-age-ms", "1"], "`max_connection_age_ms` is 1; it must be 100"),
        (["--grace-ms", "99999999"], "`grace_ms` is 99999999"),
        (["--max-evaluations", "1001"], "`max_evaluations` is 1001; it must be 1 to 1000"),
        (["--max-body-bytes", "1"], "`max_body_bytes` is 1; it must be 16384"),
        (["--decision-log-ring", "0"], "`decision_log_ring` is 0; it must be 1 to 1048576"),
        (["--decision-log-max-bytes", "1"], "`decision_log_max_bytes` is 1; it must be 16384"),
        (["--otlp-endpoint", "example.org"], "`otlp_endpoint` is `example.org`"),
        (["--otlp-endpoint", "http://"], "`otlp_endpoint` is `http://`"),
        (["--log", "a=["], "`log` is `a=[`, which is no filter"),
        (
            ["--etcd-endpoints", "http://127.0.0.1:2379,http://10.0.0.1:2379"],
            "`etcd_endpoints` names http://10.0.0.1:2379",
        ),
    ] {
        let refused = flags(&line).into_config(None).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_the_line_that_says_it() {
    for (text, said) in [
        ("data: a\ngrace_ms: 99999999\n", ":2: `grace_ms` is 99999999; it must be 0 to 3600000"),
        ("\n\nhttp: 10.0.0.1:7071\n", ":3: `http` is 10.0.0.1:7071, which other machines"),
        ("tls_cert: a\n", ":1: `tls_cert` is set and `tls_key` is not"),
        ("data: a\nhttp: 127.0.0.1:7070\n", ":2: `grpc` and `http` are both 127.0.0.1:7070"),
        ("otlp_endpoint: example.org\n", ":1: `otlp_endpoint` is `example.org`"),
    ] {
        let file = file(text);
        let refused = Settings::default().into_config(Some(file.path())).unwrap_err().to_string();
        let expected = format!("{}{said}", file.path().display());
        assert!(refused.starts_with(&expected), "{refused}");
    }
    // What a flag says instead is nothing that the file could mend.
    let file = file("grace_ms: 5\n");
    let refused = flags(&["--grace-ms", "99999999"]).into_config(Some(file.path())).unwrap_err();
    assert!(matches!(refused, ConfigError::Bounds { name: "grace_ms", .. }), "{refused}");
}

#[test]
fn a_password_in_an_address_is_not_told_again() {
    for (flag, address) in [
        ("--otlp-endpoint", "http://a:hunter2@b:1"),
        ("--etcd-endpoints", "http://127.0.0.1:1,https://a:hunter2@b:1"),
        ("--public-url", "https://a:hunter2@b"),
        ("--access-request-url", "https://a:hunter2@b/request"),
    ] {
        let refused = flags(&[flag, address]).into_config(None).unwrap_err().to_string();
        let (name, told) = (flag.trim_start_matches('-').replace('-', "_"), "names a user");
        assert!(refused.starts_with(&format!("`{name}` {told}")), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn settings_are_described_as_they_are() {
    let described = described();
    let find = |name| described.iter().find(|setting| setting.name == Some(name)).unwrap();
    assert_eq!(find("grpc").default.as_deref(), Some("127.0.0.1:7070"));
    assert_eq!(find("grace_ms").bounds, Some((0, MAX_MS)));
    assert_eq!(find("http_timeout_ms").bounds, Some((10, MAX_MS)));
    assert_eq!(find("max_evaluations").bounds, Some((1, 1_000)));
    assert_eq!(find("log").bounds, None);
    // Every number has bounds, and a default within them.
    for setting in described.iter().filter(|setting| describe::counts(&setting.placeholder)) {
        let Some((least, most)) = setting.bounds else { panic!("{setting:?} has no bounds") };
        let default: u64 = setting.default.as_ref().unwrap().parse().unwrap();
        assert!((least..=most).contains(&default), "{setting:?}");
    }
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    for (text, said) in [
        ("data: a\ngrcp: b\n", ":2: there is no setting `grcp`; the settings are data, load"),
        ("grpc: nowhere\n", ":1: `grpc` is `nowhere`: invalid socket address"),
        ("data: a\ndata: b\n", ":2: `data` stands here a second time"),
        ("- a\n", ":1: a list or a map stands where"),
        ("log: [a]\n", ":1: a list or a map stands where"),
        ("insecure: yes\n", ":1: `insecure` is `yes`"),
        (
            "grace_ms: soon\n",
            ":1: `grace_ms` is `soon`: invalid digit found in string; it must be a whole number of milliseconds",
        ),
        ("decision_log_allows: 2\n", ":1: `decision_log_allows` is `2`: it must be a share"),
        ("decision_log_mask: name\n", "write `subject`, `resource` and `permission`"),
        ("log_format: loud\n", "it must be `auto`, `text` or `json`"),
        ("data: a\n---\ndata: b\n", ":2: a second document"),
        ("a: \"b\n", "not valid YAML"),
    ] {
        let file = file(text);
        let refused = Settings::default().into_config(Some(file.path())).unwrap_err();
        assert!(refused.to_string().contains(said), "{text:?}: {refused}");
        assert!(refused.to_string().contains(file.path().to_str().unwrap()), "{refused}");
    }
    let missing = Settings::default().into_config(Some(Path::new("/nonexistent/pdp.yaml")));
    assert!(missing.unwrap_err().to_string().contains("/nonexistent/pdp.yaml"));
    let empty = file("# nothing\n");
    assert!(Settings::default().into_config(Some(empty.path())).is_ok());
}
