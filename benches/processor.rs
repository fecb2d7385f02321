//! Processor time of processes, as Linux counts it.

use std::fs;

/// Of a process itself, and of its children that have ended.
pub fn processor_seconds(process: u32) -> (f64, f64) {
    const TICKS: f64 = 100.0;
    let Some(fields) = fields(process) else { return (0.0, 0.0) };
    let ticks =
        |from: usize| fields[from..from + 2].iter().filter_map(|it| it.parse::<f64>().ok()).sum::<f64>();
    (ticks(11) / TICKS, ticks(13) / TICKS)
}

/// Of a process and of its children, those that have ended too.
pub fn with_children(parent: u32) -> f64 {
    let (own, ended) = processor_seconds(parent);
    let processes = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let children = processes.filter(|process| parent_of(*process) == Some(parent));
    own + ended + children.map(|child| processor_seconds(child).0).sum::<f64>()
}

fn parent_of(process: u32) -> Option<u32> {
    fields(process)?.get(1)?.parse().ok()
}

/// What follows the name in `/proc/PID/stat`.
fn fields(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
