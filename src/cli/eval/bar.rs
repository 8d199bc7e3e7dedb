//! The progress bar of `simbert eval`.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::eval::Step;

/// A progress bar on standard error, if that is a terminal, once the work has taken a second.
pub struct Bar {
    bar: ProgressBar,
    stage: &'static str,
    start: Instant,
}

impl Default for Bar {
    fn default() -> Self {
        Self { bar: ProgressBar::hidden(), stage: "", start: Instant::now() }
    }
}

impl Bar {
    const PATIENCE: Duration = Duration::from_secs(1);

    pub fn step(&mut self, step: Step) {
        if self.stage != step.stage {
            self.bar.finish_and_clear();
            self.stage = step.stage;
            self.bar = ProgressBar::with_draw_target(Some(step.total), ProgressDrawTarget::hidden());
            // The template is a constant that `with_template` accepts; a plain bar would do as well.
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len}, {eta} left") {
                self.bar.set_style(style);
            }
            self.bar.set_prefix(step.stage);
        }
        self.bar.set_position(step.done);
        if self.bar.is_hidden() && self.start.elapsed() > Self::PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
