//! Compiles the .proto files with `protox`, so that no system protoc is needed.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const FILES: [&str; 6] = [
    "pdp/v1/audit.proto",
    "pdp/v1/decision.proto",
    "pdp/v1/facts.proto",
    "pdp/v1/policy.proto",
    "pdp/v1/session.proto",
    "pdp/v1/tenant.proto",
];

/// Of another project: served, and not told by reflection, as its own files say more than these.
const ENVOY: [&str; 1] = ["envoy/service/auth/v3/external_auth.proto"];

/// Of another project, too: asked, and never served.
const ETCD: [&str; 2] = ["etcd/kv.proto", "etcd/rpc.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    writeln!(std::io::stdout(), "cargo::rerun-if-changed=pdp")?;
    writeln!(std::io::stdout(), "cargo::rerun-if-changed=envoy")?;
    writeln!(std::io::stdout(), "cargo::rerun-if-changed=etcd")?;
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);

    // What servers tell by reflection, and what the committed descriptor set is compared with:
    // without comments, so that a better comment is not a change of the wire.
    let described = compile(&FILES, false)?;
    std::fs::write(out_dir.join("pdp.v1.binpb"), described.encode_to_vec())?;

    for files in [&FILES[..], &ENVOY] {
        tonic_prost_build::configure()
            .build_transport(false)
            .emit_rerun_if_changed(false)
            .compile_fds(compile(files, true)?)?;
    }
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(false)
        .emit_rerun_if_changed(false)
        .bytes(".etcdserverpb")
        .bytes(".mvccpb")
        .compile_fds(compile(&ETCD, true)?)?;
    Ok(())
}

fn compile(files: &[&str], comments: bool) -> Result<FileDescriptorSet, protox::Error> {
    let mut compiler = protox::Compiler::new([Path::new(".")])?;
    compiler.include_source_info(comments).include_imports(true).open_files(files)?;
    Ok(compiler.file_descriptor_set())
}
