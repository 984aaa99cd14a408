//! Common part of the comparison of table files: what a table must do, the rows it is filled with,
//! and the measurements. One binary per implementation links this crate and calls [`child_main`];
//! `tables.py` spawns those binaries. `rocksdb/main.cc` does the same in C++.
mod measure;
mod rows;
mod table;

pub use measure::child_main;
pub use pb_core::{Comp, Res};
pub use rows::{Probe, Rows, RowsBuilder, check_word};
pub use table::Table;
