use anyhow::Error;
use serde_json::{Value, json};

use crate::advice::{self, failed_call};
use crate::exit::Exit;
use crate::output::{BAD, GOOD, Output, Progress, WARNING};
use crate::target::{Target, TargetOptions};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Fault,
}

/// The findings about a target so far. Each one is printed at once.
pub(super) struct Report<'a> {
    pub(super) target: &'a Target,
    options: &'a TargetOptions,
    output: &'a Output,
    progress: Option<Progress>,
    findings: Vec<Value>,
    warnings: usize,
    faults: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(target: &'a Target, options: &'a TargetOptions, output: &'a Output) -> Self {
        Self { target, options, output, progress: None, findings: vec![], warnings: 0, faults: 0 }
    }

    /// Shows the current check on the progress bar.
    pub(super) fn looking_at(&mut self, what: &'static str) {
        self.progress = Some(self.output.progress(what, None));
    }

    /// Reports a check without a fault.
    pub(super) fn ok(&mut self, check: &str, said: impl Into<String>) -> anyhow::Result<()> {
        self.add(Level::Ok, check, &said.into(), None)
    }

    /// Reports something that will go wrong, or may.
    pub(super) fn warning(
        &mut self,
        check: &str,
        said: impl Into<String>,
        way_out: impl Into<String>,
    ) -> anyhow::Result<()> {
        self.add(Level::Warning, check, &said.into(), Some(&way_out.into()))
    }

    /// Reports a fault.
    pub(super) fn fault(
        &mut self,
        check: &str,
        said: impl Into<String>,
        way_out: impl Into<String>,
    ) -> anyhow::Result<()> {
        self.add(Level::Fault, check, &said.into(), Some(&way_out.into()))
    }

    /// Reports a failed call. A missing permission is a warning: it concerns the operator, not the functions.
    pub(super) fn failed(&mut self, check: &str, error: &Error) -> anyhow::Result<()> {
        let said = format!("{error:#}");
        let way_out = advice::on(error, self.options);
        let way_out = way_out.unwrap_or_else(|| "check the target (`keypool target` shows it)".to_owned());
        if is_not_allowed(error) {
            self.warning(check, format!("not checked: {said}"), way_out)
        } else {
            self.fault(check, said, way_out)
        }
    }

    fn add(&mut self, level: Level, check: &str, said: &str, way_out: Option<&str>) -> anyhow::Result<()> {
        // Remove the bar before printing a line in its place.
        self.progress = None;
        let (word, style) = match level {
            Level::Ok => ("ok", GOOD),
            Level::Warning => ("warning", WARNING),
            Level::Fault => ("fault", BAD),
        };
        self.warnings += usize::from(level == Level::Warning);
        self.faults += usize::from(level == Level::Fault);
        if !self.output.is_json() {
            self.output.line(&format!("{style}{word:8}{style:#} {check:14} {said}"))?;
            if let Some(way_out) = way_out {
                self.output.line(&format!("{:23} -> {way_out}", ""))?;
            }
        }
        self.findings.push(json!({"check": check, "level": word, "said": said, "way_out": way_out}));
        Ok(())
    }

    /// Prints the number of faults and warnings, and returns the exit code.
    pub(super) fn end(mut self) -> anyhow::Result<Exit> {
        self.progress = None;
        let Self { output, findings, warnings, faults, .. } = self;
        let count =
            |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let text = format!("{}, {}", count(faults, "fault"), count(warnings, "warning"));
        output.result(&text, &json!({"faults": faults, "warnings": warnings, "checks": findings}))?;
        Ok(if faults == 0 { Exit::Done } else { Exit::DoesNotHold })
    }
}

/// Returns true if the caller lacks the permission for a call.
fn is_not_allowed(error: &Error) -> bool {
    const NOT_ALLOWED: &str = "AccessDeniedException";
    error.chain().any(|cause| failed_call(cause).is_some_and(|failed| failed.code == NOT_ALLOWED))
}
