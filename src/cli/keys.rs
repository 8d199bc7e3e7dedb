//! `simbert keys`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::open::parse_name;
use crate::engine::BankName;
use crate::server::{ApiKey, KeyEntry, Role};

/// Make API keys for a server.
///
/// `simbert serve --keys FILE` serves those who send a key that FILE has the hash of. To take a key back, remove its entry
/// and send SIGHUP to the server.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    simbert keys new search-page --role read --bank faq --file keys.toml\n  \
    simbert keys new operator --role admin --file keys.toml\n  \
    simbert serve --keys keys.toml\n  \
    grpcurl -plaintext -H 'authorization: Bearer simbert_…' 127.0.0.1:50051 simbert.v1.BankService/ListBanks")]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key, print it this once, and print its entry for the file of keys, or add it there.
    New {
        /// Whose it is: it stands in the server's log beside what the key was used for.
        name: String,
        /// What it is for: `read` searches, reads, encodes and generates; `write` also writes and deletes questions; `admin`
        /// also makes, deletes, copies and restores banks.
        #[arg(long, value_name = "read|write|admin")]
        role: Role,
        /// A bank that it is for, by its name; may be given several times. All when absent.
        #[arg(long = "bank", value_name = "NAME", value_parser = parse_name)]
        banks: Vec<BankName>,
        /// Add the entry to this file, and print the key alone. The file is made if there is none.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

impl Keys {
    pub fn run(self) -> anyhow::Result<()> {
        let Command::New { name, role, banks, file } = self.command;
        let banks = (!banks.is_empty()).then(|| banks.into_iter().collect::<BTreeSet<_>>());
        let key = ApiKey::random()?;
        let entry = KeyEntry::new(&name, &key, role, banks)?;
        let mut out = std::io::stdout().lock();
        match file {
            Some(file) => {
                entry.append(&file)?; // first: a key that nobody knows is better than one that no server knows
                writeln!(out, "{}", key.reveal())?;
                eprintln!("added to {}; the key is shown this once", file.display());
            }
            None => {
                writeln!(out, "{}\n\n{entry}", key.reveal())?;
                eprintln!("the key is shown this once; its entry belongs into the file of `simbert serve --keys`");
            }
        }
        Ok(())
    }
}
