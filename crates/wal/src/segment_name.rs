use std::ffi::OsStr;

/// The name of a segment's file.
///
/// ```
/// assert_eq!(stratal_wal::segment_file_name(7), "wal-0000000007");
/// ```
pub fn segment_file_name(number: u64) -> String {
    format!("wal-{number:010}")
}

/// The number of the segment whose file has this name, if it is one.
///
/// ```
/// assert_eq!(stratal_wal::segment_number("wal-0000000007".as_ref()), Some(7));
/// assert_eq!(stratal_wal::segment_number("wal-7".as_ref()), None);
/// ```
pub fn segment_number(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    let number = name.strip_prefix("wal-")?.parse().ok()?;
    (segment_file_name(number) == name).then_some(number)
}
