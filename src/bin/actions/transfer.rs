//! `export`, `import` and `copy`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use action_store::ActionStore;
use action_store::address::StoreAddress;
use action_store::transfer::{self, Copier, CopyPoint, Differs, Exporter, Imported, ResumePoint};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use crate::error::{Exit, Failure, Result};
use crate::filters::FilterArgs;
use crate::open::{Need, Opened, open};
use crate::output::{Column, Out, Table, note};
use crate::progress;

const EXPORT_EXAMPLES: &str = "\
Examples:
  actions export actions.ndjson
  actions export actions.ndjson --resume       (after it was interrupted)
  actions export --status completed - | gzip > completed.ndjson.gz

An export has everything except pins and owners, also the details of errors. The file is readable by
its owner only. `actions import` reads it into any store.";

/// Write a store as lines of JSON
#[derive(Debug, Args)]
#[command(after_long_help = EXPORT_EXAMPLES)]
pub(crate) struct Export {
    /// New file; - for standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Continue an export that was interrupted, with the same filters
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

const IMPORT_EXAMPLES: &str = "\
Examples:
  actions --store sqlite:new.db import actions.ndjson
  gzip -dc completed.ndjson.gz | actions --store sqlite:new.db import -

Creates a missing store. Actions that the store has already are left as they are, so an import can
be repeated. The exit code is 4 if an action was refused.";

/// Read an export into a store
#[derive(Debug, Args)]
#[command(after_long_help = IMPORT_EXAMPLES)]
pub(crate) struct Import {
    /// File that `export` has written; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const COPY_EXAMPLES: &str = "\
Examples:
  actions --store sqlite:old.db copy sqlite:new.db

Creates a missing destination, copies all actions and their logs, then compares the two stores. Stop
the owners first. A copy can be repeated, and resumed with the point that an interrupted one printed.
The exit code is 6 if the stores differ.";

/// Copy all actions into another store and compare the two
#[derive(Debug, Args)]
#[command(after_long_help = COPY_EXAMPLES)]
pub(crate) struct Copy {
    /// Address of the destination
    #[arg(value_name = "URL")]
    pub(crate) to: String,
    /// Continue an interrupted copy of the same stores
    #[arg(long, value_name = "POINT")]
    resume: Option<CopyPoint>,
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An error of a file that the user has named.
fn file_error(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}

/// Opens the file of an export. Returns where an earlier export ended, if it is continued.
fn target(path: &Path, resume: bool) -> Result<(File, Option<ResumePoint>)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if !resume {
        options.create_new(true);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let opened = options.open(path).map_err(|error| {
        let failure = file_error(path, &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.with_hint("choose a new file, or add --resume to continue an export")
            }
            _ => failure,
        }
    });
    let mut file = opened?;
    if !resume {
        return Ok((file, None));
    }
    let point = transfer::resume_point(&mut BufReader::new(&file))?;
    let bytes = point.as_ref().map_or(0, |point| point.bytes);
    let kept = file
        .set_len(bytes)
        .and_then(|()| file.seek(SeekFrom::Start(bytes)));
    kept.map_err(|error| file_error(path, &error))?;
    Ok((file, point))
}

async fn actions(opened: &Opened) -> Result<u64> {
    Ok(opened.store.changed(None).await?.actions)
}

pub(crate) async fn export(address: &StoreAddress, command: &Export, out: &mut Out) -> Result<()> {
    let path = &command.file;
    if is_standard(path) && command.resume {
        return Err(Failure::usage(
            "an export to standard output cannot be resumed",
        ));
    }
    let opened = open(address, Need::Read).await?;
    let total = actions(&opened).await?;
    let (mut file, point) = match is_standard(path) {
        true => (None, None),
        false => {
            let (file, point) = target(path, command.resume)?;
            (Some(BufWriter::new(file)), point)
        }
    };
    let mut exporter = match &point {
        Some(point) => Exporter::resume(&*opened.store, point),
        None => Exporter::new(&*opened.store),
    };
    for filter in command.filters.filters() {
        exporter = exporter.with_filter(filter);
    }
    let bar = match is_standard(path) {
        true => progress::beside_lines(out, "exporting"),
        false => progress::actions(total, "exporting"),
    };
    while let Some(line) = exporter.next().await? {
        match &mut file {
            None => out.line(line)?,
            Some(file) => {
                let written = file
                    .write_all(line.as_bytes())
                    .and_then(|()| file.write_all(b"\n"));
                written.map_err(|error| {
                    file_error(path, &error).with_hint("free some space, then use --resume")
                })?;
            }
        }
        bar.set_position(exporter.count().actions);
    }
    bar.finish_and_clear();
    if let Some(mut file) = file {
        let kept = file.flush().and_then(|()| file.get_ref().sync_all());
        kept.map_err(|error| file_error(path, &error))?;
    }
    let count = exporter.count();
    let told = format!(
        "exported {} actions and {} log entries",
        count.actions, count.entries
    );
    match (is_standard(path), out.json) {
        // The lines are the output.
        (true, _) => note(&told),
        (false, true) => out.json(&json!({"actions": count.actions, "entries": count.entries}))?,
        (false, false) => out.line(told)?,
    }
    opened.close().await
}

/// Shows how much of a file has been read.
struct Counted<R> {
    from: R,
    bar: ProgressBar,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(bytes)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}

pub(crate) async fn import(address: &StoreAddress, command: &Import, out: &mut Out) -> Result<()> {
    let path = &command.file;
    let (mut text, bar): (Box<dyn BufRead + Send>, _) = if is_standard(path) {
        let bar = progress::unknown("importing bytes");
        let from = Counted {
            from: std::io::stdin(),
            bar: bar.clone(),
        };
        (Box::new(BufReader::new(from)), bar)
    } else {
        // Before the store: a wrong path must not create one.
        let file = File::open(path).map_err(|error| file_error(path, &error))?;
        let bytes = file.metadata().map_or(0, |data| data.len());
        let bar = progress::bytes(bytes, "importing");
        let from = Counted {
            from: file,
            bar: bar.clone(),
        };
        (Box::new(BufReader::with_capacity(1024 * 1024, from)), bar)
    };
    let opened = open(address, Need::Create).await?;
    let imported = transfer::import(&*opened.store, &mut *text).await;
    bar.finish_and_clear();
    let report = imported.map_err(|error| {
        Failure::from(error)
            .about(path.display())
            .with_hint("what was read before this line is in the store; the import can be repeated")
    })?;
    entered(&report, "imported", out)?;
    opened.close().await?;
    match report.refused {
        0 => Ok(()),
        _ => Err(Failure::Told(Exit::Refused)),
    }
}

/// Prints the result of writing actions.
fn entered(report: &Imported, verb: &str, out: &mut Out) -> Result<()> {
    if out.json {
        let rejections = report.rejections.iter().map(|rejection| {
            json!({
                "uid": rejection.uid.to_string(),
                "reason": rejection.refused.to_string(),
                "outdated": rejection.outdated,
            })
        });
        return out.json(&json!({
            "imported": report.imported,
            "already": report.already,
            "refused": report.refused,
            "rejections": rejections.collect::<Vec<_>>(),
        }));
    }
    out.line(format!(
        "{verb} {} actions; {} were there already, {} were refused",
        report.imported, report.already, report.refused
    ))?;
    rejections(report, out)
}

fn rejections(report: &Imported, out: &mut Out) -> Result<()> {
    let mut table = Table::new([Column::left("REFUSED"), Column::left("REASON")]);
    for rejection in &report.rejections {
        let reason = match rejection.outdated {
            true => "the store has an earlier state of it, which cannot be updated".to_owned(),
            false => rejection.refused.to_string(),
        };
        table.row(vec![rejection.uid.to_string().into(), reason.into()]);
    }
    table.write(out)
}

pub(crate) async fn copy(
    address: &StoreAddress,
    to: &StoreAddress,
    command: &Copy,
    out: &mut Out,
) -> Result<()> {
    if address == to {
        return Err(Failure::usage("the two stores have the same address"));
    }
    let from = open(address, Need::Read).await?;
    let to = open(to, Need::Create).await?;
    let total = actions(&from).await?;
    let mut copier = Copier::new(&*from.store, &*to.store);
    let mut point = command.resume;
    if let Some(point) = point {
        copier = copier.with_point(point);
    }
    let bar = progress::actions(total.saturating_mul(2), "copying, then comparing");
    loop {
        let next = copier.next().await;
        let next = next.map_err(|error| {
            let failure = Failure::from(error);
            match point {
                Some(point) => failure.with_hint(format!("continue with --resume {point}")),
                None => failure,
            }
        })?;
        let report = copier.report();
        let entered = report.entered.imported + report.entered.already + report.entered.refused;
        bar.set_position(entered + report.verified + report.different);
        if next.is_done() {
            break;
        }
        point = Some(next);
    }
    bar.finish_and_clear();
    let report = copier.report();
    let how = |how: Differs| match how {
        Differs::Missing => "missing",
        Differs::Behind => "behind",
        Differs::Ahead => "ahead",
        Differs::Action => "action",
        Differs::Log => "log",
        _ => "other",
    };
    if out.json {
        let differences = report.differences.iter();
        let differences =
            differences.map(|found| json!({"uid": found.uid.to_string(), "how": how(found.how)}));
        out.json(&json!({
            "imported": report.entered.imported,
            "already": report.entered.already,
            "refused": report.entered.refused,
            "verified": report.verified,
            "different": report.different,
            "faithful": report.is_faithful(),
            "differences": differences.collect::<Vec<_>>(),
        }))?;
    } else {
        entered(&report.entered, "copied", out)?;
        out.line(format!(
            "{} actions are the same in both stores, {} differ",
            report.verified, report.different
        ))?;
        let mut table = Table::new([Column::left("DIFFERS"), Column::left("HOW")]);
        for found in &report.differences {
            table.row(vec![found.uid.to_string().into(), how(found.how).into()]);
        }
        table.write(out)?;
    }
    let faithful = report.is_faithful();
    from.close().await?;
    to.close().await?;
    match faithful {
        true => Ok(()),
        false => Err(Failure::Told(Exit::Findings)),
    }
}
