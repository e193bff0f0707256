//! HTTP/2 written by hand (RFC 9113), for clients that do what no library does, or that must cost little: the frames,
//! the bytes of a connection's beginning, and those of a gRPC request.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The longest payload that needs no leave (RFC 9113, 6.5.2).
pub(crate) const MAX_FRAME: usize = 16_384;

/// How many bytes the head of a frame has.
pub(crate) const HEAD: usize = 9;

/// What a client sends before anything else.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client sends first, and its settings, all as they are by default.
pub(crate) fn beginning() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    bytes
}

/// A request with its message, and the end of its stream.
pub(crate) fn request(stream: u32, authority: &str, path: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 200);
    // Nothing is remembered (RFC 7541, 6.2.2): each request is understood by itself.
    let fields = fields(authority, path, "application/grpc", [0x04, 0x01, 0x0f, 0x00]);
    frame(&mut bytes, HEADERS, END_HEADERS, stream, &fields);
    data(&mut bytes, stream, &enveloped(message));
    bytes
}

/// The beginning of a request whose header fields are promised to be so long and do not come.
pub(crate) fn promise_of_headers(stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    head(&mut bytes, length, HEADERS, 0, stream);
    bytes
}

/// A message as gRPC wraps it.
pub(crate) fn enveloped(message: &[u8]) -> Vec<u8> {
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    data.extend(message);
    data
}

/// The whole body of a stream, and its end.
pub(crate) fn data(bytes: &mut Vec<u8>, stream: u32, body: &[u8]) {
    let parts = body.chunks(MAX_FRAME);
    let last = parts.len();
    for (part, at) in parts.zip(1..) {
        let flags = if at == last { END_STREAM } else { 0 };
        frame(bytes, DATA, flags, stream, part);
    }
}

/// A whole frame.
pub(crate) fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    head(bytes, u32::try_from(payload.len()).unwrap_or(u32::MAX), kind, flags, stream);
    bytes.extend(payload);
}

fn head(bytes: &mut Vec<u8>, length: u32, kind: u8, flags: u8, stream: u32) {
    bytes.extend(length.to_be_bytes().iter().skip(1));
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
}

/// The header fields of a request that a peer remembers for those that follow (RFC 7541, 6.2.1), and what stands for
/// all of them then: they are the only ones that it is given to remember.
pub(crate) fn remembered(authority: &str, path: &str, content_type: &str) -> (Vec<u8>, [u8; 6]) {
    let first = fields(authority, path, content_type, [0x44, 0x41, 0x5f, 0x40]);
    // The last one is the first of those that are remembered, which come after the 61 that everybody knows.
    (first, [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe])
}

/// The header fields of a request; `how` says how the path, the authority, the type of its content and another one are
/// represented.
fn fields(authority: &str, path: &str, content_type: &str, how: [u8; 4]) -> Vec<u8> {
    // `:method POST` and `:scheme http` are in the static table.
    let mut block = vec![0x83, 0x86];
    let [of_path, of_authority, of_content, new] = how;
    literal(&mut block, &[of_path], path);
    literal(&mut block, &[of_authority], authority);
    // `content-type` is the 31st of the table, which takes two bytes where four bits are left for it.
    let of_content: &[u8] = if of_content == 0x0f { &[0x0f, 0x10] } else { &[of_content] };
    literal(&mut block, of_content, content_type);
    literal(&mut block, &[new, 0x02, b't', b'e'], "trailers");
    block
}

/// A header field; its value is cut to 126 bytes, whose length is one byte.
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
            at += HEAD + length;
        }
        assert_eq!(at, bytes.len());
        assert_eq!(seen.first().map(|it| (it.0, it.1)), Some((HEADERS, END_HEADERS)));
        let data =
            [(DATA, 0, MAX_FRAME), (DATA, 0, MAX_FRAME), (DATA, END_STREAM, 40_005 - 32_768)];
        assert_eq!(seen[1..], data);
    }
}
