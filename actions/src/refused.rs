use workflow::ErrorCode;

/// Why a change cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Error code.
    pub code: ErrorCode,
    /// What failed, where, and how to fix it.
    pub message: String,
}
