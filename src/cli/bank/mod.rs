//! `simbert bank`.

mod archive;
mod map;
mod remote;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::open::{self, parse_name};
use super::remote::ServerArgs;
use super::{DataArgs, ModelArgs, hits};
use crate::engine::{BankName, BankSettings, BankStatus, Engine, Quantisation, QuestionId};

/// Make, inspect, copy, verify and delete banks.
///
/// None but `reencode` encodes anything, so none but that needs ONNX Runtime. A bank that a server has open is refused,
/// except by `list`, and by `snapshot` and `restore` where `--server` names that server.
#[derive(Args)]
#[command(after_help = "A copy, and a bank made of it:\n  \
    simbert bank snapshot faq faq.bank\n  \
    simbert bank restore faq.bank faq-copy\n\
The same of a bank that a server has open, and into that server:\n  \
    simbert bank snapshot faq faq.bank --server http://127.0.0.1:50051\n  \
    simbert bank restore faq.bank faq-copy --server http://127.0.0.1:50051\n\
What to do with a bank that is damaged:\n  \
    simbert bank verify faq                                  # names all that is damaged\n  \
    simbert bank delete faq --yes && simbert bank restore faq.bank\n  \
    simbert bank export faq saved.jsonl --skip-damaged       # without a snapshot: saves what is whole …\n  \
    simbert index saved.jsonl --bank faq-saved               # … and encodes it again")]
