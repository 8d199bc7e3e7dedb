//! `RestoreBank`: a snapshot comes in chunks, into a file of the server's own, of which a bank is made.
//!
//! Memory is bounded by one message: the next one is read when it is in the file.

use tonic::{Code, Request, Status, Streaming};

use super::access::{Caller, admitted};
use super::context::Context;
use super::refused::At;
use super::transfer::{self, Blocking};
use super::{calls, convert, message_size, proto};
use crate::Error;
use crate::engine::{BankName, Engine, Spool};

type Messages = Streaming<proto::RestoreBankRequest>;

/// Takes the file in and makes a bank of it. Dropped before its end, it leaves nothing.
///
/// # Errors
/// See `RestoreBank` in the contract; UNAVAILABLE when the server shuts down meanwhile.
pub(super) async fn receive(
    context: &Context,
    request: Request<Messages>,
) -> Result<proto::RestoreBankResponse, Status> {
    let _place = context.transfer()?;
    let (caller, mut messages) = admitted(request)?;
    let received = tokio::select! {
        received = Received::take_in(context, &caller, &mut messages) => received,
        () = context.stopping.cancelled() => Err(transfer::shutting_down()),
    };
    if context.stopping.is_cancelled() {
        tokio::spawn(calls::read_on(messages));
    }
    received?.restore(context).await
}

async fn next(context: &Context, messages: &mut Messages) -> Result<Option<proto::RestoreBankRequest>, Status> {
    let idle = context.options.stream_idle;
    let message = tokio::time::timeout(idle, messages.message()).await;
    message.map_err(|_| calls::idle(idle, "send the snapshot again"))?.map_err(message_size::explained)
}

/// A file that came whole.
struct Received {
    spool: Blocking<Spool>,
    engine: Engine,
    name: Option<BankName>,
}

impl Received {
    async fn take_in(context: &Context, caller: &Caller, messages: &mut Messages) -> Result<Self, Status> {
        let Some(first) = next(context, messages).await? else {
            return Err(Error::invalid("stream", "the chunks of a snapshot's file", "no message").into());
        };
        let named = first.name.clone();
        let (engine, bank) = context.restoring(caller, named.clone())?;
        let (making, of) = (engine.clone(), bank.clone());
        let mut spool = Blocking::new(&context.copying, move || making.spool(of.as_ref())).await?;
        let mut message = Some(first);
        while let Some(proto::RestoreBankRequest { name, chunk }) = message {
            if !name.is_empty() && name != named {
                let expected = format!("one name for the whole stream, `{named}`");
                return Err(Error::invalid("name", expected, format!("`{name}`"))).at("name").map_err(Status::from);
            }
            spool.with(move |spool| spool.append(&chunk)).await?;
            message = next(context, messages).await?;
        }
        Ok(Self { spool, engine, name: bank })
    }

    /// Makes the bank; given up when the server shuts down, unless it is there by then.
    async fn restore(mut self, context: &Context) -> Result<proto::RestoreBankResponse, Status> {
        let (engine, stopping, name) = (self.engine, context.stopping.clone(), self.name);
        let go_on = move |_, _| transfer::go_on(&stopping);
        let restored = self.spool.with(move |spool| engine.restore_spool(spool, name.as_ref(), &go_on)).await;
        let status = restored.map_err(|status| match status.code() {
            Code::Cancelled => transfer::shutting_down(), // a caller who has gone hears nothing
            _ => status,
        })?;
        tracing::info!(bank = %status.name, questions = status.questions, "restored a bank");
        Ok(proto::RestoreBankResponse { bank: Some(convert::bank(status)) })
    }
}
