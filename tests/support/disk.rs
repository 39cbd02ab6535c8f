//! A disk that can fail, for child processes: `disk.c`, built once and preloaded into a child.
//!
//! Linux with glibc on 64 bits, and a C compiler `cc`. Elsewhere [`Disk::here`] prints `skipped: ...`
//! and returns none; with `ACTIONS_REQUIRE_TOOLS` it fails instead.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The library that is preloaded.
#[derive(Clone, Copy)]
pub(crate) struct Disk(&'static Path);

impl Disk {
    /// Builds it, unless this program has done so already. None where that is not possible, which
    /// `test` then says.
    pub(crate) fn here(test: &str) -> Option<Disk> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match BUILT.get_or_init(build) {
            Ok(library) => Some(Disk(library)),
            Err(why) => {
                let required = std::env::var_os("ACTIONS_REQUIRE_TOOLS").is_some();
                assert!(!required, "{test} needs a preloaded library: {why}");
                // Past the test harness, which shows nothing that a passing test prints.
                let line = format!("skipped: {test}: {why}\n");
                std::io::stdout().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    /// The environment of a child whose files below `dir` are watched, and recorded in `log`.
    pub(crate) fn environment(
        self,
        dir: &Path,
        log: Option<&Path>,
    ) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("LD_PRELOAD", self.0.into()),
            ("ACTIONS_DISK_DIR", dir.into()),
        ];
        variables.extend(log.map(|log| ("ACTIONS_DISK_LOG", log.into())));
        variables
    }
}

fn build() -> Result<PathBuf, String> {
    if !cfg!(all(
        target_os = "linux",
        target_env = "gnu",
        target_pointer_width = "64"
    )) {
        return Err("only on Linux with glibc, 64 bits".to_owned());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/disk.c");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(out).unwrap();
    // Two test programs may build it at the same time: each moves a whole file to its place.
    let name = format!("disk-{}.so", std::process::id());
    let (fresh, library) = (out.join(name), out.join("libdisk.so"));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-shared", "-fPIC", "-pthread", "-o"]);
    let built = cc.arg(&fresh).arg(&source).output();
    match built {
        Err(error) => return Err(format!("no C compiler `cc`: {error}")),
        Ok(built) if !built.status.success() => {
            panic!("{}", String::from_utf8_lossy(&built.stderr))
        }
        Ok(_) => {}
    }
    std::fs::rename(&fresh, &library).unwrap();
    Ok(library)
}

/// A new directory for a child's files, by the path that has no links; in memory where that is
/// possible, since no file there is worth a wait for a disk.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
        false => tempfile::tempdir(),
    };
    let made = made.unwrap();
    let path = made.path().canonicalize().unwrap();
    (made, path)
}

/// In a child: writes a mark into the recording, or tells the disk what to do (`!fault ...`).
pub(crate) fn mark(dir: &Path, text: &str) {
    let answer = File::open(dir.join(format!(".mark:{text}")));
    assert!(answer.is_err(), "the disk is not preloaded");
}

/// In a child: how many calls of a class there were (`calls CLASS`), or how many failed (`hits`).
pub(crate) fn ask(dir: &Path, what: &str) -> u64 {
    let answer = File::open(dir.join(format!(".ask:{what}")));
    let code = answer.unwrap_err().raw_os_error().unwrap();
    u64::try_from(code - 1000).expect("the disk is preloaded")
}
