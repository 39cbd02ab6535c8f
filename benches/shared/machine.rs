//! Describes the machine of the measurements.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().filter(|_| output.status.success())?;
    Some(line.to_owned())
}

fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = info.lines().find(|line| line.starts_with("model name"))?;
    Some(model.split_once(':')?.1.trim().to_owned())
}

/// Returns the file system type of a directory: that of the mount point with the longest matching
/// prefix.
fn file_system(directory: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    mounted
        .filter(|(point, _)| directory.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind.to_owned())
}

fn commit() -> Option<String> {
    let commit = first_line("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changed = Command::new("git")
        .args(["diff", "--quiet", "HEAD"])
        .status();
    match changed.ok()?.success() {
        true => Some(commit),
        false => Some(format!("{commit} with changes")),
    }
}

/// Returns the cores, processor, kernel, file system of the stores, compiler and commit.
pub fn describe(directory: &Path) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    json!({
        "cores": cores,
        "cpu": cpu(),
        "kernel": kernel.map(|kernel| kernel.trim().to_owned()),
        "file_system": file_system(directory),
        "rustc": first_line(&rustc, &["-V"]),
        "commit": commit(),
        "sqlite": rusqlite::version(),
    })
}

/// Returns the description in one line.
pub fn line(machine: &Value) -> String {
    let text = |name: &str| machine[name].as_str().unwrap_or("?").to_owned();
    format!(
        "{} cores, {}; Linux {}, {}; {}; SQLite {}; commit {}",
        machine["cores"],
        text("cpu"),
        text("kernel"),
        text("file_system"),
        text("rustc"),
        text("sqlite"),
        text("commit"),
    )
}
