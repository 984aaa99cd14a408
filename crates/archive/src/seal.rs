use core::num::NonZeroU8;

use stratal_types::fields::{take, take_u32};

use crate::Error;

/// What a reader has to know before it can decrypt anything of a file: which cipher, which key, and
/// whether the key at hand is that one.
///
/// Header and contents carry it in the clear. This crate gives the fields no meaning, derives no keys
/// and encrypts nothing: sections come and go as the layer above made them.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field      unit / encoding
///      0     1  cipher     number given by the layer above; 0 if the file is in the clear
///      1     3  zero
///      4     4  epoch      u32 LE
///      8    32  salt
///     40    16  key_check
/// ```
///
/// All of it is zero in a file in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderSeal {
    /// The cipher, by the layer above's number.
    pub cipher: NonZeroU8,
    /// Which of the root keys the file's own key is derived from.
    pub epoch: u32,
    /// Random bytes that go into the file's own key.
    pub salt: [u8; 32],
    /// What tells the right key from a wrong one.
    pub key_check: [u8; 16],
}

impl HeaderSeal {
    /// Length on disk, in bytes.
    pub(crate) const LEN: usize = 56;

    /// Reads the fields, which stand at `offset`; `None` for a file in the clear.
    pub(crate) fn decode(fields: &[u8; Self::LEN], offset: u64) -> Result<Option<Self>, Error> {
        let malformed = |what| Err(Error::Malformed { offset, what });
        let mut rest = &fields[..];
        let [cipher, zeros @ ..] = take::<4>(&mut rest)?;
        let Some(cipher) = NonZeroU8::new(cipher) else {
            let is_zero = fields.iter().all(|&byte| byte == 0);
            return if is_zero { Ok(None) } else { malformed("a file in the clear has a seal") };
        };
        if zeros != [0; 3] {
            return malformed("reserved bytes of the seal are not zero");
        }
        let epoch = take_u32(&mut rest)?;
        let (salt, key_check) = (take(&mut rest)?, take(&mut rest)?);
        Ok(Some(Self { cipher, epoch, salt, key_check }))
    }

    /// The fields as they are stored; zeros for a file in the clear.
    pub(crate) fn encode(seal: Option<&Self>) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        if let Some(Self { cipher, epoch, salt, key_check }) = seal {
            let fields = [&[cipher.get(), 0, 0, 0], &epoch.to_le_bytes()[..], salt, key_check];
            for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
                *to = *from;
            }
        }
        bytes
    }
}
