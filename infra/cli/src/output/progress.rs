use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keypool_console::Event;
use tokio::sync::mpsc::UnboundedSender;

/// A progress bar on standard error, shown only if that is a terminal; or events for the console.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    events: Option<UnboundedSender<Event>>,
    /// The amount of the last event. The next one waits for a hundredth of the total more.
    sent: AtomicU64,
}

/// The time between two redraws of a bar, which show that work goes on.
const TICK: Duration = Duration::from_millis(120);

impl Progress {
    pub(super) fn new(
        what: &'static str,
        total: Option<u64>,
        events: Option<UnboundedSender<Event>>,
    ) -> Self {
        let terminal =
            if events.is_some() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(total, terminal);
        let template = match total {
            Some(_) => "{msg} {bar:32} {human_pos} of {human_len}  {per_sec}  {eta} left",
            None => "{msg} {spinner} {human_pos}  {per_sec}  {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        let progress = Self { bar, what, events, sent: AtomicU64::new(0) };
        progress.send(0);
        progress
    }

    /// Sets the amount that is done.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
        self.report();
    }

    /// Adds to the amount that is done.
    pub(crate) fn add(&self, more: u64) {
        self.bar.inc(more);
        self.report();
    }

    /// Sends an event for every hundredth of the work.
    fn report(&self) {
        let done = self.bar.position();
        let step = (self.bar.length().unwrap_or(0) / 100).max(1);
        if self.events.is_some() && done >= self.sent.load(Ordering::Relaxed).saturating_add(step) {
            self.sent.store(done, Ordering::Relaxed);
            self.send(done);
        }
    }

    fn send(&self, done: u64) {
        if let Some(events) = &self.events {
            // Without a receiver, the command is about to stop.
            let _ =
                events.send(Event::Progress { what: self.what.to_owned(), done, total: self.bar.length() });
        }
    }
}

impl Drop for Progress {
    /// Removes the bar from the terminal.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
