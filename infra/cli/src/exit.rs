use std::process::ExitCode;

/// The end of a command that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command did everything, or every check passed.
    Done,
    /// A part failed; the output says which part, and why.
    Partly,
    /// A check failed.
    DoesNotHold,
    /// Interrupted by the user. Completed work is kept.
    Interrupted,
}

/// The end of the text of `--help`. (clap itself finds most wrong arguments.)
pub(crate) const HELP: &str = "\
Examples:
  keypool local                                     run the whole stack here, with demo data
  keypool stock                                     show the stock of the local stack
  keypool keys import keys.csv --product 42         fill the stock
  keypool --stack shop doctor                       check a stack on AWS
  keypool verify response.json                      check the signature of a response

Exit codes:
  0    done
  1    failed; standard error says why
  2    wrong arguments
  3    partly done; the output says what was refused, and why
  4    a check failed: a wrong signature, a refusal by the API, or a fault found by the doctor
  130  interrupted; completed work is kept, and the command can be run again";

/// The exit code for wrong arguments, the same as clap's.
pub(crate) const WRONG_ARGUMENTS: u8 = 2;

/// Arguments that are valid alone, but not together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongArguments(pub(crate) &'static str);

impl Exit {
    /// The exit code of the command.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Partly => 3,
            Self::DoesNotHold => 4,
            // As shells define it.
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
