//! `simbert completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(Args)]
#[command(after_help = "\
Examples:
  simbert completions bash > ~/.local/share/bash-completion/completions/simbert
  simbert completions zsh > ~/.zfunc/_simbert
  simbert completions fish > ~/.config/fish/completions/simbert.fish")]
pub struct Completions {
    /// The shell that will read the script.
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new(); // first into memory: `generate` panics when it cannot write
        clap_complete::generate(self.shell, &mut super::Cli::command(), "simbert", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        Ok(())
    }
}
