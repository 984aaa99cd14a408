use std::fmt;

/// The files that a database's directory holds, by their names in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileName {
    /// `LOCK`: held while the database is open, never removed.
    Lock,
    /// `IDENTITY`: which database this is.
    Identity,
    /// `manifest-NNNNNNNNNN`: a manifest of that generation.
    Manifest(u64),
    /// `MANIFEST.NNNNNNNNNN`: empty; the manifest of that generation is current, unless there is a
    /// higher one.
    Marker(u64),
    /// `wal-NNNNNNNNNN`: a log segment.
    Wal(u64),
    /// `tables/NNNNNNNNNN.sst`: a table.
    Table(u64),
    /// `values/NNNNNNNNNN.vlog`: a value file.
    ValueFile(u64),
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("LOCK"),
            Self::Identity => f.write_str("IDENTITY"),
            Self::Manifest(number) => write!(f, "manifest-{number:010}"),
            Self::Marker(number) => write!(f, "MANIFEST.{number:010}"),
            Self::Wal(number) => write!(f, "wal-{number:010}"),
            Self::Table(number) => write!(f, "tables/{number:010}.sst"),
            Self::ValueFile(number) => write!(f, "values/{number:010}.vlog"),
        }
    }
}

impl FileName {
    /// Reads a path relative to the database's directory; `None` if no file of a database is named
    /// so.
    ///
    /// ```
    /// use stratal_manifest::FileName;
    /// assert_eq!(FileName::parse("tables/0000000012.sst"), Some(FileName::Table(12)));
    /// assert_eq!(FileName::parse("tables/12.sst"), None);
    /// assert_eq!(FileName::parse(".DS_Store"), None);
    /// ```
    pub fn parse(path: &str) -> Option<Self> {
        let digits: String = path.chars().filter(char::is_ascii_digit).collect();
        let number = digits.parse().unwrap_or(0);
        let candidates = [
            Self::Lock,
            Self::Identity,
            Self::Manifest(number),
            Self::Marker(number),
            Self::Wal(number),
            Self::Table(number),
            Self::ValueFile(number),
        ];
        candidates.into_iter().find(|name| name.to_string() == path)
    }

    /// The number in the name, if there is one.
    pub const fn number(self) -> Option<u64> {
        match self {
            Self::Lock | Self::Identity => None,
            Self::Manifest(number)
            | Self::Marker(number)
            | Self::Wal(number)
            | Self::Table(number)
            | Self::ValueFile(number) => Some(number),
        }
    }
}
