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
    /// A claim of the token that the gateway verified, like `sub=ana`; `realm.user=ana` for one inside another; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = pair)]
    pub(crate) claim: Vec<(String, String)>,
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

/// Reads `name=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{}` gives nothing a value; write `name=value`", text.escape_debug())),
    }
}
