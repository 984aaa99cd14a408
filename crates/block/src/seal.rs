use crate::Error;
#[cfg(doc)]
use crate::FileKey;

/// Whether a block is encrypted, and with what. Both take 16 bytes for a tag.
///
/// The key is the file's ([`FileKey`]); the nonce is the block's ordinal, which is why no two
/// different payloads may ever be sealed under one file and ordinal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Seal {
    /// Not at all.
    #[default]
    None,
    /// AES-256 in Galois/Counter mode (NIST SP 800-38D). Needs the `aes-gcm` feature.
    Aes256Gcm,
    /// `ChaCha20` and Poly1305 (RFC 8439): faster where the processor has no instructions for AES.
    /// Needs the `chacha20poly1305` feature.
    ChaCha20Poly1305,
}

/// Length of a key, in bytes.
pub(crate) const KEY_LEN: usize = 32;

pub(crate) type Nonce = [u8; 12];
pub(crate) type Tag = [u8; 16];

impl Seal {
    /// The number on disk. Never renumbered; retired numbers stay retired.
    pub const fn tag(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    /// The seal with this number on disk.
    pub const fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0 => Self::None,
            1 => Self::Aes256Gcm,
            2 => Self::ChaCha20Poly1305,
            _ => return None,
        })
    }

    /// Bytes that it adds to what it encrypts.
    pub const fn overhead(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 16,
        }
    }

    /// Fails unless its provider is compiled in.
    pub(crate) const fn supported(self) -> Result<Self, Error> {
        match self {
            Self::Aes256Gcm if cfg!(not(feature = "aes-gcm")) => Err(unsupported("aes-gcm")),
            Self::ChaCha20Poly1305 if cfg!(not(feature = "chacha20poly1305")) => {
                Err(unsupported("chacha20poly1305"))
            }
            _ => Ok(self),
        }
    }
}

const fn unsupported(what: &'static str) -> Error {
    let seal = match what.as_bytes() {
        b"aes-gcm" => Seal::Aes256Gcm,
        b"chacha20poly1305" => Seal::ChaCha20Poly1305,
        _ => Seal::None,
    };
    Error::Unsupported { what, found: seal.tag() as u32 }
}

/// One key, ready for each cipher that is compiled in. Overwritten when dropped.
pub(crate) struct Ciphers {
    aes: aes::Cipher,
    chacha: chacha::Cipher,
}

impl Ciphers {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self { aes: aes::Cipher::new(key), chacha: chacha::Cipher::new(key) }
    }

    /// Encrypts `bytes` where they lie; returns the tag.
    pub(crate) fn encrypt(
        &self,
        seal: Seal,
        nonce: &Nonce,
        aad: &[u8],
        bytes: &mut [u8],
    ) -> Result<Tag, Error> {
        match seal {
            Seal::None => Err(unsupported("no seal")),
            Seal::Aes256Gcm => self.aes.encrypt(nonce, aad, bytes),
            Seal::ChaCha20Poly1305 => self.chacha.encrypt(nonce, aad, bytes),
        }
    }

    /// Decrypts `sealed`, which ends with a tag, to `out`, which is shorter by that; says whether
    /// the tag holds. If not, `out` is not to be looked at.
    pub(crate) fn decrypt(
        &self,
        seal: Seal,
        nonce: &Nonce,
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<bool, Error> {
        let Some((sealed, tag)) = sealed.split_last_chunk() else { return Ok(false) };
        match seal {
            Seal::None => Ok(false),
            Seal::Aes256Gcm => self.aes.decrypt(nonce, aad, sealed, tag, out),
            Seal::ChaCha20Poly1305 => self.chacha.decrypt(nonce, aad, sealed, tag, out),
        }
    }
}

/// A cipher of this crate's own making around one that a feature brings, or what stands in its
/// place.
macro_rules! provider {
    ($module:ident, $feature:literal, $cipher:path, $aead:path) => {
        #[cfg(feature = $feature)]
        mod $module {
            use aead::{AeadInOut as _, KeyInit as _, inout::InOutBuf};
            use $aead as aead;

            use super::{Error, KEY_LEN, Nonce, Tag};

            pub(super) struct Cipher($cipher);

            impl Cipher {
                pub(super) fn new(key: &[u8; KEY_LEN]) -> Self {
                    Self(<$cipher>::new(key.into()))
                }

                pub(super) fn encrypt(
                    &self,
                    nonce: &Nonce,
                    aad: &[u8],
                    bytes: &mut [u8],
                ) -> Result<Tag, Error> {
                    let tag = self.0.encrypt_inout_detached(nonce.into(), aad, bytes.into());
                    tag.map(Into::into).map_err(|_| Error::TooLong {
                        field: "payload to encrypt",
                        len: bytes.len() as u64,
                        limit: u32::MAX.into(),
                    })
                }

                pub(super) fn decrypt(
                    &self,
                    nonce: &Nonce,
                    aad: &[u8],
                    sealed: &[u8],
                    tag: &Tag,
                    out: &mut [u8],
                ) -> Result<bool, Error> {
                    let Ok(bytes) = InOutBuf::new(sealed, out) else { return Ok(false) };
                    let outcome =
                        self.0.decrypt_inout_detached(nonce.into(), aad, bytes, tag.into());
                    Ok(outcome.is_ok())
                }
            }
        }

        #[cfg(not(feature = $feature))]
        mod $module {
            use super::{Error, KEY_LEN, Nonce, Tag, unsupported};

            pub(super) struct Cipher;

            impl Cipher {
                pub(super) const fn new(_: &[u8; KEY_LEN]) -> Self {
                    Self
                }

                pub(super) const fn encrypt(
                    &self,
                    _: &Nonce,
                    _: &[u8],
                    _: &mut [u8],
                ) -> Result<Tag, Error> {
                    Err(unsupported($feature))
                }

                pub(super) const fn decrypt(
                    &self,
                    _: &Nonce,
                    _: &[u8],
                    _: &[u8],
                    _: &Tag,
                    _: &mut [u8],
                ) -> Result<bool, Error> {
                    Err(unsupported($feature))
                }
            }
        }
    };
}

