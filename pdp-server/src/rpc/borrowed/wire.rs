//! Protobuf's wire format, as far as reading needs it: keys, numbers, lengths, and what to skip.
//! Follows <https://protobuf.dev/programming-guides/encoding/>.

/// How deep messages and groups may be nested, as in `prost`.
pub(super) const DEPTH: u32 = 100;

/// The longest number: ten groups of seven bits.
const LONGEST_NUMBER: usize = 10;

/// These bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Eight,
    Delimited,
    Begin,
    End,
    Four,
}

/// What is left of a message.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// How deep what is in here may be nested.
    depth: u32,
}

/// Reads a message field by field. `field` reads the value of one that it knows, and leaves one that it
/// does not know to be skipped.
#[inline]
pub(super) fn fields<'a>(
    bytes: &'a [u8],
    depth: u32,
    mut field: impl FnMut(u32, Kind, &mut Reader<'a>) -> Result<bool, Unreadable>,
) -> Result<(), Unreadable> {
    let mut from = Reader { bytes, depth };
    while !from.bytes.is_empty() {
        let (tag, kind) = from.key()?;
        if !field(tag, kind, &mut from)? {
            from.skip(tag, kind, depth)?;
        }
    }
    Ok(())
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// The value of a text field.
    #[inline]
    pub(super) fn text(&mut self, kind: Kind) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.delimited(kind)?).map_err(|_| Unreadable)
    }

    /// The value of a number's field.
    #[inline]
    pub(super) fn number(&mut self, kind: Kind) -> Result<u64, Unreadable> {
        if kind != Kind::Number {
            return Err(Unreadable);
        }
        self.varint()
    }

    /// The value of a message's field, merged with what there is.
    #[inline]
    pub(super) fn message<M>(
        &mut self,
        kind: Kind,
        into: &mut M,
        field: impl Fn(&mut M, u32, Kind, &mut Self) -> Result<bool, Unreadable>,
    ) -> Result<(), Unreadable> {
        let bytes = self.delimited(kind)?;
        let depth = self.depth.checked_sub(1).ok_or(Unreadable)?;
        fields(bytes, depth, |tag, kind, from| field(into, tag, kind, from))
    }

    #[inline]
    fn delimited(&mut self, kind: Kind) -> Result<&'a [u8], Unreadable> {
        if kind != Kind::Delimited {
            return Err(Unreadable);
        }
        let length = usize::try_from(self.varint()?).map_err(|_| Unreadable)?;
        self.take(length)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Unreadable)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, Kind), Unreadable> {
        let key = u32::try_from(self.varint()?).map_err(|_| Unreadable)?;
        let kind = match key & 7 {
            0 => Kind::Number,
            1 => Kind::Eight,
            2 => Kind::Delimited,
            3 => Kind::Begin,
            4 => Kind::End,
            5 => Kind::Four,
            _ => return Err(Unreadable),
        };
        match key >> 3 {
            0 => Err(Unreadable),
            tag => Ok((tag, kind)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Unreadable> {
        // Most are one byte.
        match self.bytes.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.bytes = rest;
                Ok(byte.into())
            }
            Some(_) => self.long_varint(),
            None => Err(Unreadable),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for at in 0..LONGEST_NUMBER {
            let (&byte, rest) = self.bytes.split_first().ok_or(Unreadable)?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7F) << (7 * at);
            if byte < 0x80 {
                // Of the last group only one bit is within 64.
                let fits = at + 1 < LONGEST_NUMBER || byte < 2;
                return if fits { Ok(number) } else { Err(Unreadable) };
            }
        }
        Err(Unreadable)
    }

    fn skip(&mut self, tag: u32, kind: Kind, depth: u32) -> Result<(), Unreadable> {
        let within = depth.checked_sub(1).ok_or(Unreadable)?;
        match kind {
            Kind::Number => self.varint().map(drop),
            Kind::Four => self.take(4).map(drop),
            Kind::Eight => self.take(8).map(drop),
            Kind::Delimited => self.delimited(kind).map(drop),
            Kind::Begin => loop {
                match self.key()? {
                    (inner, Kind::End) if inner == tag => return Ok(()),
                    (_, Kind::End) => return Err(Unreadable),
                    (inner, kind) => self.skip(inner, kind, within)?,
                }
            },
            Kind::End => Err(Unreadable),
        }
    }
}
