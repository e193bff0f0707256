//! `pdpctl gateway`.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Subcommand};

const EXPLAIN_JSON: &str = "\
JSON: {\"outcome\": OUTCOME, \"status\"?: N, \"reason\"?: CODE, \"message\"?: TEXT,
       \"route\"?: {\"name\"?: TEXT, \"file\": PATH, \"line\": N, \"path\": TEMPLATE},
       \"tenant\"?: ID, \"subject\"?: SUBJECT, \"source\"?: TEXT, \"permission\"?: TEXT,
       \"resource\"?: \"Type:id\", \"counterpart\"?: \"Type:id\",
       \"decision\"?: {as check has it; not with --offline}}
  OUTCOME  \"ASKED\", \"PUBLIC\" or \"REFUSED\"
  status   of the response to the client, 200 where the request passes; not with --offline
Exit status: 1 where the request is refused without a question, or denied.";

/// The payload that claims are of if nothing else is said, in the mapping and here.
const PAYLOAD: &str = "jwt_payload";

#[derive(Debug, Subcommand)]
pub(crate) enum Gateway {
    /// What does a request at a gateway ask, and what comes of it?
    #[command(after_long_help = EXPLAIN_JSON)]
    Explain(GatewayExplain),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayExplain {
    /// The mapping: the file that the server's setting `gateway` names.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The method of the request.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,
    /// The path of the request with its query, as a client sends it.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: String,
    /// The host that the request names.
    #[arg(long, value_name = "HOST", default_value = "", hide_default_value = true)]
    pub(crate) host: String,
    /// A header of the request, like `x-caller: ana`; may be repeated.
    #[arg(long, value_name = "NAME: VALUE", action = ArgAction::Append, value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// A claim of the token that the gateway verified, like `sub=ana`; `[realm, user]=ana` for one inside another, `other:sub=ana` for one of another payload than `jwt_payload`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = claim)]
    pub(crate) claim: Vec<GivenClaim>,
    /// The identity that the caller's certificate proves, like `spiffe://bank.example/ns/pay/sa/worker`.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) principal: String,
    /// A context extension of the gateway's own route, like `pdp.operation=View`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = pair)]
    pub(crate) extension: Vec<(String, String)>,
    /// Only say what the request asks; ask no server.
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Reads `name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err(format!("`{}` is no header; write `name: value`", text.escape_debug())),
    }
}

/// A claim and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenClaim {
    /// Where the gateway puts the payload of the token.
    pub(crate) payload: String,
    /// Its name, or those of the claims that it is inside of and its own.
    pub(crate) path: Vec<String>,
    pub(crate) value: String,
}

/// Reads `name=value`, `[name, name]=value`, and both with `payload:` before them. A name that has a
/// `:`, as addresses do, is written in brackets.
fn claim(text: &str) -> Result<GivenClaim, String> {
    let bracketed = text.split_once('=').is_some_and(|(left, _)| left.contains('['));
    let (left, value) = match text.split_once("]=").filter(|_| bracketed) {
        Some((left, value)) => (format!("{left}]"), value.to_owned()),
        None => pair(text)?,
    };
    let (payload, name) = match left.find('[').or(left.find(':')).map(|at| left.split_at(at)) {
        Some(("", list)) if list.starts_with('[') => (PAYLOAD, list),
        Some((payload, list)) if list.starts_with('[') => {
            (payload.strip_suffix(':').unwrap_or_default(), list)
        }
        Some((payload, name)) => (payload, name.strip_prefix(':').unwrap_or(name)),
        None => (PAYLOAD, left.as_str()),
    };
    let listed = name.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
    let path: Vec<String> = match listed {
        Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
        None => vec![name.to_owned()],
    };
    if payload.is_empty() || path.iter().any(String::is_empty) {
        let advice = "write `name=value`, `[outer, inner]=value` or `payload:name=value`";
        return Err(format!("`{}` is no claim; {advice}", text.escape_debug()));
    }
    Ok(GivenClaim { payload: payload.to_owned(), path, value })
}

/// Reads `name=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{}` gives nothing a value; write `name=value`", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_with_its_payload_and_its_path() {
        for (text, payload, path, value) in [
            ("sub=ana", PAYLOAD, &["sub"][..], "ana"),
            ("a.b=x=y", PAYLOAD, &["a.b"], "x=y"),
            ("sub=[x]=y", PAYLOAD, &["sub"], "[x]=y"),
            ("[a, b]=[x]=y", PAYLOAD, &["a", "b"], "[x]=y"),
            ("other:sub=", "other", &["sub"], ""),
            ("other:[a,b]=x", "other", &["a", "b"], "x"),
            ("[https://bank.example/id]=x", PAYLOAD, &["https://bank.example/id"], "x"),
        ] {
            let read = claim(text).unwrap();
            assert_eq!((read.payload.as_str(), read.value.as_str()), (payload, value), "{text}");
            assert_eq!(read.path, path, "{text}");
        }
        for text in ["sub", "=x", ":sub=x", "other:=x", "[]=x", "[a,]=x", "other[a]=x"] {
            assert!(claim(text).is_err(), "{text}");
        }
    }
}
