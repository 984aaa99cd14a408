//! Small parts of hot paths, each done [`OPS`] times between one call and its return, so that their
//! instructions can be counted: `pb-ratchet NAME` does one, `pb-ratchet` lists them.
//!
//! `cargo xtask ratchet` runs this under callgrind, counts what happens inside [`measured`] alone, and
//! compares it with what is kept in `bench/ratchet.toml`. Everything is seeded; files are in memory.
mod parts;

/// How often each part is done.
const OPS: u64 = 10_000;

/// What is counted. `work` returns something that depends on all that was done.
#[inline(never)]
pub fn measured(work: &mut dyn FnMut() -> u64) -> u64 {
    std::hint::black_box(work())
}

fn main() {
    let parts = parts::all();
    match std::env::args().nth(1) {
        None => {
            for (name, _) in parts {
                println!("{name} {OPS}");
            }
        }
        Some(wanted) => {
            let part = parts.iter().find(|(name, _)| *name == wanted);
            let (name, run) = part.unwrap_or_else(|| panic!("no part is called {wanted}"));
            println!("{name}: {}", run());
        }
    }
}
