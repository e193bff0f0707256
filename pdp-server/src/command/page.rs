//! The page of settings (`docs/configuration.md`) is what the command line itself says of them.
//! `PDP_RECORD_CONFIGURATION=1 cargo test -p pdp-server --bins` writes it anew.

use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use pdp_server::config::{Described, Settings, described};

use super::Cli;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

/// What stands around each part that is generated.
const MARKS: [(&str, &str); 2] = [("settings", "settings end"), ("commands", "commands end")];

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

/// The unit of a value and its bounds.
fn takes(setting: &Described) -> String {
    let unit = match setting.placeholder.as_str() {
        "ADDR" => "address with port",
        "BOOL" => "`true` or `false`",
        "BUNDLE" | "FILE" => "path of a file",
        "BYTES" => "bytes",
        "COUNT" => "number",
        "DIR" => "path of a folder",
        "MODE" => "octal mode",
        "MS" => "milliseconds",
        "SHARE" => "number, 0 to 1",
        "FILTER" | "FORMAT" | "NAMES" | "PARTS" | "TEXT" | "THREADS" | "TYPES" | "URL" | "URLS"
        | "WHERE" | "WHETHER" => "text",
        other => panic!("say what `{other}` stands for"),
    };
    match setting.bounds {
        Some((least, most)) => format!("{unit}, {least} to {most}"),
        None => unit.to_owned(),
    }
}

fn settings() -> String {
    let mut page = String::from(
        "| setting | flag | variable | default | takes | meaning |\n|---|---|---|---|---|---|\n",
    );
    for setting in described() {
        let row = [
            code(setting.name.unwrap_or_default()),
            code(&setting.flag),
            code(&setting.variable),
            code(setting.default.as_deref().unwrap_or_default()),
            takes(&setting),
            cell(&setting.meaning),
        ];
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page
}

fn own_arguments(command: &Command, called: &str, rows: &mut Vec<String>) {
    let takes_settings = command.get_arguments().any(|argument| argument.get_id() == "config");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    if !command.has_subcommands() {
        let settings = if takes_settings { "every setting" } else { "" };
        rows.push(format!("| `{called}` | {settings} | | | {} |", cell(&about)));
    }
    let is_setting = |argument: &Arg| {
        let id = argument.get_id().as_str();
        takes_settings && (id == "config" || Settings::names().contains(&id))
    };
    for argument in command.get_arguments().filter(|argument| !is_setting(argument)) {
        let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long))
        else {
            continue;
        };
        let variable = argument.get_env().unwrap_or_default().to_string_lossy().into_owned();
        let defaults = argument.get_default_values().iter();
        let default: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        rows.push(format!(
            "| | `--{long}` | {} | {} | {} |",
            code(&variable),
            code(&default.concat()),
            cell(&help)
        ));
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        own_arguments(below, &format!("{called} {}", below.get_name()), rows);
    }
}

fn commands() -> String {
    let mut rows = Vec::new();
    own_arguments(&Cli::command(), "pdp-server", &mut rows);
    let head = "| command | flag | variable | default | meaning |\n|---|---|---|---|---|\n";
    format!("{head}{}\n", rows.join("\n"))
}

/// The page with its generated parts made anew.
fn renewed(page: &str) -> String {
    let parts = [settings(), commands()];
    MARKS.iter().zip(parts).fold(page.to_owned(), |page, ((begin, end), part)| {
        let (begin, end) = (format!("<!-- {begin} -->\n"), format!("<!-- {end} -->\n"));
        let (before, rest) = page.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        format!("{before}{begin}\n{part}\n{end}{after}")
    })
}

#[test]
fn the_page_of_settings_is_what_the_command_line_says() {
    let page = std::fs::read_to_string(Path::new(PAGE)).unwrap();
    let renewed = renewed(&page);
    if std::env::var_os("PDP_RECORD_CONFIGURATION").is_some() {
        std::fs::write(PAGE, renewed).unwrap();
        return;
    }
    let differ = page.lines().zip(renewed.lines()).find(|(is, should)| is != should);
    assert!(
        page == renewed,
        "docs/configuration.md is not what the code says: {differ:?}; \
         PDP_RECORD_CONFIGURATION=1 cargo test -p pdp-server --bins writes it"
    );
}

#[test]
fn every_setting_has_a_flag_and_a_variable_of_its_name() {
    for setting in described() {
        let name = setting.name.unwrap_or("config");
        assert_eq!(setting.flag, format!("--{}", name.replace('_', "-")));
        assert_eq!(setting.variable, format!("PDP_{}", name.to_uppercase()));
        assert!(!setting.meaning.is_empty() && !setting.placeholder.is_empty(), "{name}");
    }
    let named: Vec<_> = described().iter().filter_map(|setting| setting.name).collect();
    assert_eq!(named, Settings::names());
}
