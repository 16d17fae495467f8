//! What a process and all its descendants use, out of `/proc`.
//!
//! CPU time counts children that have ended too, once their parent has waited for them, so it only grows.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::Context;

/// A process and its descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessTree {
    root: u32,
}

/// What they use, cheap to ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// When it was so. Who asked may come to read it only later.
    pub at: Instant,
    /// User and system time since they began.
    pub cpu: Duration,
    /// Resident memory, bytes. Pages that processes share are counted in each.
    pub rss: u64,
    /// Threads.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
}

/// What they hold; dearer to ask, since the kernel walks their page tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory, bytes, each shared page counted in parts by those who share it.
    pub bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

/// Descriptors that a server opens for itself when it first needs them, such as connections to its database. Fewer than the
/// sessions of any run that looks for leaks.
const OWN: u64 = 8;

impl Memory {
    /// Descriptors that were opened since then and cannot be the server's own.
    pub fn leaked_since(&self, before: &Self) -> u64 {
        let more = self.descriptors.saturating_sub(before.descriptors);
        if more > OWN { more } else { 0 }
    }
}

/// One process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of itself, in clock ticks.
    own_ticks: u64,
    /// … and of the children it has waited for.
    ticks: u64,
    threads: u64,
    rss_pages: u64,
}

impl ProcessTree {
    /// The tree below a process.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(root: u32) -> anyhow::Result<Self> {
        let tree = Self { root };
        tree.usage().map(|_| tree)
    }

    /// What it uses now.
    ///
    /// # Errors
    /// When its root is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as u64;
        let members = self.members()?;
        let sum = |of: fn(&Stat) -> u64| members.iter().map(|(_, stat)| of(stat)).sum::<u64>();
        Ok(Usage {
            at: Instant::now(),
            cpu: Duration::from_secs_f64(sum(|stat| stat.ticks) as f64 / ticks_per_second),
            rss: sum(|stat| stat.rss_pages) * page,
            threads: sum(|stat| stat.threads),
            processes: members.len() as u64,
        })
    }

    /// CPU time of the root alone, without any child.
    ///
    /// # Errors
    /// When it is gone.
    pub fn own_cpu(&self) -> anyhow::Result<Duration> {
        let stat = read_stat(self.root).with_context(|| format!("there is no process {}", self.root))?;
        Ok(Duration::from_secs_f64(stat.own_ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// What it holds now.
    ///
    /// # Errors
    /// When its root is gone, or belongs to somebody else.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let mut memory = Memory::default();
        for (pid, _) in self.members()? {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map(|entries| entries.count() as u64);
            match (rollup, descriptors) {
                (Ok(rollup), Ok(descriptors)) => {
                    memory.bytes += proportional(&rollup);
                    memory.descriptors += descriptors;
                }
                // A child may end while one looks; the root may not.
                _ if pid != self.root => {}
                (Err(error), _) | (_, Err(error)) => {
                    return Err(error).with_context(|| format!("the memory of process {pid} cannot be read"));
                }
            }
        }
        Ok(memory)
    }

    /// The root and all below it.
    fn members(&self) -> anyhow::Result<Vec<(u32, Stat)>> {
        let root = read_stat(self.root).with_context(|| format!("there is no process {}", self.root))?;
        let mut children: HashMap<u32, Vec<(u32, Stat)>> = HashMap::new();
        for entry in fs::read_dir("/proc").context("/proc cannot be read")?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, read_stat(pid)?))) {
                children.entry(stat.parent).or_default().push((pid, stat));
            }
        }
        let mut members = vec![(self.root, root)];
        let mut looked_at = 0;
        while let Some(&(pid, _)) = members.get(looked_at) {
            members.extend(children.remove(&pid).unwrap_or_default());
            looked_at += 1;
        }
        Ok(members)
    }
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5). The name, in brackets, may hold anything, brackets too.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, fields) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Fields are numbered from 1, and the state is number 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        own_ticks: field(14)? + field(15)?,
        ticks: (14..=17).map(field).sum::<Option<u64>>()?,
        threads: field(20)?,
        rss_pages: field(24)?,
    })
}

fn proportional(rollup: &str) -> u64 {
    let kib =
        rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_hindrance() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 99 1000 250 18446744073709551615";
        let stat = Stat { parent: 7, own_ticks: 30, ticks: 100, threads: 5, rss_pages: 250 };
        assert_eq!(parse_stat(line), Some(stat));
        assert_eq!(parse_stat("42 (short) S 7"), None);
    }

    #[test]
    fn children_are_counted_in() {
        let own = ProcessTree::of(std::process::id()).unwrap();
        // Waits for the end of its input, which is the end of this test.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (usage, memory) = (own.usage().unwrap(), own.memory().unwrap());
        assert!(usage.processes >= 2, "{usage:?}");
        assert!(usage.rss > 100_000 && memory.bytes > 100_000 && memory.descriptors > 2, "{usage:?} {memory:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_said() {
        let error = ProcessTree::of(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("there is no process"), "{error}");
    }
}