provider!(aes, "aes-gcm", aes_gcm::Aes256Gcm, aes_gcm::aead);
provider!(chacha, "chacha20poly1305", chacha20poly1305::ChaCha20Poly1305, chacha20poly1305::aead);

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(any(feature = "aes-gcm", feature = "chacha20poly1305"))]
    use {alloc::vec::Vec, stratal_types::dump::hex};

    #[cfg(any(feature = "aes-gcm", feature = "chacha20poly1305"))]
    fn bytes(hex: &str) -> Vec<u8> {
        stratal_types::dump::bytes_of(&alloc::format!("0000..0000  {hex}  x\n")).unwrap()
    }

    #[cfg(any(feature = "aes-gcm", feature = "chacha20poly1305"))]
    fn check(seal: Seal, key: &str, nonce: &str, aad: &str, plain: &str, sealed: &str) {
        let ciphers = Ciphers::new(bytes(key).first_chunk().unwrap());
        let nonce: Nonce = *bytes(nonce).first_chunk().unwrap();
        let aad = if aad.is_empty() { Vec::new() } else { bytes(aad) };
        let mut work = if plain.is_empty() { Vec::new() } else { bytes(plain) };
        let tag = ciphers.encrypt(seal, &nonce, &aad, &mut work).unwrap();
        work.extend_from_slice(&tag);
        assert_eq!(hex(&work), sealed);
        let mut opened = Vec::from(&work[tag.len()..]);
        assert!(ciphers.decrypt(seal, &nonce, &aad, &work, &mut opened).unwrap());
        assert_eq!(hex(&opened), plain);
        for at in 0..work.len() {
            work[at] ^= 1;
            assert!(!ciphers.decrypt(seal, &nonce, &aad, &work, &mut opened).unwrap(), "{at}");
            work[at] ^= 1;
        }
    }

    /// The GCM specification of `McGrew` and Viega, test cases 13, 14 and 16.
    #[cfg(feature = "aes-gcm")]
    #[test]
    fn aes_256_gcm_gives_the_published_bytes() {
        let seal = Seal::Aes256Gcm;
        let zeros = "0000000000000000000000000000000000000000000000000000000000000000";
        let nonce = "000000000000000000000000";
        check(seal, zeros, nonce, "", "", "530f8afbc74536b9a963b4f1c4cb738b");
        check(
            seal,
            zeros,
            nonce,
            "",
            "00000000000000000000000000000000",
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
        );
        check(
            seal,
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
             76fc6ece0f4e1768cddf8853bb2d551b",
        );
    }

    /// RFC 8439, 2.8.2.
    #[cfg(feature = "chacha20poly1305")]
    #[test]
    fn chacha20_poly1305_gives_the_published_bytes() {
        let plain: &[u8] = b"Ladies and Gentlemen of the class of '99: If I could offer you \
                             only one tip for the future, sunscreen would be it.";
        check(
            Seal::ChaCha20Poly1305,
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            "070000004041424344454647",
            "50515253c0c1c2c3c4c5c6c7",
            &hex(plain),
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6\
             3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36\
             92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
             3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
        );
    }

    #[test]
    fn a_cipher_that_is_not_compiled_in_is_named() {
        for (seal, here, name) in [
            (Seal::Aes256Gcm, cfg!(feature = "aes-gcm"), "aes-gcm"),
            (Seal::ChaCha20Poly1305, cfg!(feature = "chacha20poly1305"), "chacha20poly1305"),
        ] {
            let ciphers = Ciphers::new(&[1; KEY_LEN]);
            let outcome = ciphers.encrypt(seal, &[0; 12], &[], &mut [1, 2, 3]);
            assert_eq!((outcome.is_ok(), seal.supported().is_ok()), (here, here));
            if let Err(error) = outcome {
                assert_eq!(Err(error.clone()), seal.supported());
                assert!(matches!(error, Error::Unsupported { what, .. } if what == name));
            }
        }
    }
}
