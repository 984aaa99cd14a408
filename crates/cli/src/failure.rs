use std::{fmt::Display, io, path::Path};

use stratal_sst::Error;

/// Why the command stops, by exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for is not there. Without a message if the keys were named already.
    Absent(Option<String>),
    /// The command line makes no sense.
    Usage(String),
    /// The input makes no sense.
    BadInput(String),
    /// Stored data is wrong. Without a message if it was reported already.
    Damage(Option<String>),
    /// The file needs another build, comparator or key.
    Refused(String),
    /// The machine failed.
    Io(String),
    /// Nobody reads standard output any more.
    ClosedOutput,
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ClosedOutput => 0,
            Self::Absent(_) => 1,
            Self::Usage(_) => 2,
            Self::BadInput(_) => 3,
            Self::Damage(_) => 4,
            Self::Refused(_) => 5,
            Self::Io(_) => 6,
        }
    }

    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::ClosedOutput => None,
            Self::Absent(message) | Self::Damage(message) => message.as_deref(),
            Self::Usage(message)
            | Self::BadInput(message)
            | Self::Refused(message)
            | Self::Io(message) => Some(message),
        }
    }

    /// A failure to do something with the file at `path`.
    pub(crate) fn io(path: &Path, doing: &str, error: &io::Error) -> Self {
        let message = format!("{}: cannot {doing}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent(Some(message)),
            io::ErrorKind::IsADirectory => Self::Usage(message),
            _ => Self::Io(message),
        }
    }

    /// What a table said about the file at `path`.
    pub(crate) fn table(path: &Path, error: &Error) -> Self {
        let message = describe(path, error);
        match error {
            Error::Archive(stratal_archive::Error::NotAnArchive { .. })
            | Error::NotATable { .. }
            | Error::OutOfOrder { .. }
            | Error::Length { .. } => Self::BadInput(message),
            _ if error.is_corruption() => Self::Damage(Some(message)),
            Error::InvalidOption { .. } | Error::NotAValue(_) => Self::Usage(message),
            Error::Read { .. } | Error::Write(_) => Self::Io(message),
            _ => Self::Refused(message),
        }
    }
}

impl Failure {
    /// What a database said.
    pub(crate) fn database(error: &stratal::Error) -> Self {
        use stratal::Error as Db;
        let message = error.to_string();
        match error {
            Db::NotFound { .. } => Self::Absent(Some(message)),
            Db::InvalidArgument { .. } | Db::TooLarge { .. } => Self::Usage(message),
            Db::NotMergeable { .. } => Self::BadInput(message),
            Db::Corruption { .. } | Db::Missing { .. } | Db::MemoryDamage { .. } => {
                Self::Damage(Some(message))
            }
            Db::Io { .. } | Db::NoSpace { .. } | Db::UnknownOutcome { .. } => Self::Io(message),
            _ => Self::Refused(message),
        }
    }
}

fn describe(path: &Path, error: &dyn Display) -> String {
    format!("{}: {error}", path.display())
}

impl From<stratal::Error> for Failure {
    fn from(error: stratal::Error) -> Self {
        Self::database(&error)
    }
}
