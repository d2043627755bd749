/// How much is read for one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Calls to the cluster and to the metrics, together.
    pub calls: u32,
    /// Objects of one kind.
    pub objects_per_list: usize,
    /// Objects that are kept, nearest to the target first.
    pub objects_kept: usize,
    /// Containers whose logs are read.
    pub logs: usize,
    /// Lines of each.
    pub log_lines: usize,
    /// Notes that are kept.
    pub notes: usize,
    /// Characters of a note.
    pub note_chars: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            calls: 60,
            objects_per_list: 1_000,
            objects_kept: 80,
            logs: 3,
            log_lines: 20,
            notes: 20,
            note_chars: 256,
        }
    }
}
