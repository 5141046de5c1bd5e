//! The result of a check on a cloud: success, or a complaint in words.

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::fmt::{self, Debug};

/// The difference between a cloud and a check's statement.
#[derive(Debug)]
pub struct Complaint(pub String);

/// The prefix of a complaint that is not about the statement.
const UNMADE: &str = "what the check is about could not be made: ";

impl Complaint {
    /// Marks the complaint as one about the creation of the check's subject.
    pub fn of_making(self) -> Complaint {
        if self.is_of_making() { self } else { Complaint(format!("{UNMADE}{}", self.0)) }
    }

    /// Returns true if it is about that.
    pub fn is_of_making(&self) -> bool {
        self.0.starts_with(UNMADE)
    }
}

/// The result of a check.
pub type Told<T = ()> = Result<T, Complaint>;

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Turns a call that must succeed and does not into a complaint.
impl<E: ProvideErrorMetadata + Error + 'static> From<SdkError<E>> for Complaint {
    fn from(error: SdkError<E>) -> Complaint {
        Complaint(format!("a call that must succeed failed: {}", Refusal::of(&error)))
    }
}

/// Complains unless a condition is true.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err($crate::conformance::told::Complaint(format!($($words)+)));
        }
    };
}
pub(super) use ensure;

/// Complains unless both values are the same.
pub fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: T, wanted: U) -> Told {
    if got == wanted {
        Ok(())
    } else {
        Err(Complaint(format!("{what}: {got:?} instead of {wanted:?}")))
    }
}

/// An error answer.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status; 0 where there was no answer.
    status: u16,
    /// The error's code as the SDK reads it off the wire; empty where there is none.
    code: String,
    message: String,
}

impl Refusal {
    fn of<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> Refusal {
        let mut message = error.message().unwrap_or_default().to_owned();
        if error.code().is_none() {
            let mut cause = Some(error as &dyn Error);
            while let Some(error) = cause {
                message = format!("{message} {error}");
                cause = error.source();
            }
        }
        Refusal {
            status: error.raw_response().map_or(0, |answer| answer.status().as_u16()),
            code: error.code().unwrap_or_default().to_owned(),
            message: message.trim().to_owned(),
        }
    }

    /// Complains unless this is the status and the code.
    pub fn is(&self, status: u16, code: &str) -> Told {
        ensure!(
            self.status == status && self.code == code,
            "refused with {self} instead of {status} {code}"
        );
        Ok(())
    }

    /// Complains unless this is the status and one of the codes.
    pub fn is_one_of(&self, status: u16, codes: &[&str]) -> Told {
        let right = self.status == status && codes.contains(&self.code.as_str());
        ensure!(right, "refused with {self} instead of {status} and one of {codes:?}");
        Ok(())
    }

    /// Complains unless the message has these words, in any case.
    pub fn says(&self, words: &str) -> Told {
        let has = self.message.to_ascii_lowercase().contains(&words.to_ascii_lowercase());
        ensure!(has, "refused with {self}, which does not say {words:?}");
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.status, self.code, self.message)
    }
}

/// Returns the error answer of a call that must be refused.
pub fn refused<T: Debug, E>(call: &str, answer: Result<T, SdkError<E>>) -> Told<Refusal>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match answer {
        Ok(answer) => Err(Complaint(format!("{call} succeeded: {answer:?}"))),
        Err(error) => Ok(Refusal::of(&error)),
    }
}
