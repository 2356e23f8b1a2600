use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The memory at which Lambda gives a function one CPU (Lambda Developer Guide, "Configure Lambda function
/// memory").
const MB_OF_ONE_CPU: u64 = 1_769;

/// The period after which the kernel refills a used-up quota.
const PERIOD_US: u64 = 20_000;

/// A control group with the share of a CPU that Lambda gives for an amount of memory.
#[derive(Debug)]
pub struct CpuQuota(PathBuf);

impl CpuQuota {
    /// Makes a quota for `memory_mb`. Needs the right to make control groups, of either version.
    ///
    /// # Errors
    /// If this process lacks that right.
    pub fn of_memory(memory_mb: u64) -> io::Result<Self> {
        let name = format!("keypool-{}-{memory_mb}", std::process::id());
        let quota_us = PERIOD_US * memory_mb / MB_OF_ONE_CPU;
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let group = Self(if unified { root.join(name) } else { root.join("cpu").join(name) });
        fs::create_dir(&group.0)?;
        if unified {
            fs::write(group.0.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
        } else {
            fs::write(group.0.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
            fs::write(group.0.join("cpu.cfs_quota_us"), quota_us.to_string())?;
        }
        Ok(group)
    }

    /// Applies the quota to a process and its threads from now on.
    ///
    /// # Errors
    /// If the process does not exist.
    pub fn hold(&self, process: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for CpuQuota {
    /// Removes the group. Its processes must have ended.
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
