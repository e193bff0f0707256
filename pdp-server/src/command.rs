//! The commands of `pdp-server`: what each of them runs.

#[cfg(test)]
mod page;
mod place;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use pdp_server::audit::Verified;
use pdp_server::backup::{Running, compact, of_running, of_stopped};
use pdp_server::callers::NewKey;
use pdp_server::clock::Clock;
use pdp_server::config::{Config, Given, Settings, unknown};
use pdp_server::demo::Demo;
use pdp_server::replica::Replica;
use pdp_server::store::Store;
use pdp_server::{Listeners, run, telemetry};
use tokio::signal;

/// What is said of a variable that looks like a setting.
const NAMES_NONE: &str = "names no setting; `pdp-server config` prints those that there are";

/// A policy decision point: answers "may this subject do this?" from a compiled policy.
#[derive(Debug, Parser)]
#[command(name = "pdp-server", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve decisions
    Serve(Given),
    /// Print the settings that `serve` would use, as a settings file
    Config(Given),
    /// Serve a bank's policy from a temporary folder, and tell a few decisions
    Demo(Addresses),
    /// Make a key for a caller: prints it, once, and the entry of the file of callers
    Key,
    /// Read the audit of a server that is stopped
    #[command(subcommand)]
    Audit(Audit),
    /// Write everything that a server holds into one file, whether it runs or not
    Backup(Backup),
    /// Make a data folder of a backup
    Restore(Restore),
    /// Give unused space in a server's file back, of one that is stopped or of one that runs
    Compact(Of),
    /// Begin a log in etcd, for servers to share, with the data folder of a stopped server
    Migrate(Given),
    /// Make the data folder of a stopped server that shared a log in etcd one of its own
    Leave(Stopped),
}

/// Which server.
#[derive(Debug, Args)]
struct Of {
    /// The data folder of a server that is stopped; that of `PDP_DATA` where neither is said
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The HTTP door of a server that runs, such as `http://127.0.0.1:7071`
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    server: Option<String>,
    /// File with the key or token of a caller who has the role `admin` for every tenant
    #[arg(long, env = "PDP_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the certificates that vouch for the server's
    #[arg(long, env = "PDP_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Backup {
    #[command(flatten)]
    of: Of,
    /// The backup, which must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Restore {
    /// The new data folder: empty, or not there yet, unless `--replace` is said
    #[arg(long, env = "PDP_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Take the place of what the folder has: with its next start where a server runs on it. What is there is kept
    #[arg(long)]
    replace: bool,
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Verify every chain of records: exit status 1 if one is not as it was written
    Verify(Stopped),
}

#[derive(Debug, Args)]
struct Stopped {
    /// The server's data folder
    #[arg(long, env = "PDP_DATA", value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct Addresses {
    /// Address of the gRPC door
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    grpc: std::net::SocketAddr,
    /// Address of the HTTP door: health and metrics
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7071")]
    http: std::net::SocketAddr,
}

// === impl Cli ===

impl Cli {
    /// What the command line says. Whoever writes it wrongly is told, and where it stands.
    pub(crate) fn given() -> Self {
        Self::try_parse().unwrap_or_else(|error| place::told(error, &Self::command()).exit())
    }

    /// Runs the command that was given.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(given) => {
                let config = given.into_config()?;
                let listeners = Listeners::bind(&config)?;
                serve(config, listeners)
            }
            Command::Config(given) => {
                let config = given.into_config()?;
                for variable in unknown_variables() {
                    // Where standard error is gone there is nobody to tell.
                    writeln!(std::io::stderr(), "pdp-server: {variable} {NAMES_NONE}").ok();
                }
                say(&config.to_string())
            }
            Command::Demo(Addresses { grpc, http }) => demo(Settings {
                grpc: Some(grpc),
                http: Some(http),
                log: Some("warn".to_owned()),
                ..Settings::default()
            }),
            Command::Key => {
                let key = NewKey::draw().context("the operating system gives no random bytes")?;
                say(&format!("{}\n{}\n", key.secret(), key.entry()))
            }
            Command::Audit(Audit::Verify(Stopped { data })) => verify(&data),
            Command::Backup(backup) => backup.run(),
            Command::Restore(Restore { data, replace: false, file }) => {
                let rows = Store::restore(&file, &data)?;
                say(&format!("{rows} rows are restored into `{}`\n", data.display()))
            }
            Command::Restore(Restore { data, replace: true, file }) => {
                let rows = Store::restore_over(&file, &data)?;
                let data = data.display();
                say(&format!(
                    "{rows} rows are restored beside what `{data}` has, and take its place with the next start on it: \
                     restart a server that runs. What is there then is kept as `pdp.redb.replaced`\n"
                ))
            }
            Command::Migrate(given) => migrate(&given.into_config()?),
            Command::Leave(Stopped { data }) => {
                Store::open_existing(&data)?.leave_log()?;
                say(&format!("`{}` follows no log any more\n", data.display()))
            }
            Command::Compact(of) => {
                let bytes = match of.place()? {
                    Place::Stopped(data) => Store::compact(&data)?,
                    Place::Running(running) => waited(compact(&running))??,
                };
                say(&format!("the store is {bytes} bytes shorter\n"))
            }
        }
    }
}

