use core::fmt::{self, Write};

macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Length on disk, in bytes.
            pub const LEN: usize = 16;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)?;
                f.write_char('u')
            }
        }
    };
}

id128! {
    /// 128 random bits drawn when a file is created: who its blocks say they belong to.
    ///
    /// Never derived from the file's name or number, so that a copied or recycled file does not
    /// verify in another's place.
    FileUid
}

id128! {
    /// 128 random bits drawn when a database is created. Zero in files made without one.
    DbId
}
