use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// How far something has come, on standard error, if that is a terminal and talk is wanted.
pub(crate) struct Bar(ProgressBar);

/// How often the bar is drawn.
const PERIOD: Duration = Duration::from_millis(200);

impl Bar {
    /// A bar for `total` bytes, or a spinner if nobody knows how many there are.
    pub(crate) fn bytes(what: &'static str, total: Option<u64>, out: &Output) -> Self {
        let known = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Self::new(what, total, (known, "{msg} {spinner} {bytes} {bytes_per_sec}"), out)
    }

    /// A bar for about `total` records.
    pub(crate) fn records(what: &'static str, total: u64, out: &Output) -> Self {
        let template = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
        Self::new(what, Some(total), (template, template), out)
    }

    fn new(
        what: &'static str,
        total: Option<u64>,
        (known, unknown): (&str, &str),
        out: &Output,
    ) -> Self {
        let is_wanted = !out.quiet() && std::io::stderr().is_terminal();
        let target =
            if is_wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_message(what);
        let template = if total.is_some() { known } else { unknown };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if is_wanted {
            bar.enable_steady_tick(PERIOD);
        }
        Self(bar)
    }

    /// So much is done.
    pub(crate) fn set(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
