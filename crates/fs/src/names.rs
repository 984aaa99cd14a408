use std::{
    ffi::OsStr,
    io,
    path::{Component, Path},
};

/// The names along `path`, from the root down, for the file systems that live in memory: there is
/// one root, and a relative path starts from it too.
///
/// # Errors
///
/// `InvalidInput` for a path that goes up.
pub(crate) fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}

/// Why a directory cannot be created where a file stands, which is at the end of the path or above.
pub(crate) fn dir_is_file(is_last: bool) -> io::Error {
    let kind = if is_last { io::ErrorKind::AlreadyExists } else { io::ErrorKind::NotADirectory };
    kind.into()
}
