//! Holds the wire to the committed descriptor set, `pdp.v1.binpb`.
//!
//! Nothing that callers may rely on is ever removed, renumbered, renamed or retyped. Additions are
//! recorded, so that from then on they are held too:
//!
//! ```text
//! PDP_RECORD_DESCRIPTORS=1 cargo test -p pdp-proto --test wire
//! ```

#![expect(clippy::unwrap_used, reason = "a failed look-up is a failed test")]

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pdp.v1.binpb");
const RECORD: &str = "PDP_RECORD_DESCRIPTORS";

#[test]
fn nothing_recorded_is_lost_and_everything_is_recorded() {
    let current = lines_of(pdp_proto::FILE_DESCRIPTOR_SET);
    let committed = std::fs::read(COMMITTED).map(|bytes| lines_of(&bytes)).unwrap_or_default();
    let lost: Vec<_> = committed.difference(&current).collect();
    assert!(lost.is_empty(), "the wire lost or changed what callers rely on: {lost:#?}");
    let added: Vec<_> = current.difference(&committed).collect();
    if added.is_empty() {
        return;
    }
    assert!(
        std::env::var_os(RECORD).is_some(),
        "additions that are not recorded yet (run this test with {RECORD}=1): {added:#?}"
    );
    std::fs::write(COMMITTED, pdp_proto::FILE_DESCRIPTOR_SET).unwrap();
}

#[test]
fn each_kind_of_breaking_change_is_seen() {
    let base = FileDescriptorSet::decode(pdp_proto::FILE_DESCRIPTOR_SET).unwrap();
    let before = lines_of(&base.encode_to_vec());
    let breaks = |name: &str, change: &dyn Fn(&mut FileDescriptorSet)| {
        let mut changed = base.clone();
        change(&mut changed);
        let after = lines_of(&changed.encode_to_vec());
        assert!(before.difference(&after).next().is_some(), "not seen: {name}");
    };
    breaks("a removed field", &|set| drop(message(set, "Question").field.remove(0)));
    breaks("a renumbered field", &|set| message(set, "Question").field[0].number = Some(99));
    breaks("a renamed field", &|set| message(set, "Question").field[0].name = Some("who".into()));
    breaks("a retyped field", &|set| {
        message(set, "CheckRequest").field[2].set_type(Type::Int64);
    });
    breaks("a field that became repeated", &|set| {
        message(set, "CheckRequest").field[1].set_label(Label::Repeated);
    });
    breaks("a field that left its oneof", &|set| {
        message(set, "Subject").field[0].oneof_index = None;
    });
    breaks("a field whose absence is not told any more", &|set| {
        let messages = &mut file(set, "pdp/v1/policy.proto").message_type;
        let apply = messages.iter_mut().find(|message| message.name() == "ApplyRequest").unwrap();
        for field in &mut apply.field {
            (field.proto3_optional, field.oneof_index) = (None, None);
        }
    });
    breaks("a removed message", &|set| {
        file(set, "pdp/v1/decision.proto").message_type.retain(|m| m.name() != "Explanation");
    });
    breaks("a renumbered enum value", &|set| {
        file(set, "pdp/v1/decision.proto").enum_type[0].value[1].number = Some(9);
    });
    breaks("a removed enum value", &|set| {
        drop(file(set, "pdp/v1/decision.proto").enum_type[0].value.remove(1));
    });
    breaks("a removed RPC", &|set| {
        drop(file(set, "pdp/v1/policy.proto").service[0].method.remove(0));
    });
    breaks("an RPC that stopped streaming", &|set| {
        for method in &mut file(set, "pdp/v1/policy.proto").service[0].method {
            method.server_streaming = None;
        }
    });
}

#[test]
fn every_element_is_documented() {
    // Cargo builds the crate from these files; reading them again keeps comments out of the
    // descriptor set that reflection tells.
    let ours = ["audit", "decision", "facts", "policy", "session", "tenant"];
    let ours = ours.map(|name| format!("pdp/v1/{name}"));
    for path in ours.into_iter().chain(["envoy/service/auth/v3/external_auth".to_owned()]) {
        let path = format!("{}/{path}.proto", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let mut before = "";
        for line in text.lines().map(str::trim) {
            let declares = line.ends_with('{') || line.contains(" = ") || line.starts_with("rpc ");
            let comment = line.starts_with("//") || line.starts_with("syntax");
            if declares && !comment {
                assert!(before.starts_with("//"), "{path}: no comment above `{line}`");
            }
            before = line;
        }
    }
}

fn file<'a>(
    set: &'a mut FileDescriptorSet,
    name: &str,
) -> &'a mut prost_types::FileDescriptorProto {
    set.file.iter_mut().find(|file| file.name() == name).unwrap()
}

fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    let messages = &mut file(set, "pdp/v1/decision.proto").message_type;
    messages.iter_mut().find(|message| message.name() == name).unwrap()
}

/// One line for everything that a caller may rely on.
fn lines_of(encoded: &[u8]) -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(encoded).unwrap();
    let mut lines = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("pdp.")) {
        let package = format!(".{}", file.package());
        for message in &file.message_type {
            message_lines(&package, message, &mut lines);
        }
        for item in &file.enum_type {
            enum_lines(&package, item, &mut lines);
        }
        for service in &file.service {
            service_lines(&package, service, &mut lines);
        }
    }
    lines
}

fn message_lines(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    lines.insert(format!("message {name}"));
    for field in &message.field {
        lines.insert(field_line(&name, message, field));
        // Absence that is told from emptiness may be added, and then stays.
        if field.proto3_optional() {
            lines.insert(format!("presence {name}.{}", field.name()));
        }
    }
    for range in &message.reserved_range {
        lines.insert(format!("reserved {name} = {}..{}", range.start(), range.end()));
    }
    for nested in &message.nested_type {
        message_lines(&name, nested, lines);
    }
    for item in &message.enum_type {
        enum_lines(&name, item, lines);
    }
}

fn field_line(scope: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let oneof = field
        .oneof_index
        .filter(|_| !field.proto3_optional())
        .and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?))
        .map_or("", |oneof| oneof.name());
    format!(
        "field {scope}.{} = {} {} {} {} oneof `{oneof}` json `{}`",
        field.name(),
        field.number(),
        field.label().as_str_name(),
        field.r#type().as_str_name(),
        field.type_name(),
        field.json_name(),
    )
}

fn enum_lines(scope: &str, item: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", item.name());
    lines.insert(format!("enum {name}"));
    for value in &item.value {
        lines.insert(format!("value {name}.{} = {}", value.name(), value.number()));
    }
}

fn service_lines(scope: &str, service: &ServiceDescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", service.name());
    lines.insert(format!("service {name}"));
    for method in &service.method {
        lines.insert(format!(
            "rpc {name}.{} ({} stream {}) returns ({} stream {})",
            method.name(),
            method.input_type(),
            method.client_streaming(),
            method.output_type(),
            method.server_streaming(),
        ));
    }
}
