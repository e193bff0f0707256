//! The wire: the protobuf package `pdp.v1` and the types generated from it.
//!
//! Beside it stands what is served of Envoy's API ([`ext_authz`]) and what is asked of etcd's ([`etcd`]).
//!
//! The files in `pdp/v1` are the reference for callers in every language; this crate holds what
//! `prost` and `tonic` make of them and nothing else. What the messages mean is decided by those
//! who receive them. `pdp.v1.binpb` is the committed descriptor set: a test holds the wire to it.

#![forbid(unsafe_code)]

/// The package `pdp.v1`: messages, clients and server traits.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        rustdoc::all,
        clippy::all,
        clippy::too_many_lines,
        reason = "generated code: the comments are those of the .proto files"
    )]

    tonic::include_proto!("pdp.v1");
}

/// The package `envoy.service.auth.v3`: what Envoy asks of an external authorization server, trimmed.
pub mod ext_authz {
    #![allow(
        missing_docs,
        unreachable_pub,
        rustdoc::all,
        clippy::all,
        clippy::too_many_lines,
        reason = "generated code: the comments are those of the .proto files"
    )]

    tonic::include_proto!("envoy.service.auth.v3");
}

/// etcd's API, trimmed: its packages by their names.
pub mod etcd {
    #![allow(
        missing_docs,
        unreachable_pub,
        rustdoc::all,
        clippy::all,
        clippy::too_many_lines,
        reason = "generated code: the comments are those of the .proto files"
    )]

    /// What lies under keys.
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }

    /// Services and their messages.
    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }
}

/// The compiled `pdp.v1` and the files it imports, as an encoded `google.protobuf.FileDescriptorSet`:
/// what server reflection tells.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pdp.v1.binpb"));