pub struct Bank {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: DataArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make an empty bank for the model.
    Create {
        #[arg(value_parser = parse_name)]
        name: BankName,
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// How the graphs of its index see the vectors; what they find is scored by the exact ones all the same.
        #[arg(long, value_name = "off|f16|int8", default_value = "int8")]
        quantisation: Quantisation,
        #[command(flatten)]
        model: ModelArgs,
    },
    /// List the banks.
    List,
    /// Show what a bank is and holds.
    Status {
        #[arg(value_parser = parse_name)]
        name: BankName,
    },
    /// Show questions by their ids.
    Get {
        #[arg(value_parser = parse_name)]
        name: BankName,
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// List questions in the order of their ids.
    ListQuestions {
        #[arg(value_parser = parse_name)]
        name: BankName,
        /// Start after this id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Delete questions by their ids.
    DeleteQuestions {
        #[arg(value_parser = parse_name)]
        name: BankName,
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Delete a bank with all its questions.
    Delete {
        #[arg(value_parser = parse_name)]
        name: BankName,
        /// Really.
        #[arg(long)]
        yes: bool,
    },
    /// Copy a bank into one file, of which `restore` makes a bank on any machine.
    ///
    /// The file holds questions and vectors as they were after one batch, with checksums over each part and over the
    /// whole. It is written as FILE.part and renamed once it is whole and on the disk.
    Snapshot {
        #[arg(value_parser = parse_name)]
        name: BankName,
        /// The file to write.
        file: PathBuf,
        /// Replace FILE if it is there.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a bank of a snapshot.
    ///
    /// All of the file is checked. The bank appears once it is whole; a bank that is there already is refused. It
    /// belongs to the model that encoded it, as before.
    Restore {
        /// A file that `snapshot` wrote.
        file: PathBuf,
        /// The bank to make; named as it was when absent.
        #[arg(value_parser = parse_name)]
        name: Option<BankName>,
        /// Check the file, and make nothing.
        #[arg(long, conflicts_with_all = ["name", "server"])]
        dry_run: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Encode a bank of another model anew, with the model that is loaded.
    ///
    /// The new bank takes the place of the old one in one step, once it is whole: a run that was interrupted leaves the
    /// old bank as it was, and is started again.
    Reencode {
        #[arg(value_parser = parse_name)]
        name: BankName,
        /// Make this bank, and keep the old one.
        #[arg(long, value_name = "NAME", value_parser = parse_name)]
        output: Option<BankName>,
        #[command(flatten)]
        model: ModelArgs,
    },
    /// Write all questions as JSON Lines in the order of their ids, which `simbert index` reads.
    Export {
        #[arg(value_parser = parse_name)]
        name: BankName,
        /// The file; standard output when absent.
        file: Option<PathBuf>,
        /// Replace FILE if it is there.
        #[arg(long, requires = "file")]
        force: bool,
        /// Name damaged questions on standard error and write the others, instead of refusing.
        #[arg(long)]
        skip_damaged: bool,
    },
    /// Lay the questions out in a plane, so that like ones lie beside each other, and find those that are nearly the same.
    ///
    /// Two questions of one FAQ that are nearly the same are fine; of different FAQs they are one question with two
    /// answers, and listed. A large bank that has no graph yet gets it first, for good.
    Map(map::Map),
    /// Read every question and vector, check their checksums and their number, and name each that is damaged.
    ///
    /// The exit code is 1 when something is.
    Verify {
        #[arg(value_parser = parse_name)]
        name: BankName,
    },
}

impl Bank {
    pub fn run(self) -> anyhow::Result<()> {
        let (data, json) = (self.data.data.as_path(), self.json);
        let opened = |name: &BankName| open::bank_without_model(data, name);
        let mut out = std::io::stdout().lock();
        match self.command {
            Command::Create { name, description, quantisation, model } => {
                let model = model.named()?;
                let engine = Engine::without_model(data, &model.fingerprint()?, model.config()?.hidden_size)?;
                let status = engine.create_bank(&name, BankSettings { description, quantisation })?.status()?;
                print_status(&mut out, &status, json)?;
            }
            Command::List => {
                let engine = Engine::without_model(data, "", 0)?;
                let banks = engine.banks()?;
                let names = engine.names()?;
                for name in names.iter().filter(|name| banks.iter().all(|bank| bank.name != **name)) {
                    eprintln!("bank `{name}` cannot be described; `simbert bank status {name}` says why");
                }
                if json {
                    writeln!(out, "{}", json!(banks.iter().map(status_json).collect::<Vec<_>>()))?;
                    return Ok(());
                }
                for bank in &banks {
                    let mib = bank.bytes_on_disk as f64 / f64::from(1 << 20);
                    write!(
                        out,
                        "{:<24} {:>10} questions {:>8} FAQs {mib:>9.1} MiB",
                        bank.name.as_str(),
                        bank.questions,
                        bank.faqs
                    )?;
                    writeln!(out, "  model {}  {}", bank.model_fingerprint, bank.settings.description)?;
                }
                if banks.is_empty() {
                    eprintln!(
                        "there is no bank in {}; `simbert index` or `simbert bank create` makes one",
                        data.display()
                    );
                }
            }
            Command::Status { name } => print_status(&mut out, &opened(&name)?.status()?, json)?,
            Command::Get { name, ids } => {
                let found = opened(&name)?.get(&checked(&ids)?)?;
                if let Some((missing, _)) = ids.iter().zip(&found).find(|(_, question)| question.is_none()) {
                    bail!(
                        "question `{missing}` was not found in bank `{name}`; `simbert bank list-questions` shows its ids"
                    );
                }
                for question in found.into_iter().flatten() {
                    let json =
                        if json { serde_json::to_string(&question) } else { serde_json::to_string_pretty(&question) };
                    writeln!(out, "{}", json?)?;
                }
            }
            Command::ListQuestions { name, after, limit } => {
                let after = after.map(QuestionId::new).transpose()?;
                let questions = opened(&name)?.list(after.as_ref(), limit)?;
                if json {
                    questions.iter().try_for_each(|q| anyhow::Ok(writeln!(out, "{}", serde_json::to_string(q)?)?))?;
                } else {
                    hits::print_questions(&mut out, &questions)?;
                }
            }
            Command::DeleteQuestions { name, ids } => {
                let deleted = opened(&name)?.delete(&checked(&ids)?)?;
                match json {
                    true => writeln!(out, "{}", json!({"deleted": deleted}))?,
                    false => writeln!(out, "{deleted} of {} questions deleted", ids.len())?,
                }
            }
            Command::Delete { name, yes } => {
                let engine = Engine::without_model(data, "", 0)?;
                if !yes {
                    let found = engine.banks()?.into_iter().find(|bank| bank.name == name);
                    let questions = found.with_context(|| format!("bank `{name}` was not found"))?.questions;
                    bail!("bank `{name}` holds {questions} questions; pass `--yes` to delete it");
                }
                engine.delete_bank(&name)?;
                match json {
                    true => writeln!(out, "{}", json!({"deleted": name}))?,
                    false => writeln!(out, "bank `{name}` deleted")?,
                }
            }
            Command::Snapshot { name, file, force, server } => match server.remote()? {
                Some(server) => remote::snapshot(&mut out, &server, &name, &file, force, json)?,
                None => archive::snapshot(&mut out, data, &name, &file, force, json)?,
            },
            Command::Restore { file, dry_run: true, .. } => archive::check(&mut out, &file, json)?,
            Command::Restore { file, name, server, .. } => match server.remote()? {
                Some(server) => remote::restore(&mut out, &server, &file, name, json)?,
                None => archive::restore(&mut out, data, &file, name.as_ref(), json)?,
            },
            Command::Reencode { name, output, model } => {
                let engine = open::engine(&self.data, &model)?;
                let bar = open::bar("questions encoded")?;
                let status = engine.reencode(&name, output.as_ref(), &archive::shown(&bar));
                bar.finish_and_clear();
                print_status(&mut out, &status?, json)?;
            }
            Command::Export { name, file: None, skip_damaged, .. } => {
                archive::export(&mut out, data, &name, skip_damaged)?;
            }
            Command::Export { name, file: Some(file), force, skip_damaged } => {
                archive::export_to(&mut out, data, &name, &file, force, skip_damaged, json)?;
            }
            Command::Map(map) => map.run(&mut out, data, json)?,
            Command::Verify { name } => archive::verify(&mut out, data, &name, json)?,
        }
        Ok(())
    }
}

fn checked(ids: &[String]) -> crate::Result<Vec<QuestionId>> {
    ids.iter().map(QuestionId::new).collect()
}

fn status_json(status: &BankStatus) -> serde_json::Value {
    json!({
        "name": status.name,
        "description": status.settings.description,
        "questions": status.questions,
        "faqs": status.faqs,
        "dimension": status.dimension,
        "model_fingerprint": status.model_fingerprint,
        "bytes_on_disk": status.bytes_on_disk,
        "quantisation": status.settings.quantisation.name(),
        "questions_in_graph": status.questions_in_graph,
        "index_bytes": status.index_bytes,
        "damaged_graphs": status.damaged_graphs,
    })
}

fn print_status(out: &mut impl Write, status: &BankStatus, json: bool) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", status_json(status))?;
        return Ok(());
    }
    writeln!(out, "bank         {}", status.name)?;
    if !status.settings.description.is_empty() {
        writeln!(out, "description  {}", status.settings.description)?;
    }
    writeln!(out, "questions    {}", status.questions)?;
    writeln!(out, "FAQs         {}", status.faqs)?;
    writeln!(out, "vectors      {} wide, by model {}", status.dimension, status.model_fingerprint)?;
    writeln!(out, "on disk      {:.1} MiB", status.bytes_on_disk as f64 / f64::from(1 << 20))?;
    if status.questions > 0 {
        let each = status.index_bytes as f64 / status.questions as f64;
        writeln!(
            out,
            "index        {} in graphs, {each:.0} bytes of memory a question, {}",
            status.questions_in_graph,
            status.settings.quantisation.name()
        )?;
    }
    if status.damaged_graphs > 0 {
        writeln!(out, "damaged      {} graphs; a server makes them again of the vectors", status.damaged_graphs)?;
    }
    Ok(())
}
