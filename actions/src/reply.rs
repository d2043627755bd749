use cluster::{Object, ReadReply, WriteReply};
use serde::Serialize;

/// What an action received in response to one of its requests ([`crate::Next`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Reply {
    /// The reply to one query of [`crate::Next::Read`].
    Read(ReadReply),
    /// The reply to [`crate::Next::Send`].
    Write(WriteReply),
    /// The duration of [`crate::Next::Wait`] is over.
    Waited,
    /// An operator gave the approval that [`crate::Next::RequestApproval`] asked for.
    Approved,
}

impl Reply {
    /// Returns the objects that the reply contains.
    pub fn objects(&self) -> &[Object] {
        match self {
            Self::Read(reply) => reply.objects(),
            Self::Write(reply) => reply.objects(),
            Self::Waited | Self::Approved => &[],
        }
    }

    /// Returns the one object that the reply is about, if it contains it.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Self::Read(ReadReply::Found(object)) | Self::Write(WriteReply::Accepted(object)) => {
                Some(object)
            }
            Self::Read(_) | Self::Write(_) | Self::Waited | Self::Approved => None,
        }
    }
}

impl From<ReadReply> for Reply {
    fn from(reply: ReadReply) -> Self {
        Self::Read(reply)
    }
}

impl From<WriteReply> for Reply {
    fn from(reply: WriteReply) -> Self {
        Self::Write(reply)
    }
}
