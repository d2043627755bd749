/// Limits on what is read for the evidence of one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Maximum number of calls to the cluster and to the metrics source together.
    pub calls: u32,
    /// Maximum number of objects read per kind.
    pub objects_per_list: usize,
    /// Maximum number of objects kept in the evidence, nearest to the target first.
    pub objects_kept: usize,
    /// Maximum number of containers whose logs are read.
    pub logs: usize,
    /// Number of lines read from the end of each log.
    pub log_lines: usize,
    /// Maximum number of log excerpts and events kept in the evidence.
    pub log_excerpts: usize,
    /// Maximum length of one excerpt, in characters.
    pub excerpt_chars: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            calls: 60,
            objects_per_list: 1_000,
            objects_kept: 80,
            logs: 3,
            log_lines: 20,
            log_excerpts: 20,
            excerpt_chars: 256,
        }
    }
}
