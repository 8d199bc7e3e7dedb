//! `simbert bank snapshot` and `restore` with `--server`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::open;
use super::super::remote::{Remote, told};
use super::super::serve::runtime;
use super::archive::{print, shown};
use crate::Error;
use crate::engine::{BankName, Engine};
use crate::server::proto::take_snapshot_response::Part;
use crate::server::{Client, proto};
use crate::store::{SnapshotFile, WholeFile};

/// Bytes of a chunk on its way to a server: half of the smallest message that `simbert serve` can be set to.
const CHUNK: usize = 512 << 10;

pub fn snapshot(
    out: &mut impl Write,
    server: &Remote,
    name: &BankName,
    file: &Path,
    force: bool,
    json: bool,
) -> anyhow::Result<()> {
    let mut whole = WholeFile::create(file, force)?; // before the server copies anything
    let bar = open::bar("questions copied")?;
    let received = runtime(1)?.block_on(async { receive(&mut server.connect().await?, name, &mut whole, &bar).await });
    bar.finish_and_clear();
    received?;
    let bar = open::bar("questions checked")?;
    let checked = Engine::check_snapshot_file(SnapshotFile::open_as(whole.part(), file)?, &shown(&bar));
    bar.finish_and_clear();
    let facts = checked?;
    whole.finish()?;
    print(out, name, file, &facts, json, "copied to")
}

/// Writes what the server sends.
async fn receive(client: &mut Client, name: &BankName, file: &mut WholeFile, bar: &ProgressBar) -> anyhow::Result<()> {
    let request = proto::TakeSnapshotRequest { name: name.to_string() };
    let mut replies = client.banks.take_snapshot(request).await.map_err(told)?.into_inner();
    while let Some(reply) = replies.message().await.map_err(told)? {
        match reply.part {
            Some(Part::Progress(proto::SnapshotProgress { copied, questions })) => shown(bar)(copied, questions),
            Some(Part::Taken(taken)) => {
                bar.reset();
                bar.set_message("bytes received");
                bar.set_length(taken.bytes);
            }
            Some(Part::Chunk(chunk)) => {
                file.write_all(&chunk).map_err(|e| Error::io("write the snapshot", file.path(), e))?;
                bar.inc(chunk.len() as u64);
            }
            None => {} // a newer server's
        }
    }
    Ok(())
}

pub fn restore(
    out: &mut impl Write,
    server: &Remote,
    file: &Path,
    name: Option<BankName>,
    json: bool,
) -> anyhow::Result<()> {
    let facts = SnapshotFile::open(file)?.facts().clone(); // what is no snapshot is not sent
    let name = name.map_or_else(|| BankName::new(facts.bank.as_str()), Ok)?;
    let bar = open::bar("bytes sent")?;
    let restored = runtime(1)?.block_on(async { send(&mut server.connect().await?, file, &name, &bar).await });
    bar.finish_and_clear();
    restored?;
    print(out, &name, file, &facts, json, "restored from")
}

/// Sends the file. It is read no faster than it is sent.
async fn send(client: &mut Client, path: &Path, name: &BankName, bar: &ProgressBar) -> anyhow::Result<()> {
    let failed = |e| Error::io("read the snapshot", path, e);
    let mut file = File::open(path).map_err(failed)?;
    bar.set_length(file.metadata().map_err(failed)?.len());
    let (chunks, messages) = mpsc::channel(2);
    let (bar, name) = (bar.clone(), name.to_string());
    let reading = tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut chunk)?;
            let sent = chunk.len() as u64;
            let message = proto::RestoreBankRequest { name: name.clone(), chunk };
            if sent == 0 || chunks.blocking_send(message).is_err() {
                return Ok(()); // the end, or the server's: its reply says why
            }
            bar.inc(sent);
        }
    });
    let reply = client.banks.restore_bank(ReceiverStream::new(messages)).await;
    reading.await.context("reading the snapshot panicked")?.map_err(failed)?;
    match reply.map_err(told)?.into_inner().bank {
        Some(_) => Ok(()),
        None => bail!("the server restored the bank, and does not say what it is"),
    }
}