/// Where a store is.
enum Place {
    Stopped(PathBuf),
    Running(Running),
}

// === impl Of ===

impl Of {
    fn place(self) -> anyhow::Result<Place> {
        let Self { data, server, token_file, ca } = self;
        let server = match (data, server) {
            (_, Some(server)) => server,
            (Some(data), None) => return Ok(Place::Stopped(data)),
            (None, None) => match std::env::var_os("PDP_DATA") {
                Some(data) => return Ok(Place::Stopped(data.into())),
                None => anyhow::bail!("say --data or --server"),
            },
        };
        let read = |path: PathBuf| {
            let token = std::fs::read_to_string(&path);
            let token = token.with_context(|| format!("cannot read `{}`", path.display()));
            token.map(|token| token.trim().to_owned())
        };
        let token = token_file.map(read).transpose()?;
        Ok(Place::Running(Running { server, token, ca }))
    }
}

// === impl Backup ===

impl Backup {
    fn run(self) -> anyhow::Result<()> {
        let Self { of, file } = self;
        let rows = match of.place()? {
            Place::Running(running) => waited(of_running(&running, &file))??,
            Place::Stopped(data) => of_stopped(&data, &file)?,
        };
        say(&format!("{rows} rows are in `{}`\n", file.display()))
    }
}

/// Runs what waits for others.
fn waited<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("the threads cannot be started")?.block_on(future))
}

/// Begins a log in etcd with what a stopped server's store has.
fn migrate(config: &Config) -> anyhow::Result<()> {
    let Config { data, etcd, .. } = config;
    anyhow::ensure!(!etcd.endpoints.is_empty(), "say --etcd-endpoints");
    let store = Store::open_existing(data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    let (shown, prefix) = (data.display(), &etcd.prefix);
    match Replica::new(etcd, runtime.handle())?.migrate(&store)? {
        0 => say(&format!("etcd has the policy of `{shown}` below `{prefix}` already\n")),
        bytes => {
            say(&format!("etcd has the policy of `{shown}` below `{prefix}`: {bytes} bytes\n"))
        }
    }
}

/// Says of every chain whether it is as it was written.
fn verify(data: &Path) -> anyhow::Result<()> {
    let verified = Store::open_existing(data)?.verify_audits()?;
    let mut broken = 0;
    for (chain, Verified { records, head, broken: problem }) in &verified {
        let count =
            if *records == 1 { "1 record".to_owned() } else { format!("{records} records") };
        match problem {
            None => say(&format!("{chain}: {count}, head {head}\n"))?,
            Some(problem) => {
                broken += 1;
                say(&format!("{chain}: BROKEN: {problem}; {count} before it, head {head}\n"))?;
            }
        }
    }
    anyhow::ensure!(broken == 0, "{broken} of {} chains are broken", verified.len());
    Ok(())
}

fn demo(settings: Settings) -> anyhow::Result<()> {
    let demo = Demo::set_up(settings)?;
    let listeners = Listeners::bind(&demo.config)?;
    say(&Demo::decisions(Clock::system().now())?)?;
    say(&Demo::hints(listeners.grpc_address()?, listeners.http_address()?))?;
    // The folder goes with `demo`, after the server.
    serve(demo.config.clone(), listeners)
}

/// Runs a server until Ctrl-C or SIGTERM.
fn serve(config: Config, listeners: Listeners) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the threads cannot be started")?;
    let served = runtime.block_on(async {
        let telemetry = telemetry::install(&config)?;
        for variable in unknown_variables() {
            tracing::warn!(variable, "{NAMES_NONE}");
        }
        let shutdown = shutdown_signal()?;
        let served = run(config, listeners, Clock::system(), shutdown).await;
        tokio::task::spawn_blocking(|| telemetry.finish()).await.ok();
        Ok(served?)
    });
    // What is still at work, such as a load that was told to stop, does not hold the process.
    runtime.shutdown_background();
    served
}

/// Variables of this process that look like settings and are none.
fn unknown_variables() -> Vec<String> {
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown(variables)
}

fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be received")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be received")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output is closed")
}
