//! A tool like zip, made of `stratal-archive`: create, list, extract, verify.
//!
//! ```text
//! cargo run -p stratal-archive --example pack -- create notes.pack notes/
//! cargo run -p stratal-archive --example pack -- list notes.pack
//! cargo run -p stratal-archive --example pack -- verify notes.pack
//! cargo run -p stratal-archive --example pack -- extract notes.pack copy-of-notes
//! ```
//!
//! What it shows is in [`pack`], which the crate's tests run too: streaming sections into a file that
//! appears under its name only when it is whole and synced, doubling the one section that all others
//! depend on, opening without reading more than is needed, and verifying each section as it is read.

mod pack;

use std::process::ExitCode;

use stratal_fs::StdFs;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match pack::run(&StdFs, &words, &mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pack: {error}");
            ExitCode::FAILURE
        }
    }
}
