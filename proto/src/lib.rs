//! The wire: .proto files and the types generated from them.
