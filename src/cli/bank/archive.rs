//! `simbert bank snapshot`, `restore`, `export` and `verify`: what works on a bank's files, whole or damaged.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{anyhow, bail};
use indicatif::ProgressBar;
use serde_json::json;

use super::super::open;
use crate::Error;
use crate::engine::{BankFiles, BankName, Engine, SnapshotFacts};
use crate::store::WholeFile;

/// Tells a bar of done and total.
pub(super) fn shown(bar: &ProgressBar) -> impl Fn(u64, u64) + Sync + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}

pub fn snapshot(
    out: &mut impl Write,
    data: &Path,
    name: &BankName,
    file: &Path,
    force: bool,
    json: bool,
) -> anyhow::Result<()> {
    let files = BankFiles::open(data, name).map_err(|error| match error {
        Error::Unavailable { .. } => anyhow!(
            "{error}; where that is a server, `simbert bank snapshot {name} {} --server http://host:port` copies it",
            file.display()
        ),
        error => error.into(),
    })?;
    let bar = open::bar("questions copied")?;
    let taken = files.snapshot(file, force, &shown(&bar));
    bar.finish_and_clear();
    print(out, name, file, &taken?, json, "copied to")
}

pub fn restore(
    out: &mut impl Write,
    data: &Path,
    file: &Path,
    name: Option<&BankName>,
    json: bool,
) -> anyhow::Result<()> {
    let bar = open::bar("questions restored")?;
    let restored = Engine::without_model(data, "", 0)?.restore(file, name, &shown(&bar));
    bar.finish_and_clear();
    let (name, facts) = restored?;
    print(out, &name, file, &facts, json, "restored from")
}

/// `restore --dry-run`.
pub fn check(out: &mut impl Write, file: &Path, json: bool) -> anyhow::Result<()> {
    let bar = open::bar("questions checked")?;
    let checked = Engine::check_snapshot(file, &shown(&bar));
    bar.finish_and_clear();
    let facts = checked?;
    print(out, &BankName::new(facts.bank.as_str())?, file, &facts, json, "whole in")
}

pub(super) fn print(
    out: &mut impl Write,
    name: &BankName,
    file: &Path,
    facts: &SnapshotFacts,
    json: bool,
    done: &str,
) -> anyhow::Result<()> {
    let SnapshotFacts { facts, counts, .. } = facts;
    if json {
        let line = json!({
            "bank": name, "file": file, "questions": counts.questions, "faqs": counts.faqs, "batch": counts.batch,
            "dimension": facts.dimension, "model_fingerprint": facts.model_fingerprint,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let file = file.display();
    writeln!(out, "bank `{name}`: {} questions {done} {file}, as of batch {}", counts.questions, counts.batch)?;
    Ok(())
}

/// Writes the questions to `out`; returns how many, and how many were passed over.
pub fn export(out: &mut impl Write, data: &Path, name: &BankName, skip_damaged: bool) -> anyhow::Result<(u64, u64)> {
    let files = BankFiles::open(data, name)?;
    let bar = open::bar("questions exported")?;
    let mut skipped = 0;
    let mut skip = |damage| {
        skipped += 1;
        bar.suspend(|| eprintln!("skipped {damage}"));
    };
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let failed = |e: std::io::Error| Error::io("write the questions", "the export", e);
    let mut each = |question| {
        serde_json::to_writer(&mut out, &question).map_err(|e| failed(e.into()))?;
        out.write_all(b"\n").map_err(failed)
    };
    let exported = files.export(if skip_damaged { Some(&mut skip) } else { None }, &mut each, &shown(&bar));
    bar.finish_and_clear();
    let exported = exported?;
    out.flush().map_err(failed)?;
    Ok((exported, skipped))
}

pub fn export_to(
    out: &mut impl Write,
    data: &Path,
    name: &BankName,
    file: &Path,
    force: bool,
    skip_damaged: bool,
    json: bool,
) -> anyhow::Result<()> {
    let mut whole = WholeFile::create(file, force)?;
    let (exported, skipped) = export(&mut whole, data, name, skip_damaged)?;
    whole.finish()?;
    match json {
        true => writeln!(out, "{}", json!({"exported": exported, "skipped": skipped, "file": file}))?,
        false => writeln!(out, "{exported} questions written to {}, {skipped} damaged ones skipped", file.display())?,
    }
    Ok(())
}

pub fn verify(out: &mut impl Write, data: &Path, name: &BankName, json: bool) -> anyhow::Result<()> {
    let files = BankFiles::open(data, name)?;
    let bar = open::bar("questions verified")?;
    let found = files.verify(&shown(&bar));
    bar.finish_and_clear();
    let found = found?;
    if json {
        let damaged = found
            .damaged
            .iter()
            .map(|damage| json!({"question": damage.question, "internal_id": damage.internal, "fault": damage.what}));
        let damaged: Vec<_> = damaged.collect();
        let line = json!({"bank": name, "verified": found.whole, "expected": found.expected, "damaged": damaged, "graphs": found.graphs});
        writeln!(out, "{line}")?;
    } else {
        found.damaged.iter().try_for_each(|damage| writeln!(out, "{damage}"))?;
        for graph in &found.graphs {
            writeln!(out, "{graph}; a graph is no loss, a server makes it again of the vectors")?;
        }
        if found.is_whole() {
            writeln!(out, "bank `{name}`: all {} questions are as they were written", found.whole)?;
        }
    }
    out.flush()?;
    if !found.is_whole() {
        bail!(
            "bank `{name}` is damaged: {} of the {} questions that should be there are whole; make a bank of a snapshot \
             (`simbert bank restore`), or save the whole ones (`simbert bank export {name} --skip-damaged`)",
            found.whole,
            found.expected
        );
    }
    Ok(())
}
