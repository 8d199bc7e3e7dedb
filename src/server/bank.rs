//! `BankService`.

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::access::admitted;
use super::context::Context;
use super::limits::{DESCRIPTION_BYTES, PAGE};
use super::proto::bank_service_server::BankService;
use super::refused::At;
use super::{convert, page_token, proto, restore, snapshot};
use crate::engine::{BankName, BankSettings, BankStatus, Engine, Quantisation};
use crate::{Error, Result};

/// The list that its page tokens are of.
const BANKS: &str = "banks";

/// Makes, copies and removes banks.
pub(super) struct Banks(pub Context);

#[tonic::async_trait]
impl BankService for Banks {
    type TakeSnapshotStream = ReceiverStream<Result<proto::TakeSnapshotResponse, Status>>;

    async fn create_bank(
        &self,
        request: Request<proto::CreateBankRequest>,
    ) -> Result<Response<proto::CreateBankResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let proto::CreateBankRequest { name, description, quantisation, allow_existing } = message;
        let limits = self.0.limits();
        let description = limits.bytes("bank description", description, DESCRIPTION_BYTES).at("description")?;
        let quantisation = convert::quantisation(quantisation).at("quantisation")?;
        let create = move |engine: &Engine, name: &BankName| {
            let settings =
                BankSettings { description: description.clone(), quantisation: quantisation.unwrap_or_default() };
            match engine.create_bank(name, settings) {
                Err(Error::AlreadyExists { .. }) if allow_existing => {
                    existing(engine, name, &description, quantisation)
                }
                made => made?.status(),
            }
        };
        let (status, _) = self.0.at_bank(&caller, name, create).await?;
        Ok(Response::new(proto::CreateBankResponse { bank: Some(convert::bank(status)) }))
    }

    async fn get_bank(
        &self,
        request: Request<proto::GetBankRequest>,
    ) -> Result<Response<proto::GetBankResponse>, Status> {
        let (caller, message) = admitted(request)?;
        let (status, _) = self.0.at_bank(&caller, message.name, |engine, name| engine.bank(name)?.status()).await?;
        Ok(Response::new(proto::GetBankResponse { bank: Some(convert::bank(status)) }))
    }

    async fn list_banks(
        &self,
        request: Request<proto::ListBanksRequest>,
    ) -> Result<Response<proto::ListBanksResponse>, Status> {
        let (caller, proto::ListBanksRequest { page_size, page_token }) = admitted(request)?;
        let limits = self.0.limits();
        // Who knows of no pages gets all.
        let size = page_size.map(|size| limits.count("page_size", Some(size), 0, PAGE)).transpose().at("page_size")?;
        let after = page_token::read(BANKS, &page_token).at("page_token")?;
        let after = after.map(BankName::new).transpose().at("page_token")?;
        // One more than asked for tells whether there is another page.
        let most = size.map_or(usize::MAX, |size| size + 1);
        let mut banks = self.0.banks(caller, after, most).await?;
        let mut next_page_token = String::new();
        if let Some(size) = size.filter(|&size| banks.len() > size) {
            banks.truncate(size);
            next_page_token = page_token::write(BANKS, banks.last().map_or("", |bank| bank.name.as_str()));
        }
        let banks = banks.into_iter().map(convert::bank).collect();
        self.0.reply(proto::ListBanksResponse { banks, next_page_token }, "pages of fewer banks by `page_size`")
    }

    async fn delete_bank(
        &self,
        request: Request<proto::DeleteBankRequest>,
    ) -> Result<Response<proto::DeleteBankResponse>, Status> {
        let (caller, proto::DeleteBankRequest { name, allow_missing }) = admitted(request)?;
        let delete = move |engine: &Engine, name: &BankName| match engine.delete_bank(name) {
            Err(Error::NotFound { .. }) if allow_missing => Ok(()),
            deleted => deleted,
        };
        self.0.at_bank(&caller, name, delete).await?;
        Ok(Response::new(proto::DeleteBankResponse {}))
    }

    async fn map_bank(
        &self,
        request: Request<proto::MapBankRequest>,
    ) -> Result<Response<proto::MapBankResponse>, Status> {
        let (caller, mut message) = admitted(request)?;
        let name = std::mem::take(&mut message.name);
        let request = convert::map_request(message)?;
        let map = move |engine: &Engine, name: &BankName| engine.bank(name)?.map(&request);
        let (map, waited) = self.0.at_bank(&caller, name, map).await?;
        self.0.reply(convert::bank_map(map, waited), "fewer points")
    }

    async fn take_snapshot(
        &self,
        request: Request<proto::TakeSnapshotRequest>,
    ) -> Result<Response<Self::TakeSnapshotStream>, Status> {
        snapshot::start(self.0.clone(), request).map(Response::new)
    }

    async fn restore_bank(
        &self,
        request: Request<Streaming<proto::RestoreBankRequest>>,
    ) -> Result<Response<proto::RestoreBankResponse>, Status> {
        restore::receive(&self.0, request).await.map(Response::new)
    }
}

/// The bank that is there, if it is as one would be that is made so.
fn existing(
    engine: &Engine,
    name: &BankName,
    description: &str,
    quantisation: Option<Quantisation>,
) -> Result<BankStatus> {
    let status = engine.bank(name)?.status()?;
    let other = match &status.settings {
        there if there.description != description => "description",
        there if quantisation.is_some_and(|quantisation| quantisation != there.quantisation) => "quantisation",
        _ => return Ok(status),
    };
    let hint = format!("it has another {other}; choose another name, or delete it first");
    Err(Error::AlreadyExists { kind: "bank", name: name.to_string(), hint })
}
