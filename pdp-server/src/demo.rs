//! The demo: a bank's policy in a folder that is gone afterwards, a few decisions told at length,
//! and a server to ask for more.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use pdp_bundle::BundleError;
use pdp_bundle::question::{FormError, OwnedObject, OwnedQuestion, OwnedSubject};
use pdp_bundle::render::render_explanation;
use pdp_engine::compile::compile;
use pdp_engine::explain::explain;
use pdp_engine::facts::{Facts, Rejected};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Malformed, Revision};
use pdp_engine::time::Timestamp;
use tempfile::TempDir;

use crate::config::{Config, ConfigError, Settings};

/// The policy of the demo, a bundle.
pub const ORGANISATION: &str = include_str!("../demo/organisation.yaml");

const BUNDLE_NAME: &str = "organisation.yaml";

/// What is asked, and why it is worth asking: subject, operation, resource, counterpart.
const QUESTIONS: [(&str, [&str; 3], Option<&str>); 4] = [
    (
        "An adviser writes a report of her own branch.",
        ["person:lea", "Edit", "Report:client-portfolio"],
        None,
    ),
    (
        "She may not publish it: for advisers that is switched off.",
        ["person:lea", "Publish", "Report:client-portfolio"],
        None,
    ),
    (
        "A contractor works on the payroll, and nothing lets her export it.",
        ["person:yara", "Export", "Report:payroll"],
        None,
    ),
    (
        "To let somebody read a report takes the operation on both of them.",
        ["person:noor", "AddPersonToReader", "Report:absence"],
        Some("Person:lea"),
    ),
];

/// A demo that is set up: its folder, which is removed when this is dropped, and its settings.
#[derive(Debug)]
pub struct Demo {
    /// The settings to run a server with.
    pub config: Config,
    folder: TempDir,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The temporary folder.
    #[error("the temporary folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bundle.
    #[error("{0}")]
    Bundle(#[from] BundleError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] Rejected),
    /// A question.
    #[error(transparent)]
    Question(#[from] FormError),
    /// A question that is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

// === impl Demo ===

impl Demo {
    /// Sets the demo up in a folder of its own. Of the settings, only addresses and telemetry are
    /// the caller's to choose.
    ///
    /// # Errors
    /// [`DemoError`] if there is no place for it, or an address is not allowed.
    pub fn set_up(settings: Settings) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new().prefix("pdp-demo-").tempdir()?;
        let bundle = folder.path().join(BUNDLE_NAME);
        std::fs::write(&bundle, ORGANISATION)?;
        let own = Settings {
            data: Some(folder.path().join("data")),
            load: Some(bundle),
            grace_ms: Some(0),
            ..Settings::default()
        };
        let config = own.or(settings).into_config(None)?;
        Ok(Self { config, folder })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A few decisions with their explanations, as text.
    ///
    /// # Errors
    /// None in practice: the policy and the questions come with the server, and a test asks them.
    pub fn decisions(now: Timestamp) -> Result<String, DemoError> {
        let bundle = pdp_bundle::parse(BUNDLE_NAME, ORGANISATION)?;
        let mut facts = Facts::default();
        facts.apply(&bundle.changes())?;
        let snapshot = compile(&facts, Revision::new(1));
        let mut text = String::new();
        for (about, [subject, operation, resource], counterpart) in QUESTIONS {
            let mut question = OwnedQuestion::new(
                OwnedSubject::parse(subject)?,
                PermissionKind::Operation,
                operation,
                OwnedObject::parse(resource)?,
            );
            question.counterpart = counterpart.map(OwnedObject::parse).transpose()?;
            let explanation = explain(&snapshot, &question.as_question(), now)?;
            let told = render_explanation(&explanation, &question);
            // Writing to a string does not fail.
            writeln!(text, "# {about}\n{told}\n").ok();
        }
        Ok(text)
    }

    /// What to do next, as text.
    #[must_use]
    pub fn hints(grpc: SocketAddr, http: SocketAddr) -> String {
        let server = match grpc.port() {
            7070 if grpc.ip().is_loopback() => String::new(),
            _ => format!(" --server http://{grpc}"),
        };
        format!(
            "Serving gRPC on {grpc} and HTTP on {http}. Try, in another terminal\n\
             (`cargo install --path pdp-client/cli` makes pdpctl):\n\
             \n\
             \x20   pdpctl{server} check person:lea Edit Report:client-portfolio\n\
             \x20   pdpctl{server} explain person:yara Export Report:payroll\n\
             \x20   pdpctl{server} explain person:greta vault:modify_password SshKey:db-01-root\n\
             \x20   pdpctl{server} check person:dario session:local-admin Computer:web-07\n\
             \x20   pdpctl{server} list subjects Export Report:payroll\n\
             \x20   pdpctl{server} export\n\
             \x20   curl http://{http}/metrics\n\
             \n\
             Everything lives in a temporary folder; Ctrl-C ends the demo and removes it.\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_something_to_tell() {
        let text = Demo::decisions(Timestamp::from_micros(1_780_304_400_000_000)).unwrap();
        for said in [
            "ALLOW GRANTED",
            "DENY DISABLED",
            "DENY EXPLICIT_DENY",
            "REQUIRES_APPROVAL MISSING_ON_COUNTERPART",
            "externals-no-export",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn the_folder_goes_with_the_demo() {
        let demo = Demo::set_up(Settings::default()).unwrap();
        let folder = demo.folder().to_owned();
        assert!(folder.join(BUNDLE_NAME).exists());
        drop(demo);
        assert!(!folder.exists());
    }
}
