//! Who gets the processor first.

/// Lowers the priority of the calling thread by that many steps, of which there are 19: beside others that
/// want the same processor it gets a third of their time after 5 steps and a tenth after 10, and whoever
/// wakes up beside it goes first. Alone it is as fast as before. It cannot be taken back.
///
/// Nothing happens where a thread has no priority of its own, which is so on every system but Linux.
pub fn lower_priority(steps: u8) {
    // Nobody is told: the work is done all the same.
    if steps > 0 && lower(steps).is_err() {}
}

#[cfg(target_os = "linux")]
fn lower(steps: u8) -> std::io::Result<()> {
    rustix::process::nice(steps.into())?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn lower(_: u8) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// As the system says it of this thread.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("the system says it");
        let (_, fields) = stat.rsplit_once(')').expect("the name of the command");
        fields.split_whitespace().nth(16).expect("19 fields").parse().expect("a number")
    }

    #[test]
    fn of_this_thread_alone() {
        let before = niceness();
        let lowered = std::thread::spawn(|| {
            lower_priority(0);
            lower_priority(3);
            niceness()
        });
        assert_eq!(lowered.join().expect("no panic"), (before + 3).min(19));
        assert_eq!(niceness(), before);
    }
}
