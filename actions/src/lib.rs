//! The one action catalogue, and each action as one pure function.
