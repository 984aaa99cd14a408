use std::io;

/// Changes the byte at `address` of this process by `mask`, as a fault of the memory would: behind the
/// back of whoever owns it. What stands there must be bytes without meaning to the compiler, such as a
/// key or a value that is read again through a call.
///
/// # Errors
///
/// Whatever the system says; [`io::ErrorKind::Unsupported`] where a process cannot open its own memory.
pub fn flip_in_memory(address: usize, mask: u8) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::{fs::OpenOptions, os::unix::fs::FileExt as _};
        let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
        let mut byte = [0];
        memory.read_exact_at(&mut byte, address as u64)?;
        memory.write_all_at(&[byte[0] ^ mask], address as u64)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (address, mask);
        Err(io::ErrorKind::Unsupported.into())
    }
}
