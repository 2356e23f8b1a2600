use std::fmt;
use std::process::ExitCode;

/// How a command ends that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done, or all is well.
    Done,
    /// A part was not done; the output says which, and why.
    Partly,
    /// What was to be checked does not hold.
    DoesNotHold,
    /// A person had enough; what was done stays.
    Interrupted,
}

/// What `--help` ends with. (clap finds most wrong arguments.)
pub(crate) const HELP: &str = "\
Examples:
  keypool local                                     everything on this machine, with a demo
  keypool stock                                     what is left, of the stack that runs here
  keypool keys import keys.csv --product 42         fill the stock
  keypool --stack shop doctor                       look over a stack on AWS
  keypool verify response.json                      is this answer ours?

Exit codes:
  0    done
  1    not done; standard error says why
  2    wrong arguments
  3    done in part: the output says what was refused, and why
  4    it does not hold: a signature is wrong, an answer was a refusal, the doctor found a fault
  130  interrupted; what was done so far stays, and the command can be given again";

/// Wrong arguments, as clap ends for those that it finds itself.
pub(crate) const WRONG_ARGUMENTS: u8 = 2;

/// Arguments that are valid one by one, but do not fit each other.
#[derive(Debug)]
pub(crate) struct WrongArguments(pub(crate) &'static str);

impl fmt::Display for WrongArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongArguments {}

/// Interrupted by Ctrl-C, as shells say it.
pub(crate) const INTERRUPTED: u8 = 130;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Partly => 3,
            Exit::DoesNotHold => 4,
            Exit::Interrupted => INTERRUPTED,
        })
    }
}
