//! Command line options of a benchmark: `--quick`, and pairs of a name and a value.

use std::str::FromStr;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

#[derive(Debug)]
pub struct Flags {
    matches: ArgMatches,
}

impl Flags {
    /// Reads the options of this process. `known` lists the names of the pairs; any other option
    /// ends the process.
    pub fn read(known: &[&'static str]) -> Flags {
        let flag = |name| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let command = Command::new("bench")
            .arg(flag("quick").help("Run at the smallest size"))
            // Cargo passes it.
            .arg(flag("bench").hide(true))
            .args(known.iter().map(|name| Arg::new(name).long(name)));
        Flags {
            matches: command.get_matches(),
        }
    }

    pub fn quick(&self) -> bool {
        self.matches.get_flag("quick")
    }

    /// Returns the value of an option, if it is given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.matches.get_one(name).map(String::as_str)
    }

    /// Returns the number given for a name, or the default for a quick or a full run.
    pub fn number<N: FromStr>(&self, name: &str, quick: N, whole: N) -> N {
        let Some(text) = self.text(name) else {
            return if self.quick() { quick } else { whole };
        };
        let number = text.parse().ok();
        number.unwrap_or_else(|| panic!("--{name} needs a number"))
    }

    /// As [`number`](Flags::number), in milliseconds.
    pub fn millis(&self, name: &str, quick: u64, whole: u64) -> Duration {
        Duration::from_millis(self.number(name, quick, whole))
    }
}
