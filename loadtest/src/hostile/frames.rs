//! HTTP/2 written by hand (RFC 9113), for clients that do what no library does: the bytes of a
//! connection's beginning and of a gRPC request, with header fields as literals (RFC 7541, 6.2.2).

/// What a client sends first, and its settings, all as they are by default.
pub(super) fn beginning() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    bytes
}

/// A request with its message, and the end of its stream.
pub(super) fn request(stream: u32, authority: &str, path: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 200);
    frame(&mut bytes, HEADERS, END_HEADERS, stream, &headers(authority, path));
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    data.extend(message);
    let parts = data.chunks(MAX_FRAME);
    let last = parts.len();
    for (part, at) in parts.zip(1..) {
        let flags = if at == last { END_STREAM } else { 0 };
        frame(&mut bytes, DATA, flags, stream, part);
    }
    bytes
}

/// The beginning of a request whose header fields are promised to be so long and do not come.
pub(super) fn promise_of_headers(stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    head(&mut bytes, length, HEADERS, 0, stream);
    bytes
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The longest payload that needs no leave (RFC 9113, 6.5.2).
const MAX_FRAME: usize = 16_384;

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    head(bytes, u32::try_from(payload.len()).unwrap_or(u32::MAX), kind, flags, stream);
    bytes.extend(payload);
}

fn head(bytes: &mut Vec<u8>, length: u32, kind: u8, flags: u8, stream: u32) {
    bytes.extend(length.to_be_bytes().iter().skip(1));
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
}

fn headers(authority: &str, path: &str) -> Vec<u8> {
    // `:method POST` and `:scheme http` are in the static table.
    let mut block = vec![0x83, 0x86];
    literal(&mut block, &[0x04], path);
    literal(&mut block, &[0x01], authority);
    // `content-type` is the 31st of the table, which takes two bytes.
    literal(&mut block, &[0x0f, 0x10], "application/grpc");
    literal(&mut block, &[0x00, 0x02, b't', b'e'], "trailers");
    block
}

/// A header field that is not remembered; its value is cut to 126 bytes, whose length is one byte.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    let value = value.as_bytes();
    let value = value.get(..126.min(value.len())).unwrap_or_default();
    block.extend(name);
    block.push(u8::try_from(value.len()).unwrap_or_default());
    block.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_several_frames_and_the_last_ends_the_stream() {
        let bytes = request(5, "a", "/s/m", &[7; 40_000]);
        let (mut at, mut seen) = (0, Vec::new());
        while at < bytes.len() {
            let length = u32::from_be_bytes([0, bytes[at], bytes[at + 1], bytes[at + 2]]) as usize;
            seen.push((bytes[at + 3], bytes[at + 4], length));
            assert_eq!(bytes[at + 5..at + 9], 5_u32.to_be_bytes());
            at += 9 + length;
        }
        assert_eq!(at, bytes.len());
        assert_eq!(seen.first().map(|it| (it.0, it.1)), Some((HEADERS, END_HEADERS)));
        let data =
            [(DATA, 0, MAX_FRAME), (DATA, 0, MAX_FRAME), (DATA, END_STREAM, 40_005 - 32_768)];
        assert_eq!(seen[1..], data);
    }
}
