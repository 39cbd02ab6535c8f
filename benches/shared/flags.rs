//! Command line options of a benchmark: `--quick`, and pairs of a name and a value.

use std::str::FromStr;
use std::time::Duration;

#[derive(Debug)]
pub struct Flags {
    arguments: Vec<String>,
}

impl Flags {
    /// Reads the options of this process. `known` lists the names of the pairs; any other option
    /// ends the process.
    pub fn read(known: &[&str]) -> Flags {
        // Cargo passes `--bench`.
        let arguments = std::env::args().skip(1).filter(|a| a != "--bench");
        let flags = Flags {
            arguments: arguments.collect(),
        };
        let mut rest = flags.arguments.iter().filter(|a| *a != "--quick");
        while let Some(name) = rest.next() {
            assert!(known.contains(&name.as_str()), "{name} is not known");
            assert!(rest.next().is_some(), "{name} needs a value");
        }
        flags
    }

    pub fn quick(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--quick")
    }

    /// Returns the value of an option, if it is given.
    pub fn text(&self, name: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|a| a == name)?;
        Some(&self.arguments[at + 1])
    }

    /// Returns the number given for a name, or the default for a quick or a full run.
    pub fn number<N: FromStr>(&self, name: &str, quick: N, whole: N) -> N {
        let Some(text) = self.text(name) else {
            return if self.quick() { quick } else { whole };
        };
        let number = text.parse().ok();
        number.unwrap_or_else(|| panic!("{name} needs a number"))
    }

    /// As [`number`](Flags::number), in milliseconds.
    pub fn millis(&self, name: &str, quick: u64, whole: u64) -> Duration {
        Duration::from_millis(self.number(name, quick, whole))
    }
}
